"""Keras' side, for training: `Model.fit`. On JAX, its fastest backend on a CPU, unless KERAS_BACKEND names another."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work

EPS = 5e-10
"""Keras adds it before it corrects the mean of squares: in the first ten steps that is about 1e-8 after it."""
AT_ONCE = 10
"""Steps that one call of the compiled function does, in the second variant."""


def network(name: str) -> list[Any]:
    conv, dense = partial(layers.Conv2D, activation="relu"), partial(layers.Dense, activation="relu")
    if name == "mlp":
        return [layers.Flatten(), dense(300), layers.Dense(10)]
    if name == "cnn":
        features = [conv(32, 3), conv(64, 3), layers.MaxPooling2D(2), layers.Flatten()]
        return [*features, dense(128), layers.Dense(10)]
    if name == "lenet5":
        features = [conv(6, 5, padding="same"), layers.MaxPooling2D(2), conv(16, 5), layers.MaxPooling2D(2)]
        return [*features, layers.Flatten(), dense(120), dense(84), layers.Dense(10)]
    return [layers.Embedding(65, 64), layers.LSTM(256, return_sequences=True), layers.Dense(65)]


def training(w: Work, a: Arrays, at_once: int) -> worker.Run:
    batch = w.sizes["batch"]
    x = a["x"].astype(np.float32) / 255 if a["x"].dtype == np.uint8 else a["x"]

    def build() -> Any:
        model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), *network(w.sizes["model"])])
        model.set_weights([a[f"p{i}"] for i in range(len(a) - 2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        adam = keras.optimizers.Adam(1e-3, epsilon=EPS)
        model.compile(adam, loss, steps_per_execution=at_once)
        return model

    losses, model = [], build()
    for i in range(0, min(len(x), 10 * batch), batch):
        model.reset_metrics()  # or it were the mean so far
        losses.append(float(model.train_on_batch(x[i : i + batch], a["y"][i : i + batch])))
    fit = partial(build().fit, x, a["y"], batch, verbose=0)
    return worker.Run(fit, {"losses": np.array(losses)})


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.kind == "training":
        form = f"fit on {keras.backend.backend()}"
        yield form, partial(training, w, a, 1)
        if keras.backend.backend() == "jax":  # PyTorch takes one
            yield f"{form}, {AT_ONCE} steps an execution", partial(training, w, a, AT_ONCE)


if __name__ == "__main__":
    worker.serve(sys.modules["__main__"])
