"""Vectors of which only a part exists: the first lanes, as many as are left before the end of a row.

With AVX-512 both are one instruction with a mask, for vectors of half the width too. Before it a masked store takes
some twenty on some machines (Zen), so there halves, quarters, ... are stored, in a function of its own: these are
edges, and are not to fill the kernels.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

I1, I32 = ir.IntType(1), ir.IntType(32)


def call_masked(builder, name, result, *arguments):
    function = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.masked.{name}"), arguments)


def _mask(builder, tile, left):
    number = left.type
    lane = ir.Constant(ir.VectorType(number, tile.lanes), list(range(tile.lanes)))
    many = builder.insert_element(ir.Constant(lane.type, ir.Undefined), left, I32(0))
    many = builder.shuffle_vector(many, many, ir.Constant(ir.VectorType(I32, tile.lanes), [0] * tile.lanes))
    return builder.icmp_signed("<", lane, many)


def name_of(vector):
    """As LLVM names vectors of floats (f) and of whole numbers (i)."""
    element = vector.element
    bits = getattr(element, "width", 0) or (32 if isinstance(element, ir.FloatType) else 64)
    return f"v{vector.count}{'i' if isinstance(element, ir.IntType) else 'f'}{bits}", bits // 8


def load(builder, tile, pointer, left):
    """The first `left` lanes of what is there, tile.lanes of any kind; zeros beyond, where nothing is read."""
    kind = pointer.type.pointee
    if tile.masked:
        return _masked_load(builder, tile, kind, pointer, left)
    function = _outlined(builder.module, f"xpnn.load.{name_of(kind)[0]}", kind, [pointer.type, left.type])
    if function.is_declaration:
        inner = ir.IRBuilder(function.append_basic_block())
        inner.ret(_masked_load(inner, tile, kind, *function.args))
    return builder.call(function, [pointer, left])


def _masked_load(builder, tile, kind, pointer, left):
    (name, size), mask = name_of(kind), _mask(builder, tile, left)
    return call_masked(builder, f"load.{name}.p0", kind, pointer, I32(size), mask, ir.Constant(kind, None))


def store(builder, tile, vector, pointer, left):
    """The first `left` lanes; nothing is written beyond."""
    name, size = name_of(vector.type)
    if tile.masked:
        mask = _mask(builder, tile, left)
        call_masked(builder, f"store.{name}.p0", ir.VoidType(), vector, pointer, I32(size), mask)
        return
    kinds = [vector.type, pointer.type, left.type]
    function = _outlined(builder.module, f"xpnn.store.{name}", ir.VoidType(), kinds)
    if function.is_declaration:
        _fill_store(function, tile.lanes, size)
    if tile.rows == 1:
        builder.call(function, [vector, pointer, left])
        return
    with builder.if_else(builder.icmp_signed(">=", left, left.type(tile.lanes))) as (whole, part):
        with whole:
            builder.store(vector, pointer, align=size)
        with part:
            builder.call(function, [vector, pointer, left])


def _fill_store(function, lanes, size):
    vector, pointer, left = function.args
    number, element = left.type, vector.type.element
    builder = ir.IRBuilder(function.append_basic_block())
    with builder.if_then(builder.icmp_signed("<=", left, number(0))):
        builder.ret_void()
    with builder.if_then(builder.icmp_signed(">=", left, number(lanes))):
        builder.store(vector, pointer, align=size)
        builder.ret_void()
    half = lanes // 2
    at = builder.bitcast(pointer, element.as_pointer())
    while half:
        here, before, start = builder.and_(left, number(half)), vector, at
        origin = builder.block
        with builder.if_then(builder.icmp_signed("!=", here, number(0))):
            low = ir.Constant(ir.VectorType(I32, half), list(range(half)))
            part = builder.shuffle_vector(before, before, low)
            builder.store(part, builder.bitcast(start, part.type.as_pointer()), align=size)
            down = ir.Constant(ir.VectorType(I32, lanes), [(i + half) % lanes for i in range(lanes)])
            moved, further, stored = (
                builder.shuffle_vector(before, before, down),
                builder.gep(start, [number(half)]),
                builder.block,
            )
        vector, at = builder.phi(vector.type), builder.phi(start.type)
        for phi, kept, other in ((vector, before, moved), (at, start, further)):
            phi.add_incoming(kept, origin)
            phi.add_incoming(other, stored)
        half //= 2
    builder.ret_void()


def move(builder, tile, kind, vectors, whole, place, left):
    """Store the vectors of a tile, or load it if there are none: plainly if it is `whole`, else by its edges.

    kind     of the vectors; as many lanes as the tile's
    place(i) is where the i-th vector lies, left(i) how many lanes of it exist. What is loaded is a list of vectors
    """
    slots = [cgutils.alloca_once(builder, kind) for _ in range(0 if vectors else tile.rows * tile.columns)]

    def each(plain):
        for i in range(tile.rows * tile.columns):
            at = builder.bitcast(place(i), kind.as_pointer())
            if vectors and plain:
                builder.store(vectors[i], at, align=name_of(kind)[1])
            elif vectors:
                store(builder, tile, vectors[i], at, left(i))
            elif plain:
                builder.store(builder.load(at, align=name_of(kind)[1]), slots[i])
            else:
                builder.store(load(builder, tile, at, left(i)), slots[i])

    with builder.if_else(whole) as (then, otherwise):
        with then:
            each(True)
        with otherwise:
            each(False)
    return [builder.load(slot) for slot in slots]


def _outlined(module, name, result, arguments):
    function = cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), name)
    if function.is_declaration:
        function.linkage = "linkonce_odr"  # the parts of a kernel may each bring it
        function.attributes.add("noinline")
    return function
