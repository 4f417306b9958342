"""The recurrent kernels at sizes that the sample cases do not have: all steps in one launch, and a launch for each."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from cuda_cpu import build, standin
from xpnn.backends.cupy import CupyBackend, namespace, recurrent
from xpnn.check_cases import Sample, kept
from xpnn.core.op import REGISTRY

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))
OPS = {name: import_module(f"xpnn.ops.{name}") for name in ("lstm", "gru", "rnn")}
SIZES = {
    # more sequences, units and rows of the products than a block has; sums over all steps in parts
    "ragged": {"N": 21, "T": 14, "I": 67, "H": 35, "lengths": True},
    "reverse": {"N": 17, "T": 3, "I": 1, "H": 34, "lengths": True, "reverse": True},
    "deep": {"N": 3, "T": 2, "I": 5, "H": 136},  # weights piece by piece, four numbers read at once
}
GRIDS = {"steps": 0, "short": 9, "whole": 132}
"""Multiprocessors: fewer than there are tiles of units; fewer than blocks, at some sizes; enough."""


def run(sample, backend):
    """Outputs and all gradients, on the host."""
    op, attrs = sample.op, sample.attrs
    xs, douts = ([backend.from_host(a) for a in arrays] for arrays in (sample.inputs, sample.douts))
    outs, saved = backend.forward(op, xs, attrs)
    memory = kept(op, xs, outs, saved, sample.specs)
    grads = backend.backward(op, sample.want(*sample.variables), douts, memory, attrs, [None] * len(xs))
    return [backend.to_host(a) for a in (*outs, *[grads[i] for i in sample.variables])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("op", OPS)
def test_sizes(op, sizes, dtype, monkeypatch):
    """The oracle's numbers, and the same bits whatever the GPU has room for."""
    sample = Sample(REGISTRY[op], OPS[op]._case(**sizes), np.dtype(dtype))
    wanted = [*zip(sample.outs, sample.outline.outs, strict=True)]
    wanted += [(sample.grads[i], sample.specs[i]) for i in sample.variables]
    first = None
    with standin.installed(standin.load()) as fake:
        for grid, count in GRIDS.items():
            monkeypatch.setattr(recurrent, "limits", lambda count=count: (count, 227 << 10))
            results = run(sample, CupyBackend(fake, namespace(fake), 1))
            if first is None:
                first = results
                for i, (result, (want, spec)) in enumerate(zip(results, wanted, strict=True)):
                    sample.compare(f"{op}, {grid}, {i}", result, want, spec)
            for i, (result, same) in enumerate(zip(results, first, strict=True)):
                assert result.tobytes() == same.tobytes(), f"{grid}: array {i}"


def test_launches(monkeypatch):
    """With room for all steps at once: two launches forward, and four backward."""
    for count, forward, backward in ((132, 2, 4), (0, 1 + 14, 15 + 3)):
        monkeypatch.setattr(recurrent, "limits", lambda count=count: (count, 227 << 10))
        sample = Sample(REGISTRY["lstm"], OPS["lstm"]._case(**SIZES["ragged"]), np.dtype("float32"))
        with standin.installed(standin.load()) as fake:
            run(sample, CupyBackend(fake, namespace(fake), 1))
            launches = [launch[0] for made in fake.cuda.RawModule.made for launch in made.launches]
        assert len(launches) == forward + backward
