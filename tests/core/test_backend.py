"""Finding backends, choosing one, mixing two."""

from __future__ import annotations

import importlib
import threading
import time
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

import xpnn
from xpnn.backends.numpy import NumpyBackend
from xpnn.core import backend
from xpnn.core.op import REGISTRY, Spec
from xpnn.errors import BackendError, ShapeError, XpnnError


class Elsewhere(NumpyBackend):
    """A second place, as an outside package would bring it."""

    name = "elsewhere"


@pytest.fixture
def elsewhere(monkeypatch):
    """The backend `elsewhere`, found by an entry point."""

    class Point:
        name = "elsewhere"

        def load(self):
            return lambda index: Elsewhere()

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Point()] if group == "xpnn.backends" else [])
    monkeypatch.setattr(backend, "_instances", dict(backend._instances))
    return backend.get("elsewhere")


@pytest.fixture(autouse=True)
def default_restored(monkeypatch):
    monkeypatch.setattr(backend, "_uses", [])


def test_one_instance_a_name():
    assert backend.get("numpy") is backend.get("numpy")
    assert backend.get(backend.get("numpy")) is backend.get("numpy")


def test_one_instance_for_threads_that_ask_at_once(monkeypatch):
    made, line = [], threading.Barrier(4)

    def create(stem, index):
        made.append(Elsewhere())
        time.sleep(0.02)
        return made[-1]

    def ask():
        line.wait(5)
        found.append(backend.get("elsewhere"))

    found = []
    monkeypatch.setattr(backend, "_instances", {})
    monkeypatch.setattr(backend, "_create", create)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == made * 4


def test_what_compiles_is_announced_in_every_thread(capsys):
    announce = importlib.import_module("xpnn.backends.numba.announce")
    announcer = announce._Announcer()

    def function():
        pass

    function.__module__ = "xpnn_kernels.numba.some"
    event = SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=function)})
    announcer.on_start(event)  # and while this one compiles,
    thread = threading.Thread(target=announcer.on_start, args=(event,))
    thread.start()
    thread.join()
    announcer.on_start(event)  # a helper
    announcer.on_end(event)
    announcer.on_end(event)
    assert capsys.readouterr().err.count("compiling some.function") == 2


@pytest.mark.parametrize("name", ["nmpy", "", "torch", "NUMPY", "numpy ", None, 3])
def test_unknown_names(name):
    with pytest.raises(BackendError, match="expected one of numpy, numba, cupy"):
        backend.get(name)


@pytest.mark.parametrize("name", ["numpy:1", "numba:2", "cuda:x", "cuda:-1", "auto:1", "cuda:1:2"])
def test_numbers_are_for_cuda(name):
    with pytest.raises(BackendError, match="expected NAME or cuda:NUMBER"):
        backend.get(name)


def test_cpu_and_auto_answer():
    assert backend.get("cpu").on_host
    assert backend.get("auto") is not None


def test_backends_of_other_packages(elsewhere):
    assert elsewhere.name == "elsewhere"
    assert "elsewhere" in backend.names()
    with xpnn.use("elsewhere"):
        x = xpnn.tensor([1.0, 2.0], requires_grad=True)
        (x * x).sum().backward()
    assert x.grad.backend is elsewhere


def test_mixing_names_both_and_the_fix(elsewhere):
    x, w = xpnn.tensor([1.0], backend="numpy"), xpnn.tensor([1.0], backend="elsewhere")
    with pytest.raises(BackendError) as caught:
        x * w
    message = str(caught.value)
    assert "numpy" in message
    assert "elsewhere" in message
    assert "y.to('numpy')" in message
    assert "\n" not in message
    assert (x * w.to("numpy")).item() == 1


def test_mixing_in_backward(elsewhere):
    x = xpnn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(XpnnError):
        (x * 2).backward(xpnn.tensor([1.0, 1.0], backend="elsewhere"))


def test_to_moves_a_copy(elsewhere):
    x = xpnn.tensor(np.array([1.0, 2.0]), requires_grad=True)
    there = x.to("elsewhere")
    assert there.requires_grad
    assert there.backend is elsewhere
    there.data[0] = 99
    assert x.numpy().tolist() == [1, 2]
    assert x.to("numpy") is x


