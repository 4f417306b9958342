"""scikit-learn's side, for the MLP: MLPClassifier, which draws its own weights, so its losses are not compared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from sklearn.neural_network import MLPClassifier

from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work


def training(w: Work, a: Arrays) -> worker.Run:
    x, y = (a["x"].reshape(len(a["x"]), -1) / 255).astype("float32"), a["y"]
    model = MLPClassifier((300,), batch_size=w.sizes["batch"], alpha=0.0)
    model.partial_fit(x[: w.sizes["batch"]], y[: w.sizes["batch"]], classes=range(10))
    return worker.Run(lambda: model.partial_fit(x, y), {})


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.sizes.get("model") == "mlp":
        yield "MLPClassifier, weights of its own: its losses are not compared", lambda: training(w, a)


if __name__ == "__main__":
    worker.serve(sys.modules["__main__"])
