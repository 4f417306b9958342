"""The network of objects that one writes first, in pure Python: the MLP, a sample at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

from xpnn.baseline import Network
from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work

SAMPLES = 8


def few(w: Work, a: Arrays) -> worker.Run:
    network = Network([784, 300, 10])
    samples = (a["x"][:SAMPLES].reshape(SAMPLES, -1) / 255.0).tolist()
    labels = np.where(np.eye(10)[a["y"][:SAMPLES]] > 0, 0.9, 0.1).tolist()

    def run() -> None:
        for label, sample in zip(labels, samples, strict=True):
            network.train_one_sample(label, sample, 0.1)

    return worker.Run(run, {}, times=w.sizes["steps"] * w.sizes["batch"] / SAMPLES)


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.sizes.get("model") == "mlp":
        yield f"{SAMPLES} samples, extrapolated; its losses are others", lambda: few(w, a)


if __name__ == "__main__":
    worker.serve(sys.modules["__main__"])
