"""What is measured: every row of the comparison, with its inputs and what it takes to compute it.

A work is forward and backward of one op, a step of an optimizer, or an epoch of training.
Every side gets the same arrays, in the layouts of xpnn, and must give the same answers before it is timed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BATCH, EPOCH = 64, 60_000
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Work:
    """kind says which code of a side does it, sizes are that code's arguments.

    flops   of forward and backward, a multiply-add counted as two; 0 where moving bytes is the work
    nbytes  that must move at the least, where there are no flops
    parts   of an epoch, as many as are not run: its time is that of a stretch of steps, times this
    close   largest difference of an answer from ours, relative to its largest value; 0: nothing to compare
    """

    name: str
    kind: str
    sizes: dict[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    nbytes: float = 0.0
    parts: float = 1.0
    close: float = 1e-4

    def inputs(self) -> Arrays:
        """The arrays of this work, the same in every process."""
        arrays = _INPUTS[self.kind](np.random.default_rng(0), **self.sizes)
        return {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}


# Ops ----------------------------------------------------------------------------------------------------------


def _conv(name, N, H, C, O, K, stride=1, padding=0, groups=1, dx=True):
    sizes = {k: v for k, v in locals().items() if k != "name"}
    out = (H + 2 * padding - K) // stride + 1
    return Work(name, "conv", sizes, (6 if dx else 4) * N * out * out * O * K * K * C // groups)


def _conv_inputs(rng, N, H, C, O, K, stride, padding, groups, dx):
    out = (H + 2 * padding - K) // stride + 1
    w = rng.standard_normal((K, K, C // groups, O)) / math.sqrt(K * K * C / groups)
    return {"x": rng.standard_normal((N, H, H, C)), "w": w, "b": rng.standard_normal(O)} | {
        "dy": rng.standard_normal((N, out, out, O))
    }


def _pool(name, which):
    N, H, C = 64, 24, 64
    return Work(name, "pool", {"which": which, "N": N, "H": H, "C": C}, nbytes=4 * 2.5 * N * H * H * C)


def _pool_inputs(rng, which, N, H, C):
    return {"x": rng.standard_normal((N, H, H, C)), "dy": rng.standard_normal((N, H // 2, H // 2, C))}


def _norm(name, which, shape):
    # forward reads x and writes y, backward reads x and dy and writes dx
    return Work(name, "norm", {"which": which, "shape": shape}, nbytes=4 * 5 * math.prod(shape))


def _norm_inputs(rng, which, shape):
    g, b = rng.uniform(0.5, 1.5, shape[-1]), rng.standard_normal(shape[-1])
    return {"x": rng.standard_normal(shape), "g": g, "b": b, "dy": rng.standard_normal(shape)}


def _cross_entropy(name, N, C):
    return Work(name, "cross_entropy", {"N": N, "C": C}, nbytes=4 * 2 * N * C)


def _cross_entropy_inputs(rng, N, C):
    return {"x": rng.standard_normal((N, C)), "labels": rng.integers(0, C, N)}


def _dense(name, N, I, O):
    return Work(name, "dense", {"N": N, "I": I, "O": O}, 6 * N * I * O)


def _dense_inputs(rng, N, I, O):
    w = rng.standard_normal((I, O)) / math.sqrt(I)
    arrays = {"x": rng.standard_normal((N, I)), "w": w, "b": rng.standard_normal(O)}
    return arrays | {"dy": rng.standard_normal((N, O))}


def _recurrent(which, T, N, I, H):
    gates = {"lstm": 4, "gru": 3}[which]
    sizes = {"which": which, "gates": gates, "T": T, "N": N, "I": I, "H": H}
    name = f"{which.upper()} T={T} N={N} I={I} H={H}"
    return Work(name, "recurrent", sizes, 6 * T * N * gates * H * (I + H))


def _recurrent_inputs(rng, which, gates, T, N, I, H):
    reach = 1 / math.sqrt(H)
    shapes = {"w": (I, gates * H), "u": (H, gates * H), "b": (gates * H,)} | ({"bn": (H,)} if which == "gru" else {})
    arrays = {name: rng.uniform(-reach, reach, shape) for name, shape in shapes.items()}
    return {"x": rng.standard_normal((N, T, I)), **arrays, "dy": rng.standard_normal((N, T, H))}


def _optimizer(name, which, moved):
    return Work(name, "optimizer", {"which": which, "size": 1_000_000}, nbytes=4 * moved * 1_000_000)


def _optimizer_inputs(rng, which, size):
    return {"p": rng.standard_normal(size), "g": rng.standard_normal(size)}


# Training -----------------------------------------------------------------------------------------------------

MODELS = {  # layer by layer: the shapes of the weights
    "mlp": ((784, 300), (300,), (300, 10), (10,)),
    "cnn": ((3, 3, 1, 32), (32,), (3, 3, 32, 64), (64,), (9216, 128), (128,), (128, 10), (10,)),
    "lenet5": ((5, 5, 1, 6), (6,), (5, 5, 6, 16), (16,), (400, 120), (120,), (120, 84), (84,), (84, 10), (10,)),
    "char_lstm": ((65, 64), (64, 1024), (256, 1024), (1024,), (256, 65), (65,)),
}
# multiply-adds for one sample: forward, and in the first layer, whose input needs no gradient
_FORWARD = {
    "mlp": (784 * 300 + 3000, 784 * 300),
    "cnn": (26 * 26 * 9 * 32 + 24 * 24 * 9 * 32 * 64 + 9216 * 128 + 1280, 26 * 26 * 9 * 32),
    "lenet5": (28 * 28 * 25 * 6 + 100 * 25 * 96 + 400 * 120 + 120 * 84 + 840, 28 * 28 * 25 * 6),
    "char_lstm": (100 * (1024 * (64 + 256) + 256 * 65), 0),
}


def _training(name, model, steps, batch=BATCH, epoch=EPOCH):
    parts = epoch / (steps * batch)
    sizes = {"model": model, "steps": steps, "batch": batch}
    forward, first = _FORWARD[model]
    return Work(name, "training", sizes, (6 * forward - 2 * first) * epoch, parts=parts, close=1e-3)


def _training_inputs(rng, model, steps, batch):
    arrays = {}
    for i, shape in enumerate(MODELS[model]):
        fan = math.prod(shape[:-1])
        # Biases, the embedding, the LSTM's matrices (Glorot's would do), and He's normal for what is before a ReLU.
        scale = 0.0 if len(shape) == 1 else 1.0 if shape[0] == 65 else math.sqrt((0.3 if shape[1] == 1024 else 2) / fan)
        arrays[f"p{i}"] = scale * rng.standard_normal(shape)
    if model == "char_lstm":
        text = rng.integers(0, 65, (steps * batch, 101))
        return arrays | {"x": text[:, :-1], "y": text[:, 1:]}
    x, y = digits(steps * batch)
    return arrays | {"x": x, "y": y}


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images (N, 28, 28, 1) of MNIST, where XPNN_DATA has it; else random pixels: the time is the same."""
    if has_mnist():
        from xpnn import data

        train, _ = data.mnist(download=False)
        return train.x[:count], train.y[:count]
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 28, 28, 1), np.uint8), rng.integers(0, 10, count)


