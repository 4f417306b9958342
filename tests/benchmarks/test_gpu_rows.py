"""The steps that a GPU is timed with, at tiny sizes: on the CPU, and on the stand-in for CuPy. No time is looked at."""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np
import pytest

import xpnn
from cuda_cpu import build, standin
from xpnn.backends.cupy import formats
from xpnn.backends.cupy.graph import Graph
from xpnn.core import backend as backends
from xpnn_benchmarks import on_gpu
from xpnn_benchmarks.on_gpu import checks, kernels, learning, recurrent, replays, rows, starting, training
from xpnn_benchmarks.on_gpu.contest import differs
from xpnn_benchmarks.on_gpu.isolation import Skip

CUDA = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))


class HostClock:
    mark = staticmethod(perf_counter)

    @staticmethod
    def between(first, last):
        return last - first

    def wait(self): ...


@pytest.fixture(autouse=True)
def as_it_was():
    """Rows set the precision of the process."""
    yield
    xpnn.precision("fast")


@pytest.fixture
def gpu(monkeypatch):
    """The stand-in's, in one order of threads: the generated tests run all three."""
    monkeypatch.setenv("XPNN_CUDA_ORDER", "shuffled")
    with standin.installed(standin.load()) as fake:
        yield backends.get("cuda:1")
        fake.transfers.clear()


def bench(place):
    made = rows.Bench(place, HostClock(), True, lambda found: None)
    made.torch_device, made.rounds = "cpu", 1
    return made


@pytest.mark.parametrize("model", training.BUILD)
def test_a_network_learns_the_same_every_way(model):
    a = training.inputs(model, 2)
    numba, numpy = backends.get("numba"), backends.get("numpy")
    xpnn.precision("exact")
    want = training.captured(model, 2, a, numpy).answers
    for lane in (training.captured(model, 2, a, numba), training.fitted(model, 2, a, numba)):
        assert differs(lane.answers, want, 1e-4) == ""
        assert want["losses"].shape == (training.CHECKED,)
        lane.step()
    assert training.fitted(model, 2, a, numba).works == training.FITTED


def test_a_network_that_is_timed_is_replayed():
    a = training.inputs("mlp", 2)
    step = training.captured("mlp", 2, a, backends.get("numba")).step
    for _ in range(4):
        step()
    assert step.why_not is None


@CUDA
def test_an_lstm_on_the_stand_in(gpu):
    a = recurrent.inputs(3, 2, 4, 8)
    ours = recurrent.captured(a, gpu)
    assert ours.step.why_not in (None, "it was recorded now")
    assert differs(ours.answers, recurrent.captured(a, backends.get("numpy")).answers, 1e-5) == ""
    assert set(ours.answers) == {"y", "dx", "dw", "du", "db"}


@CUDA
def test_a_kernel_and_an_update_on_the_stand_in(gpu, monkeypatch):
    monkeypatch.setattr(kernels, "MANY", 2)
    for found in (kernels.kernel(bench(gpu), "relu", 512), kernels.adam(bench(gpu), 512)):
        assert found["checked"] == "NumPy"
        assert found["lanes"]["xpnn"]["us"] > 0


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_kernels_are_compared_with_numpy(name, monkeypatch):
    monkeypatch.setattr(kernels, "MANY", 2)
    n = 1 << 16
    assert kernels.kernel(bench(backends.get("numba")), name, n)["checked"] == "NumPy"
    assert np.prod(kernels.KERNELS[name].shapes(n)[0]) == n


def test_a_precision_that_is_not_here_skips_the_row():
    with pytest.raises(Skip, match="'fp4' is not here yet"):
        training.choose("fp4")


def test_without_pytorch_a_lane_says_so(monkeypatch):
    monkeypatch.delattr(on_gpu, "with_torch", raising=False)
    monkeypatch.setitem(sys.modules, "xpnn_benchmarks.on_gpu.with_torch", None)
    (maker,) = bench(None).torch("adam", 3).values()
    with pytest.raises(ImportError):
        maker()


def test_the_first_step_of_a_process(monkeypatch):
    code = starting.FIRST_STEP.format(place="numpy")
    assert starting.seconds(code, "unused") > 0
    with pytest.raises(RuntimeError, match="BackendError"):
        starting.seconds(starting.FIRST_STEP.format(place="nowhere"), "unused")


def test_learning_stops_at_the_goal(monkeypatch):
    digits = xpnn.data.digits()
    shown = xpnn.data.Dataset(np.pad(digits[0].x, ((0, 0), (10, 10), (10, 10), (0, 0))), digits[0].y, classes=10)
    few = learning.part(shown, 64)
    assert len(learning.learn(backends.get("numba"), few, few, 2)) == 2
    monkeypatch.setattr(learning, "GOAL", 0.0)
    assert len(learning.learn(backends.get("numba"), few, few, 2)) == 1


def test_no_mnist_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("XPNN_DATA", str(tmp_path))
    monkeypatch.setenv("XPNN_CACHE", str(tmp_path))
    with pytest.raises(Skip, match="MNIST was not found"):
        learning.mnist(bench(None), "fast")


def test_rows_have_names_of_their_own():
    names = [row.name for row in rows.ROWS]
    assert len(set(names)) == len(names)
    assert names[0] == "machine and ceilings"
    assert all(row.limit_s <= 90 for row in rows.ROWS)


