"""What the CPU makes of a kernel: barriers, shuffles, votes, shared memory and grids, and what is wrong there."""

from __future__ import annotations

import numpy as np
import pytest

from cuda_cpu import build
from cuda_cpu.launch import LaunchError, Module
from xpnn.backends.cupy import module

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))

SOURCE = """
__global__ void where(int* p) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  p[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}
__global__ void lanes(int* p, unsigned* votes) {
  const int lane = threadIdx.x % 32, i = threadIdx.x;
  p[i] = __shfl_sync(~0u, i, 5);
  p[64 + i] = __shfl_xor_sync(~0u, i, 1);
  p[128 + i] = __shfl_down_sync(~0u, i, 4, 8);
  p[192 + i] = __shfl_up_sync(~0u, i, 1);
  if (lane < 16) p[256 + i] = __shfl_sync(0xffff, i, 15);
  votes[i] = __ballot_sync(~0u, i % 3 == 0) + __any_sync(~0u, i == 40) + __all_sync(~0u, i < 32);
  __syncwarp();
}
__global__ void turn(float* p) {
  extern __shared__ float s[];
  s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  p[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}
__global__ void unset(float* p, float* q) {
  __shared__ float s[4];
  extern __shared__ __align__(16) float d[];
  p[threadIdx.x] = s[threadIdx.x], q[threadIdx.x] = d[threadIdx.x];
  s[threadIdx.x] = d[threadIdx.x] = 0;
}
__global__ void count(int* p) { atomicAdd(p, 1); atomicMax(p + 1, threadIdx.x); atomicCAS(p + 2, 0, 7); }
__global__ void tickets(int* p) { p[threadIdx.x] = atomicAdd(p + 64, 1); }
__global__ void some(int n) { if (threadIdx.x < n) __syncthreads(); }
__global__ void apart(int n) {
  if (threadIdx.x < n) __syncthreads();
  else __syncthreads();
}
__global__ void lacking(int* p, int n) { if (threadIdx.x < n) p[0] = __shfl_sync(~0u, 3, 0); }
__global__ void stranger(int* p, int n) { if (threadIdx.x < 16) p[threadIdx.x] = __shfl_sync(0xffff, 3, n); }
__global__ void left_out(int* p) { p[threadIdx.x] = __shfl_sync(0xff, 3, 0); }
"""
NAMES = [line.split("(")[0].split()[-1] for line in SOURCE.splitlines() if line.startswith("__global__")]
TOGETHER = """
#include "grid.cuh"
__global__ void neighbours(int* p, int* q) {
  __shared__ int mine[1];
  const int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  if (threadIdx.x == 0) mine[0] = blockIdx.x;
  p[i] = blockIdx.x + 1;
  grid_barrier();
  q[i] = p[(i + blockDim.x) % n] * 100 + mine[0];
}
__global__ void half() { if (blockIdx.x) grid_barrier(); }
"""


@pytest.fixture(scope="module")
def kernels():
    return Module(SOURCE, NAMES)


def test_places(kernels):
    p = np.zeros(2 * 3 * 2 * 24, "i4")
    kernels.run("where", (2, 3, 2), (4, 3, 2), (p,))
    assert (p == np.add.outer(np.arange(12) * 1000, np.arange(24)).reshape(-1)).all()


def test_shuffles_and_votes(kernels):
    p, votes, i = np.zeros(320, "i4"), np.zeros(64, "u4"), np.arange(64)
    kernels.run("lanes", (1,), (64,), (p, votes))
    start = i // 32 * 32
    assert (p[:64] == start + 5).all()
    assert (p[64:128] == i ^ 1).all()
    assert (p[128:192] == np.where(i % 8 < 4, i + 4, i)).all()
    assert (p[192:256] == np.where(i % 32 > 0, i - 1, i)).all()
    assert (p[256:][i % 32 < 16] == (start + 15)[i % 32 < 16]).all()
    third = [sum(1 << k for k in range(32) if (s + k) % 3 == 0) for s in (0, 32)]
    assert (votes == np.where(i < 32, third[0] + 1, third[1] + 1)).all()


