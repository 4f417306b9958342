"""The recurrent kernels at sizes that the sample cases do not have: all steps in one launch, and a launch for each."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from cuda_cpu import build, conformance, standin
from cuda_cpu.launch import LaunchError
from xpnn.backends.cupy import CupyBackend, gemm, module, namespace, recurrent
from xpnn.check import ConformanceError
from xpnn.check_cases import Sample, kept
from xpnn.core.op import REGISTRY
from xpnn.core.precision import ROUNDOFF

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


def sample_of(op, form, sizes):
    """form: a dtype, or the precision of float32."""
    case = OPS[op]._case(**sizes)
    if form in ROUNDOFF:
        return Sample(REGISTRY[op], replace(case, attrs=case.attrs | {"precision": form}), np.dtype("float32"))
    return Sample(REGISTRY[op], case, np.dtype(form))


def agree(sample, results):
    """With the oracle."""
    wanted = [*zip(sample.outs, sample.outline.outs, strict=True)]
    wanted += [(sample.grads[i], sample.specs[i]) for i in sample.variables]
    for i, (result, (want, spec)) in enumerate(zip(results, wanted, strict=True)):
        sample.compare(f"array {i}", result, want, spec)


@pytest.mark.parametrize("form", ["float32", "float64", *ROUNDOFF])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("op", OPS)
def test_sizes(op, sizes, form, monkeypatch):
    """The oracle's numbers, and the same bits whatever the GPU has room for."""
    sample, first = sample_of(op, form, sizes), None
    with standin.installed(standin.load()) as fake:
        for grid, count in GRIDS.items():
            monkeypatch.setattr(recurrent, "limits", lambda count=count: (count, 227 << 10))
            results = run(sample, CupyBackend(fake, namespace(fake), 1))
            if first is None:
                first = results
                agree(sample, results)
            for i, (result, same) in enumerate(zip(results, first, strict=True)):
                assert result.tobytes() == same.tobytes(), f"{grid}: array {i}"


@pytest.mark.parametrize("form", ["float32", "float64", *ROUNDOFF])
@pytest.mark.parametrize("op", ["lstm", "gru"])
def test_large_tiles(op, form, monkeypatch):
    """Of the products over all steps, as where there are many."""
    monkeypatch.setattr(gemm, "ENOUGH", 1)
    sample = sample_of(op, form, {"N": 5, "T": 14, "I": 67, "H": 70, "lengths": True})
    with standin.installed(standin.load()) as fake:
        agree(sample, run(sample, CupyBackend(fake, namespace(fake), 1)))
        grids = {launch[0]: launch[1] for made in fake.cuda.RawModule.made for launch in made.launches}
    side, columns = 64 if form == "float64" else 128, {"lstm": 4, "gru": 3}[op] * 70
    for kernel, *shapes in (
        ("inputs", (70, columns)),
        ("inputs_back", (70, 67)),
        ("weights", (68, columns), (70 + (op == "gru"), columns)),
    ):
        (grid,) = [grid for name, grid in grids.items() if name.startswith(f"{kernel}<") and f", {side}" in name]
        assert grid == (sum(gemm.tiles(*shape, side) for shape in shapes),)


@pytest.mark.parametrize("form", ["float32", "bf16"])
@pytest.mark.parametrize("op", OPS)
def test_padding_is_not_read(op, form):
    """NaN there changes no bit of outputs and gradients."""
    sample = sample_of(op, form, SIZES["ragged"])
    with standin.installed(standin.load()) as fake:
        backend = CupyBackend(fake, namespace(fake), 1)
        clean = run(sample, backend)
        for x, length in zip(sample.inputs[0], sample.inputs[-1], strict=True):
            x[int(length) :] = np.nan
        assert np.isnan(sample.inputs[0]).any()
        for i, (result, same) in enumerate(zip(run(sample, backend), clean, strict=True)):
            assert result.tobytes() == same.tobytes(), f"array {i}"


