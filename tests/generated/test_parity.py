"""Every backend against the float64 reference: every op, case and dtype."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn import check
from xpnn.backends.numpy import NumpyBackend
from xpnn.check_parity import poisoned
from xpnn.core.op import REGISTRY, Arg
from xpnn.core.random import Generator
from xpnn.errors import ConfigError


def test_parity(op, case, place, dtype):
    for result in check.parity(op, case, place, dtype):
        assert result.error <= result.tolerance


def test_forward_that_no_gradient_follows(place, dtype):
    """Kernels that can go without what they save: the same outputs, bit for bit."""
    for op in REGISTRY.values():
        bound = place.override(op)
        if bound is not None and bound.lean:
            for case in op.cases:
                xs = [place.from_host(x) for x in check.inputs(op, case, np.dtype(dtype))]
                with poisoned(place):
                    outs, _ = place.forward(op, xs, case.attrs)
                    others, saved = place.forward(op, xs, case.attrs, keep=False)
                assert saved == ()
                for a, b in zip(outs, others, strict=True):
                    assert np.array_equal(place.to_host(a), place.to_host(b), equal_nan=True)


def test_every_backend_was_there(missing_backends):
    """One skip that says what was not tested on this machine, and why."""
    if missing_backends:
        pytest.skip("; ".join(missing_backends.values()))


def test_run_reports_a_row_for_each_phase(usable_backends):
    rows = list(check.run(usable_backends, ops=("dense", "equal")))
    assert all(row.ok for row in rows)
    assert {(row.op, row.phase) for row in rows} == {
        ("dense", "gradient"),
        ("dense", "forward"),
        ("dense", "backward"),
        ("equal", "forward"),
    }
    assert all(row.error <= row.tolerance for row in rows)


def test_run_goes_on_after_a_failure():
    """A kernel that raises is one red row with one line, not the end of the report."""

    class Broken(NumpyBackend):
        def backward(self, *args):
            raise RuntimeError("first line\nsecond line")

    rows = list(check.run([Broken()], ops=("exp", "equal"), dtypes=("float64",)))
    assert [(row.op, row.phase, row.ok) for row in rows] == [
        ("exp", "gradient", True),
        ("exp", "forward", False),
        ("exp", "backward", False),
        ("equal", "forward", True),
    ]
    assert rows[1].message == "exp float64 on numpy: RuntimeError: first line"


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ConfigError, match="'nonsense' is unknown"):
        check.draw(Arg((3,), "nonsense"), Generator(0), np.dtype("float32"))


@pytest.mark.parametrize("shape", [(), (7,), (4, 6), (3, 4, 5, 6)])
def test_apart_is_far_from_kinks_and_ties(shape):
    x = np.sort(np.abs(check.draw(Arg(shape, "apart"), Generator(1), np.dtype("float32"))).reshape(-1))
    assert x.min() >= 0.1 - 1e-6
    assert x.size < 2 or np.diff(x).min() >= min(0.0199, 5 / x.size)
