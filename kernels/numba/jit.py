"""How every kernel here is compiled, and the disk cache that forgets a kernel when a source it is made of changes."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from numba import njit
from numba.core.caching import FunctionCache

# Not "fast": that would let LLVM assume there is no NaN and delete the checks. Sums may be reordered (the order then
# depends on the machine alone) and products fused.
FLAGS = {"contract", "reassoc", "nsz", "arcp"}

IMPORT = re.compile(r"^from xpnn_kernels\.numba\b[^(\n]*(?:\([^)]*\))?", re.MULTILINE)


@cache
def _source(path: Path) -> bytes:
    return path.read_bytes()


@cache
def sources(path: Path) -> frozenset[Path]:
    """The files here that a kernel of this file is made of: itself, what it imports, what those import."""
    found, ahead = set(), [path]
    while ahead:
        here = ahead.pop()
        if here not in found:
            found.add(here)
            words = re.findall(r"(?<!as )\b\w+", " ".join(IMPORT.findall(_source(here).decode())))
            ahead += [near for word in words if (near := here.with_name(f"{word}.py")).exists()]
    return frozenset(found)


@cache
def _stamp(path: Path) -> str:
    """One hash over the sources: Numba by itself would miss an edit in an imported helper."""
    digest = hashlib.sha256()
    for part in sorted({*sources(path), Path(__file__)}):
        digest.update(_source(part))
    return digest.hexdigest()


class SourceKeyedCache(FunctionCache):
    """Numba's own cache, with the stamp of the kernel's sources in the index key."""

    def __init__(self, function):
        super().__init__(function)
        self._path = Path(function.__code__.co_filename)

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), _stamp(self._path))


def settle(dispatcher, signature) -> None:
    """Compile for these types and never again: Numba then converts what comes (read-only arrays, other strides)."""
    dispatcher.disable_compile(False)
    dispatcher.compile(signature)
    dispatcher.disable_compile()


def kernel(function=None, *, fastmath=FLAGS, parallel=False):
    """Compile a module-level function on first call (a closure would not be found in the cache again)."""
    if function is None:
        return lambda f: kernel(f, fastmath=fastmath, parallel=parallel)
    dispatcher = njit(error_model="numpy", fastmath=fastmath, nogil=True, cache=True, parallel=parallel)(function)
    dispatcher._cache = SourceKeyedCache(function)
    return dispatcher
