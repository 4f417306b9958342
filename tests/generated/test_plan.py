"""Every op in a recorded step: replayed on other values it gives what it gives when it runs as it is, bit for bit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import xpnn
from xpnn import check
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor


def test_replays_are_the_op_itself(op, case, place, dtype):
    if not place.replays:
        pytest.skip("this backend does not replay")
    if op.updates and op.backward is None:
        pytest.skip("run in place by what calls it, not as part of a graph")
    values = check.inputs(op, case, np.dtype(dtype))
    variables = check.differentiable(op, check.specs_of(values))
    leaves = [
        Tensor(place.from_host(v.copy()), place, requires_grad=i in variables and v.dtype.kind == "f")
        for i, v in enumerate(values)
    ]

    def step():
        outs = apply(op, *leaves, **case.attrs)
        outs = list(outs) if isinstance(outs, tuple) else [outs]
        if variables:
            for leaf in leaves:
                leaf.zero_grad()
            total = sum((out * out).sum() for out in outs if out.dtype.kind == "f")
            total.backward()
        return outs, [leaves[i].grad for i in variables]

    if place.override(op) is None or place.override(op).backward is None:
        # Array code may call what CUDA does not capture (products of CuPy's own); that is said, and goes step by step.
        warnings.filterwarnings("ignore", "xpnn: on .* launch by launch")
    captured = xpnn.capture(step)
    for k in range(4):
        for leaf, value in zip(leaves, values, strict=True):
            leaf.assign(np.roll(value.reshape(-1), k).reshape(value.shape))
        got = _arrays(captured())
        for leaf in leaves:
            leaf.zero_grad()
        want = _arrays(step())
        for a, b in zip(got, want, strict=True):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    assert captured.why_not is None


def _arrays(results):
    outs, grads = results
    return [t.numpy().copy() for t in [*outs, *grads]]
