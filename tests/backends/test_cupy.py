"""The CuPy backend on the stand-in: its arrays and ops. On GPU 1 of 2, so that a forgotten `here` shows."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import check_cases
from xpnn.core import backend as backends
from xpnn.core.op import REGISTRY, Kept, Spec
from xpnn.errors import BackendError

F4 = np.dtype("float32")


# Arrays -------------------------------------------------------------------------------------------------------


def test_names(gpu, cupy):
    assert repr(gpu) == "<backend cuda:1>"
    assert (gpu.name, gpu.on_host) == ("cupy", False)
    assert backends.get("cupy") is backends.get("cuda") is backends.get("cuda:0") is not gpu
    assert backends.get("auto") is backends.get("cuda:0")
    with xpnn.use("cuda:1"):
        assert xpnn.tensor([1.0]).backend is gpu


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", "?"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_there_and_back(gpu, cupy, dtype, shape):
    host = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2, dtype)
    there = gpu.from_host(host)
    assert isinstance(there, cupy.ndarray)
    assert there.device.id == 1
    assert there.shape == shape
    host[...] = 1  # a copy: the host array may change now
    back = gpu.to_host(there)
    assert type(back) is np.ndarray
    assert back.dtype == host.dtype
    assert not back.size or not back.all()
    assert cupy.transfers == ["h2d", "d2h"]


def test_host_layouts_arrive_contiguous(gpu):
    for host in (np.arange(6.0).reshape(2, 3).T, np.arange(12.0)[::2], np.broadcast_to(np.float64(1), (2, 2))):
        there = gpu.from_host(host)
        assert there.flags.c_contiguous
        assert gpu.to_host(there).tolist() == host.tolist()


def test_ready_gives_contiguous_arrays(gpu):
    x = gpu.from_host(np.arange(6.0).reshape(2, 3))
    first, second, third = gpu.ready((x, x.T, None))
    assert first is x
    assert second.flags.c_contiguous
    assert second.get().tolist() == x.T.get().tolist()
    assert third is None


def test_nothing_crosses_unasked(gpu, cupy):
    host, there = np.ones(2, "f4"), gpu.from_host(np.zeros(2, "f4"))
    other = backends.get("cuda:0").from_host(host)
    with pytest.raises(BackendError, match=r"copy: expected source on cuda:1; got a NumPy array\. Use .*from_host"):
        gpu.copy(host, there)
    with pytest.raises(BackendError, match="expected out on cuda:1; got a NumPy array"):
        gpu.copy(there, host)
    with pytest.raises(BackendError, match=r"expected source on cuda:1; got cupy\.ndarray on cuda:0"):
        gpu.copy(other, there)
    with pytest.raises(BackendError, match=r"cuda:1: expected a NumPy array to copy from; got cupy\.ndarray on cuda:0"):
        gpu.from_host(other)
    assert not gpu.owns(other)
    assert not gpu.owns(host)
    assert gpu.owns(there)


def test_copy_fill_full(gpu, cupy):
    out = gpu.full(Spec((2,), F4), 3)
    gpu.copy(gpu.from_host(np.array([1.0, 2.0])), out)
    assert out.get().tolist() == [1, 2]
    assert out.dtype == F4
    gpu.fill(out, 0.5)
    assert out.get().tolist() == [0.5, 0.5]
    assert gpu.empty(Spec((0,), F4)).device.id == 1
    gpu.synchronize()
    assert cupy.transfers[-1] == "wait"


def test_out_of_memory_names_what_was_asked_and_what_is_free(gpu, cupy):
    x = xpnn.tensor(np.ones((100, 100), "f4"), backend=gpu)
    cupy.memory["free"] = 10_000
    with pytest.raises(BackendError) as caught:
        x.exp()
    text = str(caught.value)
    assert "cuda:1: out of memory in exp: asked for 40.0 kB; free are 10.0 kB of 2.1 GB, and 4.1 kB" in text
    assert caught.value.__suppress_context__
    with pytest.raises(BackendError, match="out of memory in empty"):
        gpu.empty(Spec((100, 100), F4))
    with pytest.raises(BackendError, match="out of memory in from_host"):
        xpnn.tensor(np.ones((100, 100)), backend=gpu)
    assert cupy.cuda.Device().id == 0  # and the block was left


def test_other_errors_pass(gpu):
    with pytest.raises(KeyError), gpu.here():
        raise KeyError


# Ops ----------------------------------------------------------------------------------------------------------


CASES = [pytest.param(op, case, id=f"{op.name} {case}") for op in REGISTRY.values() for case in op.cases]


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize(("op", "case"), CASES)
def test_ops_stay_on_the_gpu(gpu, cupy, op, case, kernels, monkeypatch):
    """Forward and backward as on NumPy, from arrays of the GPU to arrays of the GPU, without a copy to or from it.

    By the references, where kernels serve the op too; the values of kernels are the generated tests' affair.
    """
    if not kernels:
        monkeypatch.setattr(gpu, "override", lambda op: None)
    elif gpu.override(op) is None:
        return
    host = backends.get("numpy")
    inputs = check_cases.inputs(op, case, F4)
    there = [gpu.from_host(x) for x in inputs]
    cupy.transfers.clear()
    outs, saved = gpu.forward(op, there, case.attrs)
    assert cupy.transfers == []
    want, want_saved = host.forward(op, inputs, case.attrs)
    if not kernels:
        same(gpu, (*outs, *saved), (*want, *want_saved))
    for x, before in zip(there, inputs, strict=True):
        np.testing.assert_array_equal(x.get(), before)
    if op.backward is None:
        return
    specs = tuple(Spec(x.shape, x.dtype) for x in inputs)
    wanted = [x.dtype.kind == "f" and op.input_name(i) not in op.constants for i, x in enumerate(inputs)]
    douts = [np.random.default_rng(1).normal(size=y.shape).astype(y.dtype) for y in want]
    there_douts = [gpu.from_host(np.asarray(d)) for d in douts]
    cupy.transfers.clear()
    kept = Kept(tuple(there), outs, saved, specs)
    grads = gpu.backward(op, wanted, there_douts, kept, case.attrs, [None] * len(inputs))
    assert cupy.transfers == []
    kept = Kept(tuple(inputs), want, want_saved, specs)
    want_grads = host.backward(op, wanted, douts, kept, case.attrs, [None] * len(inputs))
    chosen = [i for i, yes in enumerate(wanted) if yes and not kernels]
    same(gpu, [grads[i] for i in chosen], [want_grads[i] for i in chosen])


def same(gpu, got, want):
    for a, b in zip(got, want, strict=True):
        assert gpu.owns(a)
        assert (a.shape, a.dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a.get(), b, rtol=2e-6, atol=1e-7)


def test_clip_without_bounds(gpu):
    assert xpnn.tensor([1.0, -1.0], backend=gpu).clip().numpy().tolist() == [1, -1]


def test_step_has_no_gradient_written_elsewhere(gpu):
    """An update in place reaches the very array that was given."""
    op, p = REGISTRY["sgd"], gpu.from_host(np.ones(4, "f4"))
    g, lr = gpu.from_host(np.ones(4, "f4")), gpu.from_host(np.array(0.25))
    attrs = {"l1": 0.0, "l2": 0.0, "decayed": 4}
    (out,), _ = gpu.forward(op, (p, g, lr), attrs, out=(p,))
    assert out is p
    assert p.get().tolist() == [0.75] * 4


def test_launches_made_again_see_the_present_values(gpu):
    """What an override returns is all that a replay does."""
    bound, p = gpu.override(REGISTRY["adam"]), {}
    for name, value in {"p": 1.0, "g": 0.5, "m": 0.0, "v": 0.0}.items():
        p[name] = gpu.from_host(np.full(4, value, "f4"))
    lr, step = gpu.from_host(np.array(0.25)), gpu.from_host(np.array(0.0))
    attrs = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "l1": 0.0, "l2": 0.0, "decayed": 4}
    with gpu.here():
        calls = bound.forward((p["p"], p["m"], p["v"], step), (), *p.values(), lr, step, **attrs)
        np.testing.assert_allclose(p["p"].get(), 0.75, rtol=1e-6)
        lr.fill(0.5)
        for call in calls:
            call()
    np.testing.assert_allclose(p["p"].get(), 0.25, rtol=1e-6)
    assert step.item() == 2
