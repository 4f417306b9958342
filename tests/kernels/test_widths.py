"""The SIMD generator on narrower vectors than this machine's: the same numbers, in processes that pretend."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from xpnn_kernels.numba import simd

CODE = """
import numpy as np
from xpnn_kernels.numba import gemm, simd
rng = np.random.default_rng(0)
for dtype in ("float32", "float64"):
    for M, K, N in ((30, 300, 50), (7, 5, 3), (1, 40, 33)):
        a, b = rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)
        out = np.empty((M, N), dtype)
        for right in (b, np.asfortranarray(b)):
            for threads in (1, 2):
                gemm.matmul(a, right, out, threads)
                assert abs(out - a.astype("f8") @ b).max() < (1e-4 if dtype == "float32" else 1e-12)
from xpnn import check
from xpnn.core import backend as backends
from xpnn.core.op import REGISTRY
for name in ("max_pool2d", "avg_pool2d", "batch_norm"):
    for dtype in ("float32", "float64"):
        for case in REGISTRY[name].cases:
            list(check.parity(REGISTRY[name], case, backends.get("numba"), dtype))
print(simd.WIDTH, simd.REGISTERS)
"""
FORMULAS = """
import numpy as np, xpnn
from xpnn import ops
from xpnn.ops.activation import ACTIVATIONS
from xpnn_kernels.numba import simd
rng = np.random.default_rng(0)
def alike(function, x, *others):
    found = []
    for place in ("numpy", "numba"):
        t = xpnn.tensor(x, backend=place, requires_grad=True)
        y = function(t, *[xpnn.tensor(other, backend=place) for other in others])
        (y * y).sum().backward()
        found += [y.numpy(), t.grad.numpy()]
    for want, got in zip(found[:2], found[2:]):
        np.testing.assert_allclose(got, want, rtol=0, atol=abs(want).max() * (1e-6 if x.dtype == "f4" else 1e-14))
for dtype in ("float32", "float64"):
    for shape in ((1, 1), (3, 7), (5, 67)):
        x, t = rng.standard_normal(shape).astype(dtype), rng.uniform(0.1, 0.9, shape).astype(dtype)
        for name in ACTIVATIONS:
            alike(getattr(ops, name), x)
        for name in ("mean_squared_error", "binary_cross_entropy", "perceptron", "l1", "huber"):
            alike(getattr(ops, name), x, t)
        alike(lambda x, s: ops.dropout(x, s, 0.4), x, np.arange(4, dtype=np.uint32))
        alike(ops.cross_entropy, x, np.arange(len(x)) % shape[1])
        w, b = rng.standard_normal((shape[1], shape[0])).astype(dtype), rng.standard_normal(shape[0]).astype(dtype)
        for name in (None, "relu", "gelu"):
            alike(lambda x, w, b: ops.dense(x, w, b, name), x, w, b)
print(simd.WIDTH, simd.REGISTERS)
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [CODE, FORMULAS], ids=["products", "formulas"])
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="pretends to be an older x86")
@pytest.mark.parametrize(
    ("cpu", "features", "width"), [("haswell", "+avx,+avx2,+fma,+sse4.2", 32), ("nehalem", "+sse4.2", 16)]
)
def test_narrow_vectors(cpu, features, width, code, tmp_path):
    if width > simd.WIDTH:
        pytest.skip("this machine's vectors are narrower still")
    env = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(width), "16"]
