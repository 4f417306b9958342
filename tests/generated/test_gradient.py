"""The reference gradients against finite differences. Backends that share a wrong reference agree happily on it."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn import check


def test_gradient(op, case):
    if op.backward is None:
        return
    assert check.gradient(op, case).error < 0.03  # astype to float32 is as good as float32 lets it be


def test_every_op_with_floating_inputs_has_a_gradient_or_is_known(op):
    """An op without backward cuts the graph in silence: only these kinds of op may."""
    if op.backward is not None:
        return
    specs = check.specs_of(check.inputs(op, op.cases[0], np.dtype("float32")))
    outs = op.infer(*specs, **op.cases[0].attrs).outs
    updates = bool(op.updates)
    assert updates or op.name in ("step", "gather", "one_hot", "shift") or all(out.dtype.kind != "f" for out in outs), (
        f"{op.name}: floating-point outputs and no backward; is it an update in place?"
    )


def test_a_wrong_gradient_is_noticed(op, case):
    """What if this op's gradient were off by a thousandth? The check above has to see it."""
    import dataclasses

    specs = check.specs_of(check.inputs(op, case, np.dtype("float64")))
    if not check.differentiable(op, specs) or op.infer(*specs, **case.attrs).outs[0].dtype != np.dtype("float64"):
        return

    def off(xp, wanted, douts, kept, **attrs):
        assert op.backward is not None
        return tuple(None if g is None else g * 1.001 for g in op.backward(xp, wanted, douts, kept, **attrs))

    sample = check.Sample(op, case, np.dtype("float64"))
    if not any(np.any(sample.grads[i]) for i in sample.variables):
        return  # sign: all zeros
    with pytest.raises(check.ConformanceError, match="is off by"):
        check.gradient(dataclasses.replace(op, backward=off), case)
