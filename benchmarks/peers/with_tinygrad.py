"""tinygrad's side, for training: a step under TinyJit, batches gathered inside, kernels compiled by clang for the CPU.

An epoch takes it long enough that some steps are timed and the rest extrapolated. BEAM=2 in the environment lets it
search for faster kernels first, a minute and more for each work. Release 0.14 runs its kernels on one thread, however
many it may use. The LSTM is left out: its loop over the time is unrolled, and compiles for minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from tinygrad import Context, Tensor, TinyJit
from tinygrad.helpers import BEAM
from tinygrad.nn.optim import Adam

from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work

STEPS = 10


def conv(x: Tensor, w: Tensor, b: Tensor, padding: int = 0) -> Tensor:
    return x.conv2d(w.permute(3, 2, 0, 1), b, padding=padding).relu()


def head(x: Tensor, p: list[Tensor]) -> Tensor:
    """The dense layers that a classifier ends with; a flattened image is in the order of N H W C."""
    x = (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)
    for i in range(0, len(p) - 2, 2):
        x = x.linear(p[i], p[i + 1]).relu()
    return x.linear(p[-2], p[-1])


def cnn(x: Tensor, p: list[Tensor]) -> Tensor:
    return head(conv(conv(x, *p[:2]), *p[2:4]).max_pool2d(), p[4:])


def lenet5(x: Tensor, p: list[Tensor]) -> Tensor:
    return head(conv(conv(x, p[0], p[1], 2).max_pool2d(), *p[2:4]).max_pool2d(), p[4:])


FORWARD = {"mlp": head, "cnn": cnn, "lenet5": lenet5}


def training(w: Work, a: Arrays) -> worker.Run:
    if not shutil.which(os.environ.get("CC", "clang")):
        raise RuntimeError("tinygrad compiles by clang, which is not here")
    batch, forward = w.sizes["batch"], FORWARD[w.sizes["model"]]
    x = Tensor((a["x"].astype(np.float32) / 255).transpose(0, 3, 1, 2)).realize()
    y = Tensor(a["y"].astype(np.int32)).realize()

    def begin() -> Callable[[Tensor], Tensor]:
        p = [Tensor(a[f"p{i}"]).realize() for i in range(len(a) - 2)]
        adam = Adam(p, lr=1e-3)

        @TinyJit
        @Context(TRAINING=1)
        def step(rows: Tensor) -> Tensor:
            loss = forward(x[rows], p).sparse_categorical_crossentropy(y[rows])
            adam.zero_grad()
            loss.backward()
            return loss.realize(*adam.schedule_step())

        return step

    order = np.arange(len(x), dtype=np.int32).reshape(-1, batch)
    step = begin()
    losses = [step(Tensor(rows)).item() for rows in order[:10]]

    def run() -> None:
        for rows in order[:STEPS]:
            loss = step(Tensor(rows))
        loss.item()  # waits for all

    return worker.Run(run, {"losses": np.array(losses)}, times=w.sizes["steps"] / STEPS)


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.sizes.get("model") in FORWARD:
        yield f"TinyJit, BEAM={BEAM.value}, {STEPS} steps, extrapolated", partial(training, w, a)


if __name__ == "__main__":
    worker.serve(sys.modules["__main__"])