# Checks -------------------------------------------------------------------------------------------------------------

ON_THE_STAND_IN = {
    "a graph gives what its launches give": replays.same_as_eager,
    "the memory of a graph": replays.own_memory,
    "cooperative launches": checks.cooperative,
    "copies in a replayed step": replays.no_copies,
    "a training as on NumPy": replays.as_on_numpy,
    "subnormal numbers": checks.subnormal,
}


@CUDA
@pytest.mark.parametrize("name", ON_THE_STAND_IN)
def test_checks_pass_on_the_stand_in(gpu, name):
    assert checks.CHECKS[name] is ON_THE_STAND_IN[name]
    assert checks.ROWS[name](bench(gpu))["text"]


@CUDA
@pytest.mark.parametrize(("capability", "there"), [("70", set()), ("75", {"Fp16"}), ("90", {"Fp16", "Bf16", "Tf32"})])
def test_what_is_compiled_is_what_the_gpu_has(gpu, monkeypatch, capability, there):
    cuda = gpu.cupy.cuda
    monkeypatch.setattr(cuda, "capability", capability)
    monkeypatch.setattr(cuda.Function, "local_size_bytes", 0, raising=False)
    formats.architecture.cache_clear()
    assert checks.compiling(gpu)
    formats.architecture.cache_clear()
    names = " ".join(name for made in cuda.RawModule.made for name in made.names)
    assert {form for form in formats.ROUNDED.values() if form in names} == there
    assert "<double" not in names
    assert "<float" in names


@CUDA
def test_order_is_checked(gpu, monkeypatch):
    assert replays.order(gpu, 64)
    launched = []

    def every_fifth_late(self):
        launched.append(self)
        if len(launched) % 5:
            with self.backend.here():
                self.graph.launch()

    monkeypatch.setattr(Graph, "__call__", every_fifth_late)
    with pytest.raises(replays.Wrong, match="numbers are of another"):
        replays.order(gpu, 64)
    with pytest.raises(replays.Wrong, match="losses differ"):
        replays.same_as_eager(gpu)


@CUDA
def test_waiting_in_a_step_is_found(gpu, monkeypatch):
    launch = Graph.__call__
    monkeypatch.setattr(Graph, "__call__", lambda self: (launch(self), gpu.synchronize()))
    with pytest.raises(replays.Wrong, match="10 waits"):
        replays.no_copies(gpu)


@CUDA
def test_a_step_that_is_no_graph_is_found(gpu, monkeypatch):
    monkeypatch.setattr(gpu.cupy.cuda.RawModule, "runs", False)  # how many launches, not what they compute
    made = gpu.cupy.cuda.streams.Graph
    monkeypatch.setattr(made, "debug_dot_str", lambda self: 'shape="octagon"' * len(self.runs), raising=False)
    monkeypatch.setattr(replays, "NODES", {"mlp": 8})
    with pytest.raises(replays.Wrong, match="0 kernels"):
        replays.one_graph(gpu)
    monkeypatch.setattr(gpu.cupy.cuda.RawModule, "runs", True)
    assert replays.one_graph(gpu) == "mlp 6 kernels of 8 at most"
    monkeypatch.setattr(replays, "NODES", {"mlp": 5})
    with pytest.raises(replays.Wrong, match="6 kernels in a graph, 5 at most"):
        replays.one_graph(gpu)
    gpu.cupy.cuda.streams.failure["begin"] = RuntimeError("cudaErrorStreamCaptureUnsupported")
    with pytest.raises(RuntimeWarning, match="launch by launch"):
        replays.one_graph(gpu)


# Beside PyTorch, on the CPU -----------------------------------------------------------------------------------------


@pytest.fixture
def with_torch(monkeypatch):
    """Its side, on a machine that has no CUDA graphs."""
    pytest.importorskip("torch")
    from xpnn_benchmarks.on_gpu import with_torch

    monkeypatch.setattr(with_torch, "graphed", lambda step: [step() for _ in range(3)] and step)
    monkeypatch.setattr(kernels, "MANY", 2)
    monkeypatch.setattr(training, "FITTED", 2)
    return with_torch


@pytest.mark.peers
@pytest.mark.usefixtures("with_torch")
@pytest.mark.parametrize("model", training.BUILD)
def test_networks_learn_as_in_pytorch(model):
    found = training.network(bench(backends.get("numba")), model, 4, "exact")
    assert found["checked"] == "torch eager, NCHW"
    assert not [lane for lane in found["lanes"].values() if "why_not" in lane]
    assert {name.split(",")[0] for name in found["lanes"]} == {"xpnn", "torch eager", "torch graph", "xpnn Trainer.fit"}


@pytest.mark.peers
@pytest.mark.usefixtures("with_torch")
def test_kernels_and_an_lstm_as_in_pytorch():
    place = bench(backends.get("numba"))
    found = [recurrent.lstm(place, (5, 3, 4, 6), "fast"), kernels.adam(place, 1000)]
    found += [kernels.kernel(place, name, 1 << 16) for name in kernels.KERNELS]
    for one in found:
        assert not [lane for lane in one["lanes"].values() if "why_not" in lane]
        assert "torch graph" in one["lanes"]
