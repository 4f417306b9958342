"""One number of threads for everything: BLAS behind NumPy, kernels called from any Python thread, sizes of scratch."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import threadpoolctl

import xpnn
from xpnn.core import backend, threads
from xpnn.core.op import REGISTRY, Spec
from xpnn.errors import ConfigError
from xpnn_kernels.numba import threads as kernels

MOST = numba.config.NUMBA_NUM_THREADS


@pytest.fixture(autouse=True)
def _as_before():
    before = xpnn.get_num_threads()
    yield
    xpnn.set_num_threads(before)


@pytest.mark.parametrize("n", sorted({1, MOST}))
def test_one_number_governs_kernels_and_blas(n):
    backend.get("numba")
    xpnn.set_num_threads(n)
    assert xpnn.get_num_threads() == n
    assert kernels.threads() == n
    assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"} <= {n}


@pytest.mark.skipif(MOST < 2, reason="needs two CPUs")
def test_other_python_threads_see_it():
    backend.get("numba")
    for n in (1, MOST):
        xpnn.set_num_threads(n)
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(kernels.threads).result() == n
            assert n == 1 or executor.submit(numba.get_num_threads).result() == n


def test_lookups_begin_anew():
    place, x = backend.get("numba"), Spec((3,), np.dtype("float32"))
    old = place.route(REGISTRY["exp"], (x,), {})
    assert place.route(REGISTRY["exp"], (x,), {}) is old
    xpnn.set_num_threads(1)
    assert place.route(REGISTRY["exp"], (x,), {}) is not old


@pytest.mark.parametrize("n", [0, -1, MOST + 1])
def test_out_of_range(n):
    with pytest.raises(ConfigError, match=f"set_num_threads: expected 1 to {MOST}, the threads of the pool; got {n}"):
        xpnn.set_num_threads(n)


def run(code, **env):
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_is_remembered_until_numba_starts():
    code = """
import sys, xpnn
xpnn.set_num_threads(1)
print("numba" in sys.modules)
xpnn.use("numba")
from xpnn_kernels.numba import threads
print(threads.threads())
"""
    assert run(code, NUMBA_NUM_THREADS="3") == ["False", "1"]


def test_the_pool_is_as_large_as_asked_for():
    code = "import xpnn; xpnn.use('numba'); from xpnn_kernels.numba import threads as t; import numba;"
    code += "print(xpnn.get_num_threads(), t.threads(), numba.get_num_threads())"
    assert run(code, NUMBA_NUM_THREADS="3") == ["3", "3", "3"]


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu.max": "100000 0"}, 8),
    ],
)
def test_usable_cpus(monkeypatch, tmp_path, files, cpus):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "CGROUPS", tmp_path)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads.usable_cpus() == cpus
