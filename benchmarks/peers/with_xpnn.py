"""Our side: the public API on numba, as it is called and recorded by `xpnn.capture`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import xpnn
from xpnn import models, nn, ops, optim
from xpnn.data import Dataset
from xpnn.train import Callback
from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work


def conv(w: Work, t: dict[str, Any]) -> Any:
    return ops.conv2d(t["x"], t["w"], t["b"], w.sizes["stride"], w.sizes["padding"], groups=w.sizes["groups"])


def pool(w: Work, t: dict[str, Any]) -> Any:
    return (ops.max_pool2d if w.sizes["which"] == "max" else ops.avg_pool2d)(t["x"], 2)


def cross_entropy(w: Work, t: dict[str, Any]) -> Any:
    return ops.cross_entropy(t["x"], t["labels"])


def dense(w: Work, t: dict[str, Any]) -> Any:
    return ops.dense(t["x"], t["w"], t["b"], "relu")


def recurrent(w: Work, t: dict[str, Any]) -> Any:
    if w.sizes["which"] == "gru":
        return ops.gru(t["x"], t["w"], t["u"], t["b"], t["bn"])[0]
    return ops.lstm(t["x"], t["w"], t["u"], t["b"])[0]


def norm(w: Work, t: dict[str, Any]) -> Any:
    layer = t["layer"]
    return layer(t["x"])


OPS = {
    "conv": conv,
    "pool": pool,
    "cross_entropy": cross_entropy,
    "dense": dense,
    "recurrent": recurrent,
    "norm": norm,
}


def one_op(w: Work, a: Arrays, form: Callable[[Any], Any]) -> worker.Run:
    constants = ("dy", "labels") + (() if w.sizes.get("dx", True) else ("x",))
    t: dict[str, Any] = {name: xpnn.tensor(v, requires_grad=name not in constants) for name, v in a.items()}
    if w.kind == "norm":
        size = w.sizes["shape"][-1]
        layer = t["layer"] = (nn.BatchNorm if w.sizes["which"] == "batch" else nn.LayerNorm)(size)
        gain, bias = layer.parameters()
        gain.assign(a["g"])
        bias.assign(a["b"])
        t["g"], t["b"] = gain, bias
    leaves = {name: v for name, v in t.items() if name != "layer" and v.requires_grad}

    def step() -> None:
        for leaf in leaves.values():
            leaf.zero_grad()
        OPS[w.kind](w, t).backward(t.get("dy"))

    step()
    answers = {f"d{name}": leaf.grad.numpy().copy() for name, leaf in leaves.items()}
    return worker.Run(form(step), {"y": OPS[w.kind](w, t).numpy().copy(), **answers})


def optimizer(w: Work, a: Arrays, form: Callable[[Any], Any]) -> worker.Run:
    p = xpnn.Parameter(xpnn.tensor(a["p"]).data, xpnn.tensor(a["p"]).backend)
    method = optim.Adam([p], lr=1e-3) if w.sizes["which"] == "adam" else optim.Momentum([p], lr=0.01)
    (p * a["g"]).sum().backward()
    for _ in range(3):
        method.step()
    return worker.Run(form(method.step), {"p": p.numpy().copy()})


# Training -----------------------------------------------------------------------------------------------------

BUILD = {
    "mlp": partial(models.mlp, (28, 28, 1), 10),
    "cnn": partial(models.cnn, (28, 28, 1), 10, dropout=0.0),
    "lenet5": partial(models.lenet5, (28, 28, 1), 10),
    "char_lstm": partial(models.char_lstm, 65),
}


class Losses(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_step_end(self, trainer: Any, loss: Any) -> None:
        self.seen.append(loss.item())


def training(w: Work, a: Arrays) -> worker.Run:
    """`Trainer.fit` on the first steps of an epoch, again and again."""
    batch = w.sizes["batch"]
    pixels = {"scale": 1 / 255, "classes": 10} if a["x"].dtype == np.uint8 else {"classes": 65}
    data = Dataset(a["x"], a["y"], **pixels)

    def trainer(*callbacks: Callback) -> Any:
        model = BUILD[w.sizes["model"]]()
        for i, p in enumerate(model.parameters()):
            p.assign(a[f"p{i}"])
        return xpnn.Trainer(model, optim.Adam(lr=1e-3), callbacks=callbacks)

    losses = Losses()
    trainer(losses).fit(data, 1, batch, shuffle=False, progress=False)
    timed = trainer()
    run = partial(timed.fit, data, 1, batch, progress=False)
    return worker.Run(run, {"losses": np.array(losses.seen[:10])})


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.kind == "training":
        yield "Trainer.fit", partial(training, w, a)
    else:
        build = optimizer if w.kind == "optimizer" else one_op
        yield "eager", partial(build, w, a, lambda step: step)
        yield "captured", partial(build, w, a, xpnn.capture)


if __name__ == "__main__":
    xpnn.use("numba")
    worker.serve(sys.modules["__main__"])
