"""Recorded steps as CUDA graphs, on the stand-in: what is captured, what is not, and what comes out."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import xpnn
from xpnn import models, nn, optim
from xpnn.core import backend as backends
from xpnn.core.capture import Captured
from xpnn.data import Dataset
from xpnn.train import Callback, Trainer


def step_of(place, seed=3):
    """A training step with dropout and clipping, and the parameters that it trains."""
    xpnn.seed(seed)
    with xpnn.use(place):
        model = nn.Dropout(0.3)
        gain = xpnn.Parameter(place.from_host(np.ones(5, "f4")), place)
    optimizer = optim.Adam([gain], lr=0.1, clip_norm=0.5)

    def step(x, labels):
        loss = xpnn.losses.cross_entropy(model(x * gain), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, gain


def batches(place, count=6):
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(7, 5)).astype("f4"), rng.integers(0, 5, 7)) for _ in range(count)]
    return [(xpnn.tensor(x, backend=place), xpnn.tensor(y, backend=place)) for x, y in pairs]


def trained(place, wrap):
    step, gain = step_of(place)
    step = wrap(step)
    losses = [step(*batch).numpy().copy() for batch in batches(place)]
    return np.array(losses), gain.numpy().copy(), step


def test_a_replayed_step_is_one_launch_of_a_graph(gpu, cupy):
    _, _, step = trained(gpu, xpnn.capture)
    (graph,) = cupy.cuda.streams.graphs
    assert graph.launches == 4
    assert step.why_not is None


def test_the_same_bits_as_step_by_step(gpu):
    losses, gain, _ = trained(gpu, xpnn.capture)
    plain_losses, plain_gain, _ = trained(gpu, lambda step: step)
    np.testing.assert_array_equal(losses, plain_losses)
    np.testing.assert_array_equal(gain, plain_gain)


def test_capture_copies_and_waits_for_nothing(gpu, cupy):
    step, _ = step_of(gpu)
    captured, inputs = xpnn.capture(step), batches(gpu)
    cupy.transfers.clear()
    for batch in inputs:
        captured(*batch)
    assert cupy.transfers == []


@pytest.mark.parametrize("where", ["begin", "end", "matmul"])
def test_what_cannot_be_captured_goes_launch_by_launch(gpu, cupy, where):
    w = xpnn.tensor(np.eye(5, dtype="f4"), backend=gpu)
    if where == "matmul":
        gpu.override = lambda op: None  # CuPy's own product, which refuses
    else:
        cupy.cuda.streams.failure[where] = cupy.cuda.runtime.CUDARuntimeError(900, "cudaErrorStreamCaptureUnsupported")
    double = xpnn.capture(lambda x: x @ w + 0.0 if where == "matmul" else (x + x) * 0.5 + w[0, 1])
    inputs = [xpnn.tensor(np.full((5, 5), i, "f4"), backend=gpu) for i in range(5)]
    double(inputs[0])
    with pytest.warns(RuntimeWarning, match="launch by launch.*(cudaErrorStreamCaptureUnsupported|cuBLAS)"):
        double(inputs[1])
    for x in inputs:
        np.testing.assert_array_equal(double(x).numpy(), x.numpy())
    assert double.why_not is None
    assert cupy.cuda.streams.captures == []
    assert all(graph.launches == 0 for graph in cupy.cuda.streams.graphs)


def test_another_capture_succeeds_after_one_that_failed(gpu, cupy):
    failure, x = cupy.cuda.streams.failure, xpnn.tensor(np.ones(3, "f4"), backend=gpu)
    failure["end"] = cupy.cuda.runtime.CUDARuntimeError(901, "cudaErrorStreamCaptureInvalidated")
    first = xpnn.capture(lambda t: t + t + t)
    first(x)
    with pytest.warns(RuntimeWarning, match="901|Invalidated"):
        first(x)
    failure.clear()
    second = xpnn.capture(lambda t: t + t + t)
    for _ in range(3):
        second(x)
    assert cupy.cuda.streams.graphs[-1].launches == 1


def test_launches_on_the_gpu_of_the_backend(gpu, cupy):
    """GPU 1 is not the current one when the graph is launched."""
    add = xpnn.capture(lambda t: t + t * t)
    for i in range(4):
        x = xpnn.tensor(np.full(3, i, "f4"), backend=gpu)
        np.testing.assert_array_equal(add(x).numpy(), np.full(3, i + i * i))
    assert cupy.cuda.Device().id == 0


def test_two_places_in_one_step(gpu):
    """Calls on the host and on the GPU stay in their order; each place bundles its own."""
    a, b = (xpnn.Parameter(place.from_host(np.zeros(3, "f4")), place) for place in (gpu, backends.get("numba")))
    rate = {a: xpnn.tensor(np.ones(3, "f4"), backend=gpu), b: xpnn.tensor(np.ones(3, "f4"), backend="numba")}

    def step():
        return [(t * 2.0 + r * 3.0) * (t + r) for t, r in rate.items()]

    captured = Captured(step)
    for i in range(4):
        for t in rate:
            t.assign(np.full(3, i, "f4"))
        for result in captured():
            np.testing.assert_array_equal(result.numpy(), np.full(3, (2 * i + 3) * (i + 1)))
    assert captured.why_not is None


def test_addresses_of_views(gpu):
    x = gpu.from_host(np.arange(12, dtype="f4").reshape(3, 4))
    assert gpu.address(x[1:]) != gpu.address(x)
    assert gpu.address(x.reshape(12)) != gpu.address(x)
    assert gpu.address(x[:]) == gpu.address(x)
    assert gpu.overlap(x[::-1], [x[:1]])
    assert gpu.overlap(x.T, [None, x[2:]])
    assert not gpu.overlap(x[:1], [x[1:]])
    assert not gpu.overlap(x[:0], [x])


def fitted(cupy, place="cuda", **settings):
    """A small training, after whose first two steps every one is replayed: its losses."""
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(40, 6)).astype("f4"), rng.integers(0, 3, 40))
    xpnn.seed(1)
    model = nn.Sequential(nn.Dropout(0.2), nn.Dense(6, 3))
    trainer = Trainer(model.to(place), optim.Adam(lr=0.01), loss="cross_entropy", **settings)
    history = trainer.fit(data, epochs=3, batch_size=8, progress=False)
    return [[row[name] for name in ("loss", *[m.name for m in trainer.metrics])] for row in history.rows]


@pytest.mark.parametrize("metrics", [[], ["accuracy", "top2", "f1"]], ids=["loss", "metrics"])
def test_a_step_of_fit_is_one_launch_of_a_graph(cupy, metrics):
    """The batch, forward, loss, metrics, backward and update: nothing else is launched, nothing copied."""
    made = cupy.cuda.RawModule.made
    on_gpu = fitted(cupy, metrics=metrics)
    launched = sum(len(module.launches) for module in made)
    assert [graph.launches for graph in cupy.cuda.streams.graphs] == [13]
    (graph,) = cupy.cuda.streams.graphs
    assert launched == 3 * len(graph.runs), "two steps, and the capture of the third"
    np.testing.assert_allclose(on_gpu, fitted(cupy, "numpy", metrics=metrics), 1e-5)


MLP, CNN = partial(models.mlp, classes=10), partial(models.cnn, classes=10)


@pytest.mark.parametrize(
    ("make", "settings", "budget"),
    [
        (MLP, {}, 8),
        (MLP, {"metrics": ["accuracy"]}, 9),
        (MLP, {"clip_norm": 1.0}, 10),
        (partial(CNN, dropout=0.0), {}, 18),
        (CNN, {}, 22),
        (partial(models.lenet5, classes=10), {}, 22),
    ],
    ids=["mlp 784-300-10", "accuracy", "clipping", "cnn 32-64-pool-128-10", "dropout", "lenet5"],
)
def test_nodes_of_a_step_of_fit(cupy, make, settings, budget):
    """All that a step does, its batch and the running loss included. Each dropout is two, as its forward moves its
    stream on. A metric is one more, since any may be asked for beside any loss; clipping is two more, since no element
    can be scaled before all were squared."""
    shape, rng = (28, 28, 1), np.random.default_rng(0)
    data = Dataset(rng.integers(0, 256, (6, *shape)).astype("u1"), rng.integers(0, 10, 6), scale=1 / 255)
    optimizer = optim.Adam(lr=0.01, clip_norm=settings.get("clip_norm"))
    trainer = Trainer(make(shape).to("cuda"), optimizer, metrics=settings.get("metrics", []))
    trainer.fit(data, epochs=2, batch_size=6, progress=False)
    (graph,) = cupy.cuda.streams.graphs
    assert len(graph.runs) <= budget


def test_who_looks_at_the_loss_pauses_the_step(cupy):
    """Two graphs: up to the loss, where callbacks may look at it, and from there."""

    class Look(Callback):
        def on_loss(self, trainer, x, loss): ...

    alone, watched = fitted(cupy), fitted(cupy, callbacks=[Look()])
    assert [graph.launches for graph in cupy.cuda.streams.graphs] == [13, 13, 13]
    assert alone == watched
