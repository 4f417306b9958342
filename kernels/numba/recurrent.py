"""What the recurrent kernels share: sequences as steps, weights packed for register tiles, and the product of a step.

A thread owns rows of the batch through all steps, so that threads never wait for each other and no result depends on
their number. Within, everything is by step, in the order of the steps: `inputs` (T + 1, N, I + 1 + H) holds, of each
step and sequence, x, a one (for the bias) and the state h before it; the last entry has states only. Nothing but
`enter`, `leave` and their like knows of lengths and of reading in reverse.

What bounds a step: the multiply-add units, if the weights come in time. Every step reads them all again, a panel at a
time. Where they are too many for L2, only a piece of it (DEPTH rows), from L1 for all but the first ROWS sequences of
the thread, and meanwhile the next piece is asked for: a tenth of the time with 512 units.

Arrays are flat, `shape` is (N, T, I, H): half the time to compile.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd, stream
from xpnn_kernels.numba.jit import kernel

ROWS, COLUMNS = (4, 4) if simd.REGISTERS == 32 else (2, 4)
DEPTH = 24 * 1024 // (COLUMNS * simd.WIDTH)
"""So many rows of a panel of COLUMNS vectors are used for all sequences before the next: what L1 has room for."""
FAR = 3 << 19
"""Bytes of weights above which they do not stay in L2."""
zeros_wide, zeros_narrow, zeros_vector = simd.zeros(ROWS, COLUMNS), simd.zeros(ROWS, 1), simd.zeros(1, 1)
zeros_square = simd.zeros(0, 1)


@kernel
def copy(source, at, target, to, count, keep):
    """target[to:to + count] = source[at:at + count], or 0 if they are not to be kept."""
    lanes = simd.WIDTH // target.itemsize
    for j in range(0, count, lanes):
        part = zeros_vector(target)
        if keep:
            part = simd.load(part, source, at + j, 0, 1, count - j)
        simd.store(part, target, to + j, 0, 1, count - j)


@kernel
def steps_of(lengths, n, T):
    """How many steps sequence n has; lengths (0,) stands for none given."""
    return min(max(lengths[n], 0), T) if lengths.size else T


@kernel
def when(lengths, reverse, s, n, T):
    """(the time at which sequence n is in step s, is that within its length?)"""
    steps = steps_of(lengths, n, T)
    return steps - 1 - s if reverse and s < steps else s, s < steps


@kernel
def begin(h0, inputs, shape, n0, n1):
    """The states before the first step, and all the ones."""
    N, T, I, H = shape
    K = I + 1 + H
    for n in range(n0, n1):
        copy(h0, n * H, inputs, n * K + I + 1, H, True)
        for s in range(T):
            inputs[(s * N + n) * K + I] = 1


@kernel
def enter(x, lengths, reverse, s, inputs, shape, n0, n1):
    """What step s reads of x: 0 where a sequence has ended, since what is there may be NaN."""
    N, T, I, H = shape
    for n in range(n0, n1):
        t, inside = when(lengths, reverse, s, n, T)
        copy(x, (n * T + t) * I, inputs, (s * N + n) * (I + 1 + H), I, inside)


@kernel
def leave(inputs, lengths, reverse, s, y, shape, n0, n1):
    """y of step s, the state before the next: 0 where a sequence has ended, and so is the state."""
    N, T, I, H = shape
    for n in range(n0, n1):
        t, inside = when(lengths, reverse, s, n, T)
        state = ((s + 1) * N + n) * (I + 1 + H) + I + 1
        copy(inputs, state, inputs, state, H, inside)
        copy(inputs, state, y, (n * T + t) * H, H, True)


@kernel
def finish(states, width, lengths, last, shape, n0, n1):
    """The states after the last step of each sequence, at the end of rows of this width."""
    N, T, _, H = shape
    for n in range(n0, n1):
        copy(states, (steps_of(lengths, n, T) * N + n + 1) * width - H, last, n * H, H, True)


@kernel
def end_back(dlast, lengths, s, dstate, shape, n0, n1):
    """Where step s is the last of a sequence, the gradient of the state is that of its end."""
    _, T, _, H = shape
    for n in range(n0, n1):
        if s == steps_of(lengths, n, T) - 1:
            copy(dlast, n * H, dstate, n * H, H, True)


@kernel
def enter_back(dy, lengths, reverse, s, dstate, shape, n0, n1):
    """The gradient of the state is also that of y."""
    _, T, _, H = shape
    for n in range(n0, n1):
        t, inside = when(lengths, reverse, s, n, T)
        if inside:
            for j in range(H):
                dstate[n * H + j] += dy[(n * T + t) * H + j]


@kernel
def silence(lengths, s, dz, width, shape, n0, n1):
    """dz of step s, rows of this width, is 0 where a sequence has ended."""
    if lengths.size:
        for n in range(n0, n1):
            row = (s * shape[0] + n) * width
            copy(dz, row, dz, row, width, s < lengths[n])


@kernel
def leave_back(dxs, lengths, reverse, s, dx, shape, n0, n1):
    """dx from that of step s, dxs (N, I)."""
    _, T, I, _ = shape
    for n in range(n0, n1):
        t, inside = when(lengths, reverse, s, n, T)
        copy(dxs, n * I, dx, (n * T + t) * I, I, inside)


@kernel
def start_back(dstate, dlast, lengths, dfirst, shape, n0, n1):
    """The gradient of the initial state; a sequence without steps hands on that of its end."""
    _, T, _, H = shape
    for n in range(n0, n1):
        source = dlast if steps_of(lengths, n, T) == 0 else dstate
        copy(source, n * H, dfirst, n * H, H, True)


@kernel
def pack(w, b, u, packed, G, shape):
    """packed (panels, I + 1 + H, G vectors) from the rows of w, b and u: a vector of each gate of the same units."""
    _, _, I, H = shape
    lanes = simd.WIDTH // packed.itemsize
    to = 0
    for j in range(0, H, lanes):
        for k in range(I + 1 + H):
            source, row = (w, k) if k < I else (b, 0) if k == I else (u, k - I - 1)
            for g in range(G):
                part = simd.load(zeros_vector(packed), source, (row * G + g) * H + j, 0, 1, H - j)
                simd.store(part, packed, to, 0, 1, lanes)
                to += lanes


@kernel
def pack_back(w, packed, K, O, o0, o1, to):
    """The columns o0..o1 of w (K, O) as the rows from `to` on of w transposed, (O, K), which is packed as panels of
    COLUMNS vectors, while so many are left, and then of one: the panel of column k from place k O on."""
    lanes = simd.WIDTH // packed.itemsize
    wide = COLUMNS * lanes
    for k in range(0, K, lanes):
        panel = k // wide * wide
        width = wide
        if K - panel <= wide - lanes:
            panel, width = k, lanes
        start = panel * O + k - panel
        for o in range(o0, o1, lanes):
            part = simd.transpose(simd.load(zeros_square(packed), w, k * O + o, O, K - k, o1 - o))
            simd.store(part, packed, start + (o - o0 + to) * width, width, o1 - o, lanes)


@kernel
def depth_of(K, packed):
    """The rows of a panel that are used at a time: all K, or as many as leave no short rest."""
    return K if packed.size * packed.itemsize <= FAR else -(-K // -(-K // DEPTH))


@kernel
def ask_for_part(packed, start, count, part, parts):
    """Ask for one of so many parts of `count` weights from `start` on, which will be used next."""
    lines = -(-count * packed.itemsize // stream.LINE)
    each = -(-lines // parts)
    for i in range(part * each, min(part * each + each, lines)):
        stream.line_ahead(packed, start * packed.itemsize + i * stream.LINE)


@kernel
def _strip(tile, a, at, stride, O, packed, start, width, out, to, K, rows, count, add):
    depth = depth_of(O, packed)
    for o0 in range(0, O, depth):
        here = min(depth, O - o0)
        for m in range(0, rows, ROWS):
            if depth < O:
                ask_for_part(packed, start + (o0 + here) * width, here * width, m // ROWS, -(-rows // ROWS))
            sums = tile
            if add or o0:
                sums = simd.load(tile, out, to + m * K, K, rows - m, count)
            for o in range(o0, o0 + here):
                sums = simd.add_outer(sums, a, at + m * stride + o, stride, rows - m, packed, start + o * width)
            simd.store(sums, out, to + m * K, K, rows - m, count)


@kernel
def product_back(a, at, stride, O, packed, out, K, n0, n1, add):
    """out[n0:n1] (K columns) = or += rows of O numbers, the first at a[at], times what `pack_back` packed."""
    lanes = simd.WIDTH // out.itemsize
    wide, k = COLUMNS * lanes, 0
    while k < K:
        to = n0 * K + k
        if K - k > wide - lanes:
            _strip(zeros_wide(out), a, at, stride, O, packed, k * O, wide, out, to, K, n1 - n0, K - k, add)
            k += wide
        else:
            _strip(zeros_narrow(out), a, at, stride, O, packed, k * O, lanes, out, to, K, n1 - n0, K - k, add)
            k += lanes
