"""How every kernel here is compiled, and the disk cache that forgets a kernel when a source it is made of changes.

Numba by itself compiles a function that others call to machine code of its own, with wrappers for Python, and then
optimises it again in every caller, and in theirs. Here a kernel called by a kernel is a part of it: LLVM code without
wrappers that waits, as it was written, to be optimised and translated once, with the kernel that Python calls.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from llvmlite.binding import parse_assembly
from numba.core import types
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering
from numba.core.types.misc import unliteral

# Not "fast": that would let LLVM assume there is no NaN and delete the checks. Sums may be reordered (the order then
# depends on the machine alone) and products fused.
FLAGS = {"contract", "reassoc", "nsz", "arcp"}

HOME = Path(__file__).parent
IMPORT = re.compile(r"^from xpnn_kernels\.numba\b[^(\n]*(?:\([^)]*\))?", re.MULTILINE)


@cache
def _source(path: Path) -> bytes:
    return path.read_bytes()


@cache
def sources(path: Path) -> frozenset[Path]:
    """The files that a kernel of this file is made of: itself, what it imports of ours, what those import."""
    found, ahead = set(), [path]
    while ahead:
        here = ahead.pop()
        if here not in found:
            found.add(here)
            words = re.findall(r"(?<!as )\b\w+", " ".join(IMPORT.findall(_source(here).decode())))
            ahead += [
                near for word in words for near in (here.with_name(f"{word}.py"), HOME / f"{word}.py") if near.exists()
            ]
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

    def load_overload(self, sig, target_context):
        """As Numba's, but what is needed to compile (a quarter of a second to import) waits until something is."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), _stamp(self._path))


def settle(dispatcher, signature) -> None:
    """Compile for these types and never again: Numba then converts what comes (read-only arrays, other strides)."""
    dispatcher.disable_compile(False)
    dispatcher.compile(signature)
    dispatcher.disable_compile()


class PartLibrary(JITCodeLibrary):
    """LLVM code to be linked into other code, and nothing more."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalized = True


class KernelLibrary(JITCodeLibrary):
    """Machine code that nothing is linked with: of its LLVM code the disk keeps the names."""

    def _get_module_for_linking(self):
        names = [f.name for f in self._final_module.functions if not f.is_declaration]
        return parse_assembly("".join(f'define void @"{name}"() {{ ret void }}\n' for name in names))


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    _name = "xpnn_kernel_lowering"

    def run_pass(self, state):
        state.library = KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super().run_pass(state)


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(NativeLowering):
    _name = "xpnn_part_lowering"

    def run_pass(self, state):
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        name = object()  # what callers know it by: it has no address
        state.targetctx.insert_user_function(name, state["cr"].fndesc, [state.library])
        state["cr"] = state["cr"]._replace(cfunc=name)
        return True


class KernelCompiler(CompilerBase):
    lowering = KernelLowering

    def define_pipelines(self):
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes[:] = [(self.lowering if p is NativeLowering else p, why) for p, why in manager.passes]
        manager.finalize()
        return [manager]


class PartCompiler(KernelCompiler):
    lowering = PartLowering


class Part(CPUDispatcher):
    """A function for kernels only."""

    def __init__(self, function, options):
        super().__init__(function, targetoptions={**options, "no_cpython_wrapper": True}, pipeline_class=PartCompiler)

    def get_call_template(self, args, kws):
        """Numbers that a caller knows are any numbers: one part serves all callers."""
        return super().get_call_template(tuple(unliteral(a) for a in args), kws)

    def add_overload(self, cres):
        self.overloads[tuple(cres.signature.args)] = cres


class Kernel(CPUDispatcher):
    """A function for Python, compiled for the types of its first call; for other kernels, a part of them."""

    def __init__(self, function, options, part):
        super().__init__(function, targetoptions=options, pipeline_class=KernelCompiler)
        self._cache = SourceKeyedCache(part.py_func)
        self.part = part

    @property
    def _numba_type_(self):
        """What a kernel sees that calls it."""
        return types.Dispatcher(self.part)


def options(fastmath):
    # _nrt: kernels allocate nothing, and to count who holds an array would make threads wait for each other at slices.
    shared = {"nopython": True, "nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy", "_nrt": False}
    return {**shared, "fastmath": fastmath}


def kernel(function=None, *, fastmath=FLAGS):
    """Compile a module-level function on first call (a closure would not be found in the cache again)."""
    if function is None:
        return lambda f: kernel(f, fastmath=fastmath)
    made = options(fastmath)
    return Kernel(function, made, Part(function, made))
