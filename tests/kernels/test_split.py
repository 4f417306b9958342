"""Kernels on several threads: every thread runs once, with its number; nothing is compiled twice or counted."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numba.core.caching import NullCache

from xpnn_kernels.numba import dropout, embedding, split
from xpnn_kernels.numba.jit import kernel


@split.on_threads
def mark(thread, threads, seen, weights):
    seen[thread] += weights[0] * (thread + 1) + weights[1] * threads


@kernel
def mark_twice(seen):
    mark(0, 1, seen, (1, 10))
    mark(1, 3, seen, (1, 10))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_each_thread_runs_once_and_knows_its_number(threads):
    seen = np.zeros(10)
    for _ in range(3):
        mark(threads, seen, (1, 100))
    want = [3 * (i + 1 + 100 * threads) if i < threads else 0 for i in range(10)]
    np.testing.assert_array_equal(seen, want)


def test_a_kernel_calls_it_as_it_is_written():
    seen = np.zeros(3)
    mark_twice(seen)
    np.testing.assert_array_equal(seen, [11, 32, 0])


def test_numbers_known_and_unknown_are_one_part():
    @kernel
    def add(x, i, n):
        x[i] += n

    @kernel
    def both(x, n):
        add(x, 0, 1)
        add(x, n, n)

    x = np.zeros(4)
    both(x, 2)
    np.testing.assert_array_equal(x, [1, 0, 2, 0])
    assert len(add.part.overloads) == 1


def test_parts_are_not_compiled_by_themselves():
    """Only what Python called has machine code; what it called is in there."""
    seen = np.zeros(3)
    mark_twice(seen)
    assert len(mark_twice.overloads) == 1
    (compiled,) = mark_twice.overloads.values()
    assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    assert all(not callable(part.entry_point) for part in mark.part.overloads.values())


def test_nobody_counts_who_holds_an_array():
    """References are counted with the bus locked, at every slice: two threads took as long as one."""
    table, ids, y = np.ones((5, 4), np.float32), np.zeros(3, np.int64), np.empty((3, 4), np.float32)
    gather = split.on_threads(embedding.gather.part.py_func)
    gather._cache = NullCache()  # of what comes from the disk no code can be seen
    gather(1, table, ids, y)
    for signature in gather.overloads:
        code = gather.inspect_llvm(signature)
        assert "task" in code
        assert "NRT_incref" not in code
        assert "atomicrmw" not in code


PROGRAM = """
import numpy as np
from xpnn_kernels.numba import dropout
x = np.ones(5000, np.float32)
rooms, lots = np.empty((2, 4, dropout.BLOCKS), np.uint32), np.empty((2, dropout.BLOCKS, 4), np.uint32)
y, kept = np.empty_like(x), np.empty(x.size, np.uint8)
dropout.forward(2, x, np.arange(4, dtype=np.uint32), 1 << 31, 2.0, y, kept, rooms, lots)
print(sum(dropout.forward.stats.cache_hits.values()), sum(dropout.forward.stats.cache_misses.values()), y.sum())
"""


def test_the_disk_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    first, second = (
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert first[:2] == ["0", "1"]
    assert second[:2] == ["1", "0"]
    assert first[2] == second[2]


def test_masks_do_not_depend_on_the_threads():
    x, state = np.ones(9001, np.float32), np.array([1, 2, 3, 4], np.uint32)
    found = []
    for threads in (1, 2, 3):
        rooms = np.empty((threads, 4, dropout.BLOCKS), np.uint32)
        lots, y, kept = np.empty((threads, dropout.BLOCKS, 4), np.uint32), np.empty_like(x), np.empty(x.size, np.uint8)
        dropout.forward(threads, x, state, 1 << 31, 2.0, y, kept, rooms, lots)
        found.append(kept)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert 0.4 < found[0].mean() < 0.6
