"""Every op says at which sizes it costs time, and can be called there."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn.ops  # noqa: F401 - registers every op
from xpnn import check
from xpnn.core import backend
from xpnn.core.op import REGISTRY, Arg
from xpnn.core.random import Generator
from xpnn_benchmarks.calls import Call, title


@pytest.mark.parametrize("op", REGISTRY.values(), ids=str)
def test_large_cases_fit_the_record(op):
    assert op.large
    assert len({title(op, case) for case in op.large}) == len(op.large)
    for case in op.large:
        op.infer(*[_spec(arg) for arg in case.args], **case.attrs)


def _spec(arg):
    """Of an input that is not drawn: large ones take their time."""
    small = Arg(arg.shape if arg.kind == "state" else (1,) * len(arg.shape), arg.kind, arg.high)
    (spec,) = check.specs_of([check.draw(small, Generator(0), np.dtype("float32"))])
    return spec._replace(shape=arg.shape)


@pytest.mark.parametrize("place", ["numpy", "numba"])
@pytest.mark.parametrize("op", REGISTRY.values(), ids=str)
def test_calls_give_what_the_record_says(op, place):
    """On a sample: the same way as the large ones are called."""
    case = op.cases[0]
    call = Call(op, case, backend.get(place))
    for _ in range(5):  # again and again, as it is timed
        call.phase("forward")()
    assert call.cost("forward").nbytes >= 0
    if any(call.wanted):
        for _ in range(2):
            call.phase("backward")()
        assert call.cost("backward").nbytes > 0
        assert all((din is not None) == want for din, want in zip(call.gradients[1], call.wanted, strict=True))


def test_the_outputs_are_those_of_the_reference():
    call = Call(REGISTRY["dense"], REGISTRY["dense"].cases[0], backend.get("numpy"))
    call.forward()
    call.backward()
    x, w, b = call.inputs
    np.testing.assert_allclose(call.outs[0], x @ w + b, rtol=1e-5)
    (dy,), dins = call.gradients
    np.testing.assert_allclose(dins[1], x.T @ dy, rtol=1e-5)


def test_nothing_runs_before_the_first_call(monkeypatch):
    """Or what is called cold would be warm."""
    place, seen = backend.get("numpy"), []
    monkeypatch.setattr(place, "forward", lambda *how, **more: seen.append(how) or ((), ()))
    Call(REGISTRY["relu"], REGISTRY["relu"].cases[0], place).phase("forward")
    assert not seen


def test_products_count_twice_backward():
    call = Call(REGISTRY["matmul"], REGISTRY["matmul"].large[0], backend.get("numpy"))
    assert call.cost("backward").flops == 2 * call.cost("forward").flops == 4 * 512**3
    for name in ("sum", "cross_entropy", "dropout", "mean_squared_error"):
        call = Call(REGISTRY[name], REGISTRY[name].cases[0], backend.get("numpy"))
        assert call.cost("backward").flops == call.cost("forward").flops
