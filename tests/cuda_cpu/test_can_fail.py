"""Can the checks of CUDA kernels fail? A copy of the sources is broken in one place, and what serves an op from it has
to turn red: by another number than the oracle's, by an error of the launch, or by the sanitizer."""

from __future__ import annotations

import numpy as np
import pytest

from cuda_cpu import build, conformance
from cuda_cpu.launch import LaunchError, Module
from xpnn.backends.cupy import module
from xpnn.check import ConformanceError
from xpnn.core.op import Arg, Case
from xpnn.errors import DTypeError

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))


# A barrier ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["  // everyone has read", "\n  return warp_reduce"])
def test_a_barrier_less(broken, after):
    """In the reductions of a block, where rows are wide: the one before the values are read, and the one after."""
    attrs = {"label_smoothing": 0.1, "reduction": "none"}
    wide = (Case((Arg((3, 1500)), Arg((3,), "labels", high=1500)), attrs),)
    conformance.parity(module.folder(), ["cross_entropy"], ["float32"], wide)
    folder = broken("common.cuh", f"__syncthreads();{after}", after)
    with pytest.raises((ConformanceError, LaunchError), match="are NaN|a race|error .* of the largest"):
        conformance.parity(folder, ["cross_entropy"], ["float32"], wide)


# A comparison ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "file", "old", "new"),
    [
        ("relu", "activation.cuh", "x < T(0) ? T(0) : x;", "x > T(0) ? T(0) : x;"),
        ("relu", "activation.cuh", "x < T(0) ? T(0) : x;", "x > T(0) ? x : T(0);"),  # right but for NaN
        ("hard_sigmoid", "activation.cuh", "kept > T(0) && kept < T(1)", "kept > T(0) && kept > T(1)"),
        ("cross_entropy", "softmax.cu", "c == label", "c != label"),
        ("cross_entropy", "softmax.cu", "s != T(0)", "s == T(0)"),
        ("max", "reduction.cu", "x[i] == best[o]", "x[i] != best[o]"),
        ("index", "shape.cu", "at * s.step[k] == far && ", ""),
    ],
)
def test_a_comparison_flipped(broken, op, file, old, new):
    with pytest.raises(ConformanceError, match=f"{op} "):
        conformance.parity(broken(file, old, new), [op], ["float32"])


# One element too far --------------------------------------------------------------------------------------------------


def test_sources_as_they_are_pass_the_sanitizer():
    done = conformance.sanitized(module.folder(), "relu", "softmax")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_kernel_passes_the_sanitizer():
    done = conformance.sanitized(module.folder())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 40


@pytest.mark.parametrize(
    ("op", "file", "old", "new"),
    [
        ("relu", "activation.cu", "i < n; i += stride()) y[i]", "i <= n; i += stride()) y[i]"),
        ("softmax", "softmax.cu", "c < C; c += TEAM) top =", "c <= C; c += TEAM) top ="),
    ],
)
def test_one_past_the_end(broken, op, file, old, new):
    done = conformance.sanitized(broken(file, old, new), op)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


def test_past_the_end_of_shared_memory(broken):
    folder = broken(
        "softmax.cu", "  double sum = 0;\n", "  __shared__ T few[8];\n  few[threadIdx.x] = 1;\n  double sum = 0;\n"
    )
    done = conformance.sanitized(folder, "cross_entropy")
    assert done.returncode != 0
    assert "out of bounds" in done.stderr or "buffer-overflow" in done.stderr


# Types ----------------------------------------------------------------------------------------------------------------

SCALE = """
template <typename T>
__global__ void scale(const T* x, T* y, T a, int n) { if (threadIdx.x < n) y[threadIdx.x] = a * x[threadIdx.x]; }
"""


def test_bytes_of_another_type_are_read_as_garbage():
    """Which is why the loader checks what it hands over: below it nobody does, here as little as on a GPU."""
    kernels = Module(SCALE, ["scale<float>"])
    x, y = np.full(32, 1.1, "f4"), np.zeros(32, "f4")
    kernels.run("scale<float>", (1,), (32,), (x, y, np.float32(1.5), np.int32(32)))
    assert (y == np.float32(1.1) * np.float32(1.5)).all()
    kernels.run("scale<float>", (1,), (32,), (x, y, 1.5, np.int32(32)))  # eight bytes, of which four are read
    assert (y == 0).all()
    kernels.run("scale<float>", (1,), (32,), (x.astype("f8"), y, np.float32(1.5), np.int32(32)))
    assert not (y == np.float32(1.1) * np.float32(1.5)).any()
    kernels = Module(SCALE, ["scale<double>"])
    y = np.zeros(32, "f8")
    kernels.run(
        "scale<double>", (1,), (32,), (x.astype("f8"), y, np.float32(1.5), np.int32(32))
    )  # four, eight are read
    assert np.isnan(y).all()


def test_the_loader_refuses_them(cupy):
    source = module.Source("activation", {"forward": (module.REAL,)})
    kernel = source.kernel("forward", np.dtype("float32"))
    x, wide = cupy.ones(4, np.float32), cupy.ones(4, np.float64)
    kernel((1,), (256,), (x, x, 1, 0.5, 4))
    for args in ((wide, x, 1, 0.5, 4), (x, x, 1, wide, 4), (x, x, 1, 0.5, 4.0)):
        with pytest.raises(DTypeError, match="kernel forward<float>: expected"):
            kernel((1,), (256,), args)