def test_launches(monkeypatch):
    """With room for all steps at once: two launches forward, and four backward."""
    for form in ("float32", "bf16"):
        for count, forward, backward in ((132, 2, 4), (0, 1 + 14, 15 + 3)):
            monkeypatch.setattr(recurrent, "limits", lambda count=count: (count, 227 << 10))
            with standin.installed(standin.load()) as fake:
                run(sample_of("lstm", form, SIZES["ragged"]), CupyBackend(fake, namespace(fake), 1))
                launches = [launch[0] for made in fake.cuda.RawModule.made for launch in made.launches]
            assert len(launches) == forward + backward


@pytest.mark.parametrize(
    ("form", "H", "grid", "kilobytes"),
    [
        ("float", 512, (32, 4), 128),
        ("Tf32", 512, (32, 4), 128),
        ("Bf16", 512, (32, 4), 64),
        ("Bf16", 1024, (64, 2), 128),
        ("Fp16", 1024, (64, 2), 128),
        ("float", 1024, None, 256),
        ("Bf16", 2048, None, 256),
        ("double", 512, None, 256),
    ],
)
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_which_lstm_fits_an_h100(monkeypatch, name, form, H, grid, kilobytes):
    """132 multiprocessors of 227 KB: whose weights stay in shared memory, in as many bytes as the format has."""
    monkeypatch.setattr(recurrent, "limits", lambda: (132, 227 << 10))
    found = recurrent.resident(name, form, 4, H, 64)
    assert found == (grid and (grid, recurrent.STAGED + (kilobytes << 10)))
    monkeypatch.setattr(recurrent, "limits", lambda: (132, recurrent.STAGED + (kilobytes << 10) - 1))
    assert recurrent.resident(name, form, 4, H, 64) is None


# Can it fail? -------------------------------------------------------------------------------------------------------

BARRIER, PRODUCT, TENSOR, STEPS = "grid.cuh", "recurrent_product.cuh", "recurrent_tensor.cuh", "recurrent.cuh"


def parity(folder, precision, monkeypatch):
    monkeypatch.setattr(recurrent, "limits", lambda: (4, 227 << 10))  # blocks that have more than 16 sequences
    case = OPS["gru"]._case(40, 3, 5, 35)
    conformance.parity(folder, ["gru"], ["float32"], [replace(case, attrs=case.attrs | {"precision": precision})])


@pytest.mark.parametrize("precision", ["fast", "bf16"])
def test_steps_as_they_are(precision, monkeypatch):
    parity(module.folder(), precision, monkeypatch)


@pytest.mark.parametrize(
    ("precision", "file", "old", "new"),
    [
        ("fast", BARRIER, "blockIdx.x + blockIdx.y ? 1 : 0x80000000 - others", "0x80000000"),  # waits for nobody
        ("bf16", BARRIER, "blockIdx.x + blockIdx.y ? 1 : 0x80000000 - others", "0x80000000"),
        ("bf16", BARRIER, "0x80000000 - others", "0x80000000"),  # waits for ever
        ("bf16", TENSOR, "(s & 1) * groups", "0 * groups"),  # a block ahead writes what others still read
        ("bf16", TENSOR, "__syncthreads();  // everyone has read the sums", "// everyone has read the sums"),
        ("fast", PRODUCT, "__syncthreads();  // everyone has read what was multiplied", ""),
        ("bf16", TENSOR, "+ n / 8 % 2;", "+ 1 - n / 8 % 2;"),  # rows in the wrong place of a fragment
        ("bf16", TENSOR, "* MINE < K", "* MINE < 2 * K"),  # what nobody wrote
        ("bf16", STEPS, "put(s + 1, n, j, h)", "put(s + 1, n, j, p[0])"),
        ("bf16", STEPS, "put(s, n, g * whole(H) + j, out_h[g])", "put(s, n, g * whole(H) + j, out[g])"),
    ],
)
def test_a_wrong_step_is_noticed(broken, monkeypatch, precision, file, old, new):
    with pytest.raises((ConformanceError, LaunchError)):
        parity(broken(file, old, new), precision, monkeypatch)