def test_shared_memory(kernels):
    p, q = np.zeros(64, "f4"), np.zeros(64, "f4")
    kernels.run("turn", (2,), (64,), (p,), 256)
    assert (p == np.arange(64)[::-1]).all()
    kernels.run("unset", (3,), (4,), (p, q), 16)  # NaN before every block, whatever the last one left
    assert np.isnan([p[:4], q[:4]]).all()


def test_atomics(kernels):
    p = np.zeros(3, "i4")
    kernels.run("count", (5,), (64,), (p,))
    assert p.tolist() == [320, 63, 7]


def test_a_result_that_depends_on_the_order_of_threads(kernels, monkeypatch):
    p = np.zeros(65, "i4")
    with pytest.raises(LaunchError, match="^tickets: array 0 comes out otherwise in backward order .*: a race$"):
        kernels.run("tickets", (1,), (64,), (p,))
    monkeypatch.setenv("XPNN_CUDA_ORDER", "backward")
    p[:] = 0
    kernels.run("tickets", (1,), (64,), (p,))
    assert (p[:64] == np.arange(64)[::-1]).all()


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("some", (3,), "waits in __syncthreads in line 31, and thread (3, 0, 0) of block (0, 0, 0) has returned"),
        ("apart", (3,), "in line 33, and thread (3, 0, 0) of block (0, 0, 0) waits in __syncthreads in line 34"),
        ("lacking", ("p", 3), "a shuffle in line 36 (mask 0xffffffff), and thread (3, 0, 0) of block (0, 0, 0) has"),
        ("stranger", ("p", 20), "a shuffle in line 37 (mask 0xffff) and reads lane 20, which takes no part"),
        ("left_out", ("p",), "thread (8, 0, 0) of block (0, 0, 0) waits in a shuffle in line 38 (mask 0xff), which"),
    ],
)
def test_what_cuda_leaves_undefined(kernels, name, args, words, monkeypatch):
    monkeypatch.setenv("XPNN_CUDA_ORDER", "forward")
    p = np.zeros(64, "i4")
    with pytest.raises(LaunchError) as caught:
        kernels.run(name, (1,), (64,), [p if a == "p" else np.int32(a) for a in args])
    assert words in str(caught.value)
    kernels.run("count", (5,), (64,), (np.zeros(3, "i4"),))  # an error leaves nothing behind


def test_lanes_that_a_short_warp_lacks(kernels):
    with pytest.raises(LaunchError, match="the warp has 16 lanes"):
        kernels.run("lanes", (1,), (48,), (np.zeros(320, "i4"), np.zeros(64, "u4")))


@pytest.mark.parametrize(("grid", "block"), [((1,), (1025,)), ((0,), (32,)), ((1, 65536), (32,)), ((1,), (0,))])
def test_sizes_that_cuda_refuses(kernels, grid, block):
    with pytest.raises(LaunchError, match="CUDA"):
        kernels.run("some", grid, block, (np.int32(0),))


def test_a_barrier_of_the_grid():
    kernels = Module(TOGETHER, ["neighbours", "half"], (f"-I{module.folder()}",), cooperative=True)
    for _ in range(3):  # the counter comes back by itself, after one barrier as after two
        p, q = np.zeros(96, "i4"), np.zeros(96, "i4")
        kernels.run("neighbours", (3, 1), (32,), (p, q))
        assert q[::32].tolist() == [200, 301, 102]
    with pytest.raises(LaunchError, match="waits in __nanosleep in line .* and nobody does what it waits for"):
        kernels.run("half", (3,), (32,), ())
    with pytest.raises(LaunchError, match="which needs a cooperative launch"):
        Module(TOGETHER, ["neighbours"], (f"-I{module.folder()}",)).run("neighbours", (3,), (32,), (p, q))


def test_what_does_not_compile():
    with pytest.raises(build.CompileError, match=r"source\.cu:2:.*'y' was not declared|source\.cu:2:.*‘y’"):
        Module("\n__global__ void f(float* x) { x[0] = y; }", ["f"])