def test_to_inside_a_graph_is_refused(elsewhere):
    x = xpnn.tensor([1.0], requires_grad=True)
    with pytest.raises(XpnnError, match="detach"):
        (x * 2).to("elsewhere")


def test_use_for_the_process(elsewhere):
    assert xpnn.current_backend().name == "numpy"
    xpnn.use("elsewhere")
    assert xpnn.tensor([1.0]).backend is elsewhere
    xpnn.use("numpy")
    assert xpnn.tensor([1.0]).backend.name == "numpy"


def test_use_for_a_block(elsewhere):
    with xpnn.use("elsewhere") as inside:
        assert inside is elsewhere
        assert xpnn.current_backend() is elsewhere
        with xpnn.use("numpy"):
            assert xpnn.current_backend().name == "numpy"
        assert xpnn.current_backend() is elsewhere
    assert xpnn.current_backend().name == "numpy"


def test_use_ends_with_an_error_too(elsewhere):
    with pytest.raises(KeyError), xpnn.use("elsewhere"):
        raise KeyError
    assert xpnn.current_backend().name == "numpy"


def test_use_of_a_wrong_name_changes_nothing():
    with pytest.raises(BackendError):
        xpnn.use("nowhere")
    assert xpnn.current_backend().name == "numpy"


def test_use_inside_a_block_lasts_beyond_it(elsewhere):
    with xpnn.use("numpy"):
        xpnn.use("elsewhere")  # for the process, and the block goes first
        assert xpnn.current_backend().name == "numpy"
    assert xpnn.current_backend() is elsewhere


def test_a_block_is_for_its_thread(elsewhere):
    seen = []
    with xpnn.use("elsewhere"):
        thread = threading.Thread(target=lambda: seen.append(xpnn.current_backend().name))
        thread.start()
        thread.join()
    assert seen == ["numpy"]


def test_blocks_of_two_threads_that_overlap(elsewhere):
    """Both blocks are made before either is entered; afterwards the process is where it was."""
    first = xpnn.use("elsewhere")
    second = xpnn.use("elsewhere")
    with first:
        pass
    with second:
        pass
    assert xpnn.current_backend().name == "numpy"


def test_one_block_entered_twice(elsewhere):
    block = xpnn.use("elsewhere")
    with block, block:
        assert xpnn.current_backend() is elsewhere
    assert xpnn.current_backend().name == "numpy"


def test_tensors_stay_where_they_are(elsewhere):
    x = xpnn.tensor([1.0])
    with xpnn.use("elsewhere"):
        assert (x * 2).backend.name == "numpy"


def test_routes_tell_specs_and_attributes_apart():
    """A memo that mixed up two calls would allocate the wrong shape."""
    place = backend.get("numpy")
    x = np.ones((2, 3))
    index = REGISTRY["index"]
    for key in ((0,), (1,), (("slice", 0, 1, None),), (("slice", 0, True, None),), (("slice", 0, 1, -1),)):
        (out,), _ = place.forward(index, (x,), {"key": key})
        want = x[tuple(slice(*k[1:]) if isinstance(k, tuple) else k for k in key)]
        assert (
            out.shape == want.shape == place.route(index, (Spec((2, 3), x.dtype),), {"key": key}).outline.outs[0].shape
        )


def test_out_of_another_shape():
    place = backend.get("numpy")
    with pytest.raises(ShapeError, match="out"):
        place.forward(REGISTRY["exp"], (np.ones(3),), {}, out=(np.ones((1, 3)),))


def test_explain_names_the_kernel_or_the_reason():
    numba = backend.get("numba")
    f32 = Spec((4, 4), np.dtype("float32"))
    f16 = Spec((4, 4), np.dtype("float16"))
    assert "override xpnn.backends.numba" in numba.explain("relu", f32)
    assert "declines" in numba.explain("relu", f16)
    assert "no override is bound" in numba.explain("exp", f32)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize(
    "out",
    [np.full((3, 2), 9, "float32").T, np.full((4, 2), 9, "float32")[:1], np.full((2, 3), 9, "int64")],
    ids=["gaps", "short", "dtype"],
)
def test_an_array_to_fill_that_does_not_fit(name, out):
    """A kernel would write past the end of one, or into a copy of the other."""
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"relu: expected out= as \(2, 3\) float32; got"):
        backend.get(name).forward(REGISTRY["relu"], (x,), {}, out=(out,))
    assert (out == 9).all()
