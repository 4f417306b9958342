"""Kernels that run on several threads at once, on Numba's pool.

    @on_threads
    def double(thread, threads, x, y): ...     thread: 0 .. threads - 1
    double(threads, x, y)                      from Python; 1 for the calling thread alone

Numba's own parallel loops compile their body three times over. Here the pool calls one small function, which hands the
arguments on to the body.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.ufunc.parallel import _launch_threads

from xpnn_kernels.numba import threads as _pool  # noqa: F401 - says how the pool's threads wait, before there is one
from xpnn_kernels.numba.jit import FLAGS, Kernel, Part, options
from xpnn_kernels.numba.simd import INT, WORD

_launch_threads()  # what is compiled, or comes from the disk, calls it by its name

BYTES, VOID = ir.IntType(8).as_pointer(), ir.VoidType()
TASK = ir.FunctionType(VOID, [BYTES.as_pointer(), WORD.as_pointer(), WORD.as_pointer(), BYTES])
"""What the pool calls: task(arrays, counts, steps, data), arrays[0] the first of counts[0] places."""


@intrinsic
def split(typing, body, threads, arguments):
    """body(thread, threads, *arguments) for every thread."""
    inner = body.get_call_type(typing, (INT, INT, *arguments.types), {})

    def task(context, module, packed, called):
        """The places are thread numbers, as addresses of bytes; data is the number of threads and the arguments."""
        function = ir.Function(module, TASK, module.get_unique_name("task"))
        function.linkage = "internal"
        arrays, counts, steps, data = function.args
        builder = ir.IRBuilder(function.append_basic_block())
        number, values = cgutils.unpack_tuple(builder, builder.load(builder.bitcast(data, packed.as_pointer())), 2)
        values = cgutils.unpack_tuple(builder, values, len(arguments.types))
        first, step = builder.ptrtoint(builder.load(arrays), WORD), builder.load(steps)
        with cgutils.for_range(builder, builder.load(counts)) as loop:
            thread = builder.add(first, builder.mul(loop.index, step))
            context.call_internal_no_propagate(builder, called, inner, (thread, number, *values))
        builder.ret_void()
        return function

    def generate(context, builder, signature, given):
        compiled = body.dispatcher.overloads[inner.args]
        context.active_code_library.add_linking_library(compiled.library)
        _, number, values = given
        packed = ir.LiteralStructType([number.type, values.type])
        block = cgutils.alloca_once(builder, packed)
        builder.store(number, builder.gep(block, [ir.IntType(32)(0)] * 2))
        builder.store(values, builder.gep(block, [ir.IntType(32)(0), ir.IntType(32)(1)]))
        arrays = cgutils.alloca_once_value(builder, ir.Constant(BYTES, None))
        counts, steps = cgutils.alloca_once_value(builder, number), cgutils.alloca_once_value(builder, WORD(1))
        function = task(context, builder.module, packed, compiled.fndesc)
        data = builder.bitcast(block, BYTES)
        with builder.if_else(builder.icmp_signed("==", number, WORD(1))) as (alone, together):
            with alone:
                builder.call(function, [arrays, counts, steps, data])
            with together:
                pool_for = ir.FunctionType(VOID, [BYTES] * 5 + [WORD] * 3)
                pool_for = cgutils.get_or_insert_function(builder.module, pool_for, "numba_parallel_for")
                pointers = [builder.bitcast(p, BYTES) for p in (function, arrays, counts, steps, data)]
                builder.call(pool_for, [*pointers, WORD(0), WORD(1), number])
        return context.get_dummy_value()

    return types.void(body, INT, arguments), generate


def on_threads(function):
    """A kernel of (thread, threads, ...), which Python calls without `thread`; a kernel calls it as it is written."""
    body = Part(function, options(FLAGS))

    def entry(threads, *arguments):
        split(body, threads, arguments)

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(entry, name, getattr(function, name))
    return Kernel(entry, options(FLAGS), body)
