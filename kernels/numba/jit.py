"""How every kernel here is compiled, and the disk cache that forgets a kernel when any source here changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from numba import njit
from numba.core.caching import FunctionCache

# Not "fast": that would let LLVM assume there is no NaN and delete the checks. Sums may be reordered (the order then
# depends on the machine alone) and products fused.
FLAGS = {"contract", "reassoc", "nsz", "arcp"}


def _stamp() -> str:
    """One hash over all kernel sources: Numba by itself would miss an edit in an imported helper."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _stamp()


class SourceKeyedCache(FunctionCache):
    """Numba's own cache, with the stamp of all sources in the index key."""

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), _STAMP)


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
