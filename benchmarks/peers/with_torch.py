"""PyTorch's side: eager and compiled, images as NCHW and as channels_last, whichever is fastest; optimizers fused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def image(x: np.ndarray, layout: str) -> torch.Tensor:
    """From N H W C."""
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=LAYOUTS[layout])


def kernel(w: np.ndarray, layout: str = "NCHW") -> torch.Tensor:
    """From KH KW I O."""
    return torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=LAYOUTS[layout])


def ours(name: str, t: torch.Tensor) -> np.ndarray:
    """A tensor in the layouts of xpnn: images, kernels and their gradients have four axes."""
    a = t.detach()
    if a.ndim == 4:
        a = a.permute(2, 3, 1, 0) if name == "dw" else a.permute(0, 2, 3, 1)
    return a.numpy().copy()


class Sequences(nn.Module):
    """One layer of LSTM or GRU with the weights of xpnn, whose one bias is the first of the two here."""

    def __init__(self, which: str, w: np.ndarray, u: np.ndarray, b: np.ndarray, bn: np.ndarray | None = None) -> None:
        super().__init__()
        self.net = (nn.GRU if which == "gru" else nn.LSTM)(w.shape[0], u.shape[0], batch_first=True)
        with torch.no_grad():
            self.net.weight_ih_l0.copy_(torch.from_numpy(w.T))
            self.net.weight_hh_l0.copy_(torch.from_numpy(u.T))
            self.net.bias_ih_l0.copy_(torch.from_numpy(b))
            self.net.bias_hh_l0.zero_()
            if bn is not None:
                self.net.bias_hh_l0[-len(bn) :] = torch.from_numpy(bn)
        self.net.bias_hh_l0.requires_grad_(bn is not None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)[0]


# Ops ----------------------------------------------------------------------------------------------------------


def prepared(w: Work, a: Arrays, layout: str) -> tuple[Callable[..., Any], dict[str, torch.Tensor], Any]:
    """(function of the leaves, the leaves by name, dy)."""
    s = w.sizes
    plain = {name: torch.from_numpy(v) for name, v in a.items() if v.ndim != 4}
    x = image(a["x"], layout) if a["x"].ndim == 4 else plain["x"]
    dy = None if "dy" not in a else image(a["dy"], layout) if a["dy"].ndim == 4 else plain["dy"]
    if w.kind == "conv":
        weights = {"w": kernel(a["w"], layout), "b": plain["b"]}
        if not s["dx"]:
            return lambda k, b: F.conv2d(x, k, b, s["stride"], s["padding"], 1, s["groups"]), weights, dy
        return (
            lambda x, k, b: F.conv2d(x, k, b, s["stride"], s["padding"], 1, s["groups"]),
            {"x": x, **weights},
            dy,
        )
    if w.kind == "pool":
        return (F.max_pool2d if s["which"] == "max" else F.avg_pool2d), {"x": x}, dy
    if w.kind == "norm":
        leaves = {"x": x, "g": plain["g"], "b": plain["b"]}
        if s["which"] == "layer":
            return lambda x, g, b: F.layer_norm(x, g.shape, g, b), leaves, dy
        mean, variance = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
        return lambda x, g, b: F.batch_norm(x, mean, variance, g, b, True), leaves, dy
    if w.kind == "cross_entropy":
        return lambda x: F.cross_entropy(x, plain["labels"]), {"x": x}, dy
    if w.kind == "dense":
        return (
            lambda x, k, b: F.relu(F.linear(x, k, b)),
            {"x": x, "w": plain["w"].T.contiguous(), "b": plain["b"]},
            dy,
        )
    net = Sequences(s["which"], *[a[name] for name in ("w", "u", "b", "bn") if name in a])
    names = {"w": "weight_ih_l0", "u": "weight_hh_l0", "b": "bias_ih_l0"} | ({"bn": "bias_hh_l0"} if "bn" in a else {})
    leaves = {"x": x} | {name: getattr(net.net, theirs) for name, theirs in names.items()}
    return (lambda x, *_: net(x)), leaves, dy


def one_op(w: Work, a: Arrays, layout: str, compiled: bool) -> worker.Run:
    function, leaves, dy = prepared(w, a, layout)
    for leaf in leaves.values():
        leaf.requires_grad_()
    if w.kind == "pool":
        function = partial(lambda pool, x: pool(x, 2), function)
    if compiled:
        torch._dynamo.reset()
        function = torch.compile(function)
    inputs = tuple(leaves.values())

    def step() -> Any:
        y = function(*inputs)
        return y, torch.autograd.grad(y, inputs, dy)

    y, gradients = step()
    answers = {"y": ours("y", y)}
    for name, gradient in zip(leaves, gradients, strict=True):
        g = ours(f"d{name}", gradient)
        if w.kind in ("dense", "recurrent") and name in ("w", "u"):
            g = g.T
        answers[f"d{name}"] = g[-len(a["bn"]) :] if name == "bn" else g
    return worker.Run(step, answers)


def optimizer(w: Work, a: Arrays) -> worker.Run:
    p = torch.from_numpy(a["p"].copy()).requires_grad_()
    p.grad = torch.from_numpy(a["g"])
    adam = w.sizes["which"] == "adam"
    method = torch.optim.Adam([p], fused=True) if adam else torch.optim.SGD([p], lr=0.01, momentum=0.9, fused=True)
    for _ in range(3):
        method.step()
    return worker.Run(method.step, {"p": p.detach().numpy().copy()})


# Training -----------------------------------------------------------------------------------------------------


def linear(w: np.ndarray, b: np.ndarray) -> nn.Linear:
    layer = nn.Linear(*w.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w.T))
        layer.bias.copy_(torch.from_numpy(b))
    return layer


def conv(w: np.ndarray, b: np.ndarray, padding: int = 0) -> nn.Conv2d:
    layer = nn.Conv2d(w.shape[2], w.shape[3], w.shape[0], padding=padding)
    with torch.no_grad():
        layer.weight.copy_(kernel(w))
        layer.bias.copy_(torch.from_numpy(b))
    return layer


def flat(w: np.ndarray, channels: int) -> np.ndarray:
    """The rows of a dense layer behind a flattened image, in the order that NCHW flattens to."""
    side = round((len(w) / channels) ** 0.5)
    return w.reshape(side, side, channels, -1).transpose(2, 0, 1, 3).reshape(w.shape)


def build(name: str, a: Arrays) -> nn.Module:
    p = [a[f"p{i}"] for i in range(sum(key.startswith("p") for key in a))]
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), linear(*p[:2]), nn.ReLU(), linear(*p[2:]))
    if name == "cnn":
        features = [conv(*p[:2]), nn.ReLU(), conv(*p[2:4]), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*features, linear(flat(p[4], 64), p[5]), nn.ReLU(), linear(*p[6:]))
    if name == "lenet5":
        features = [conv(p[0], p[1], padding=2), nn.ReLU(), nn.MaxPool2d(2), conv(*p[2:4]), nn.ReLU(), nn.MaxPool2d(2)]
        dense = [linear(flat(p[4], 16), p[5]), nn.ReLU(), linear(*p[6:8]), nn.ReLU(), linear(*p[8:])]
        return nn.Sequential(*features, nn.Flatten(), *dense)
    return nn.Sequential(
        nn.Embedding.from_pretrained(torch.from_numpy(p[0]), False), Sequences("lstm", *p[1:4]), linear(*p[4:])
    )


def training(w: Work, a: Arrays, layout: str, compiled: bool) -> worker.Run:
    """Steps as tutorials write them, with fused Adam."""
    model_name, batch = w.sizes["model"], w.sizes["batch"]
    if a["x"].dtype == np.uint8:
        x = image(a["x"], layout).float().contiguous(memory_format=LAYOUTS[layout]) / 255
    else:
        x = torch.from_numpy(a["x"])
    y, criterion = torch.from_numpy(a["y"].astype(np.int64)), nn.CrossEntropyLoss()

    def setup() -> tuple[Any, Any]:
        model = build(model_name, {name: v.copy() for name, v in a.items()})
        if layout == "channels_last":
            model = model.to(memory_format=torch.channels_last)

        def objective(xb: torch.Tensor, yb: torch.Tensor) -> torch.Tensor:
            return criterion(model(xb).flatten(0, -2), yb.flatten())

        adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], fused=True)
        return adam, torch.compile(objective) if compiled else objective

    def epoch(adam: Any, objective: Any, order: torch.Tensor) -> list[torch.Tensor]:
        losses = []
        for rows in order.split(batch):
            loss = objective(x[rows], y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.detach())
        return losses

    torch._dynamo.reset()
    losses = epoch(*setup(), torch.arange(min(len(x), 10 * batch)))
    timed = setup()
    return worker.Run(lambda: epoch(*timed, torch.randperm(len(x))), {"losses": np.array([v.item() for v in losses])})


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.kind == "optimizer":
        yield "fused", partial(optimizer, w, a)
        return
    make = training if w.kind == "training" else one_op
    layouts = tuple(LAYOUTS) if a["x"].ndim == 4 else ("",)
    if w.sizes.get("model") == "mlp":
        layouts = ("NCHW",)
    times: dict[str, Any] = {}
    for layout in layouts:
        times[layout] = yield f"eager {layout}".strip(), partial(make, w, a, layout, False)
    best = min((layout for layout in layouts if times[layout]), key=lambda layout: times[layout], default=layouts[0])
    yield f"compiled {best}".strip(), partial(make, w, a, best, True)


if __name__ == "__main__":
    worker.serve(sys.modules["__main__"])
