"""PyTorch's side, as it is fastest: eager; the whole step as one CUDA graph; compiled, by itself and in such a graph.

Images as NCHW and as channels_last, the optimizer fused. Only "tf32" lets float32 be rounded; "bf16" is autocast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from xpnn_benchmarks.on_gpu.contest import Lane, Makers
from xpnn_benchmarks.on_gpu.training import LR
from xpnn_benchmarks.peers.with_torch import LAYOUTS, Sequences, build
from xpnn_benchmarks.peers.works import Arrays

Step = Callable[[], Any]


def rounding(precision: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True  # the fastest of cuDNN's algorithms, looked for once


def graphed(step: Step) -> Step:
    """The step as one CUDA graph; it has been done three times before, as PyTorch wants it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


# Training -----------------------------------------------------------------------------------------------------------


class Training:
    """A network, its optimizer, and a batch in memory that stays where it is."""

    def __init__(self, model: str, batch: int, a: Arrays, precision: str, layout: str, device: str) -> None:
        rounding(precision)
        self.model = build(model, {name: v.copy() for name, v in a.items()}).to(device)
        if layout == "channels_last":
            self.model = self.model.to(memory_format=torch.channels_last)
        on_gpu = device != "cpu"
        self.adam = torch.optim.Adam(self.model.parameters(), lr=LR, fused=True, capturable=on_gpu)
        self.precision, self.device, self.layout, self.batch = precision, device, layout, batch
        pixels = torch.from_numpy(a["x"]).permute(0, 3, 1, 2).to(device).float() / 255
        self.images = pixels.contiguous(memory_format=LAYOUTS[layout])
        self.labels = torch.from_numpy(a["y"].astype(np.int64)).to(device)
        self.x, self.y = self.images[:batch].clone(memory_format=torch.preserve_format), self.labels[:batch].clone()
        self.loss = torch.zeros((), device=device)
        self.objective = self._objective

    def _objective(self) -> torch.Tensor:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.model(self.x)
        return F.cross_entropy(logits.float(), self.y)

    def step(self) -> None:
        loss = self.objective()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.loss.copy_(loss.detach())

    def losses(self, step: Step) -> np.ndarray:
        """Of a step on each batch."""
        found = []
        for i in range(0, len(self.labels), self.batch):
            self.x.copy_(self.images[i : i + self.batch])
            self.y.copy_(self.labels[i : i + self.batch])
            step()
            found.append(self.loss.item())
        self.x.copy_(self.images[: self.batch])
        self.y.copy_(self.labels[: self.batch])
        return np.array(found)

    def unchanged(self, prepare: Callable[[], Step]) -> Step:
        """What `prepare` makes, with the weights and the optimizer as they were before."""
        before = [p.detach().clone() for p in self.model.parameters()]
        step = prepare()
        with torch.no_grad():
            for p, old in zip(self.model.parameters(), before, strict=True):
                p.copy_(old)
            for state in self.adam.state.values():
                for value in state.values():
                    value.zero_()
        return step

    def compile(self, mode: str | None) -> None:
        torch._dynamo.reset()
        self.objective = torch.compile(self._objective, mode=mode)


def eager(make: Callable[[], Training]) -> Lane:
    work = make()
    return Lane(work.step, {"losses": work.losses(work.step)})


def graph(make: Callable[[], Training]) -> Lane:
    work = make()
    step = work.unchanged(lambda: graphed(work.step))
    return Lane(step, {"losses": work.losses(step)})


def compiled(make: Callable[[], Training], whole: bool) -> Lane:
    """whole: the step in one graph, the optimizer too; else the graphs are those of `reduce-overhead`."""
    work = make()
    work.compile(None if whole else "reduce-overhead")
    if whole:
        step = work.unchanged(lambda: graphed(work.step))
    else:

        def step() -> None:
            torch.compiler.cudagraph_mark_step_begin()
            work.step()

    return Lane(step, {"losses": work.losses(step)})


