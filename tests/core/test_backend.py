"""Backends: finding them, mixing two, calling one."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import xpnn
from xpnn.core import backend
from xpnn.core.op import REGISTRY, Spec
from xpnn.errors import BackendError, ShapeError, XpnnError

from .conftest import Elsewhere

pytestmark = pytest.mark.usefixtures("default_restored")


# Found ----------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["nmpy", "", "torch", "NUMPY", "numpy ", None, 3])
def test_unknown_names(name):
    with pytest.raises(BackendError, match="expected one of numpy, numba, cupy"):
        backend.get(name)


def test_gpu_is_no_typing_error_of_cpu():
    with pytest.raises(BackendError, match=r"'gpu' is unknown; .* Did you mean 'cupy'\?$"):
        backend.get("gpu")


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


# Mixed ----------------------------------------------------------------------------------------------------------------


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


# Called ---------------------------------------------------------------------------------------------------------------


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


def test_explain_names_the_kernel_or_the_reason():
    numba = backend.get("numba")
    f32 = Spec((4, 4), np.dtype("float32"))
    f16 = Spec((4, 4), np.dtype("float16"))
    assert "override xpnn.backends.numba" in numba.explain("relu", f32)
    assert "declines" in numba.explain("relu", f16)
    assert "no override is bound" in numba.explain("exp", f32)