def has_mnist() -> bool:
    folder = Path(os.environ.get("XPNN_DATA") or "nowhere")
    return any(folder.glob("**/train-images-idx3-ubyte*"))


# The rows -----------------------------------------------------------------------------------------------------

SEQUENCES = ((28, 64, 28, 128), (100, 32, 65, 256), (128, 64, 256, 512))
WORKS = (
    _conv("conv 3x3, 32->64, 26x26, N=64", 64, 26, 32, 64, 3),
    _conv("conv 3x3, 64->64, 56x56, N=32", 32, 56, 64, 64, 3, padding=1),
    _conv("conv 3x3, 1->32, 28x28, N=64", 64, 28, 1, 32, 3, dx=False),
    _conv("conv 5x5, 6->16, 14x14, N=64", 64, 14, 6, 16, 5),
    _conv("conv 1x1, 256->64, 28x28, N=32", 32, 28, 256, 64, 1),
    _conv("conv 3x3 stride 2, 64->128, 56x56, N=32", 32, 56, 64, 128, 3, stride=2, padding=1),
    _conv("conv 3x3 depthwise, 128, 28x28, N=32", 32, 28, 128, 128, 3, padding=1, groups=128),
    _pool("max pool 2x2, 64x24x24x64", "max"),
    _pool("average pool 2x2, 64x24x24x64", "avg"),
    _norm("batch norm, 64x26x26x64", "batch", (64, 26, 26, 64)),
    _norm("layer norm, 4096x512", "layer", (4096, 512)),
    _cross_entropy("softmax cross-entropy, 64x10", 64, 10),
    _cross_entropy("softmax cross-entropy, 128x10000", 128, 10_000),
    _dense("dense with ReLU, 64x784x300", 64, 784, 300),
    _dense("dense with ReLU, 256x1024x1024", 256, 1024, 1024),
    *[_recurrent(which, *sizes) for which in ("lstm", "gru") for sizes in SEQUENCES],
    _optimizer("Adam, 1M parameters", "adam", 7),
    _optimizer("SGD with momentum, 1M parameters", "momentum", 5),
    _training("MNIST MLP 784-300-10, an epoch", "mlp", 937),
    _training("MNIST CNN 32-64-pool-128-10, an epoch", "cnn", 30),
    _training("MNIST LeNet-5, an epoch", "lenet5", 200),
    _training("character LSTM, N=32 T=100 H=256, a step", "char_lstm", 6, batch=32, epoch=32),
)
_INPUTS: dict[str, Callable[..., Arrays]] = {
    "conv": _conv_inputs,
    "pool": _pool_inputs,
    "norm": _norm_inputs,
    "cross_entropy": _cross_entropy_inputs,
    "dense": _dense_inputs,
    "recurrent": _recurrent_inputs,
    "optimizer": _optimizer_inputs,
    "training": _training_inputs,
}


def find(name: str) -> Work:
    return next(work for work in WORKS if work.name == name)