def training(bench: Any, model: str, batch: int, a: Arrays, precision: str) -> Makers:
    layouts = ("NCHW",) if model == "mlp" else tuple(LAYOUTS)
    makes = {layout: partial(Training, model, batch, a, precision, layout, bench.torch_device) for layout in layouts}
    makers: Makers = {f"torch eager, {layout}": partial(eager, make) for layout, make in makes.items()}
    makers |= {f"torch graph, {layout}": partial(graph, make) for layout, make in makes.items()}
    if not bench.quick:
        makers |= {
            f"torch compiled, {kind}": partial(compiled, makes[layouts[-1]], whole)
            for kind, whole in (("in a graph", True), ("reduce-overhead", False))
        }
    return makers


# Recurrent networks -------------------------------------------------------------------------------------------------


def recurrent(bench: Any, a: Arrays, precision: str) -> Makers:
    """cuDNN's LSTM; bf16: all of it, weights and sequences."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def make(whole: bool) -> Lane:
        rounding(precision)
        module = Sequences("lstm", a["w"], a["u"], a["b"]).to(bench.torch_device, dtype)
        module.net.flatten_parameters()
        x = torch.from_numpy(a["x"]).to(bench.torch_device, dtype).requires_grad_()
        dy = torch.from_numpy(a["dy"]).to(bench.torch_device, dtype)
        weights = [getattr(module.net, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")]
        held: dict[str, torch.Tensor] = {}

        def step() -> None:
            y = module(x)
            gradients = torch.autograd.grad(y, [x, *weights], dy)
            held.update(zip(("y", "dx", "dw", "du", "db"), (y.detach(), *gradients), strict=True))

        run = graphed(step) if whole else step
        run()
        answers = {name: t.float().cpu().numpy() for name, t in held.items()}
        return Lane(run, {name: v.T if name in ("dw", "du") else v for name, v in answers.items()})

    return {"torch eager": partial(make, False), "torch graph": partial(make, True)}


# Kernels ------------------------------------------------------------------------------------------------------------


def _batch_norm(x: torch.Tensor, g: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Channels last, as xpnn has them."""
    return F.batch_norm(x.permute(0, 3, 1, 2), None, None, g, b, True)


KERNELS: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "relu": torch.relu,
    "softmax": lambda x: torch.softmax(x, -1),
    "layer norm": lambda x, g, b: F.layer_norm(x, g.shape, g, b),
    "batch norm": _batch_norm,
    "matmul": torch.matmul,
}


def kernel(bench: Any, name: str, sets: list[tuple[np.ndarray, ...]], precision: str) -> Makers:
    """The same work on the same sets of arrays, as one graph."""

    def make() -> Lane:
        rounding(precision)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        given = [[torch.from_numpy(v).to(bench.torch_device, dtype) for v in arrays] for arrays in sets]
        held: list[torch.Tensor] = []

        def step() -> None:
            held[:] = [KERNELS[name](*tensors) for tensors in given]

        run = graphed(step)
        run()
        y = held[0].permute(0, 2, 3, 1) if held[0].ndim == 4 else held[0]
        return Lane(run, {"y": y.float().cpu().numpy()}, len(sets))

    return {"torch graph": make} if name in KERNELS else {}


def adam(bench: Any, n: int) -> Makers:
    def make() -> Lane:
        rng = np.random.default_rng(0)
        start, gradient = (torch.from_numpy(rng.standard_normal(n, np.float32)) for _ in range(2))
        p = start.to(bench.torch_device).requires_grad_()
        p.grad = gradient.to(bench.torch_device)
        method = torch.optim.Adam([p], lr=LR, fused=True, capturable=bench.torch_device != "cpu")
        for _ in range(3):
            method.step()
        answers = {"p": p.detach().cpu().numpy().copy()}
        return Lane(graphed(method.step), answers)

    return {"torch graph": make}
