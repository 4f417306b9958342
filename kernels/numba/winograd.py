"""Convolution 3x3 with stride 1 by Winograd's F(4x4, 3x3): 4 times fewer multiplications than the direct sum.

    u[p] = filters, (G g G^T)[p]          C x O for each of the 36 positions p
    v[p] = inputs,  (B^T d B)[p]          tiles x C, of a block of tiles at a time
    m[p] = v[p] u[p]                      36 matrix products, with the register tiles of `simd`
    y    = A^T m A + b, or its ReLU       while the block is in the cache

Vectors run over channels in every step (NHWC), so that no step shuffles lanes. v and m of a block stay in L2, u streams
through it; x and y move once. Zeros around the image are lanes that are not loaded, so no padded copy of x exists.
The input gradient is the same correlation, of dz with the mirrored filters, padded by 2 less the padding of x.
The transforms and their accuracy: `winograd_tile`; the weight gradient: `winograd_gradient`.

Bound by the multiply-add units: the products reach 85 % of their rate, the transforms add a seventh to their time.
Measured on 2 cores with AVX-512, forward + backward, PyTorch 2.13's better layout / this: 32->64 at 26x26 and N=64
24.6 / 9.9 ms; 64->64 at 56x56, padded, and N=32 115 / 41 ms.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.simd_math import relu
from xpnn_kernels.numba.split import on_threads
from xpnn_kernels.numba.winograd_tile import (
    OUT,
    SIDE,
    TAPS,
    A,
    Bt,
    G,
    load_patch,
    plus,
    rows,
    sandwich,
    span,
    store_patch,
)

POSITIONS = SIDE * SIDE
WIDE, NARROW = (4, 2) if simd.REGISTERS == 32 else (2, 1)
"""Register tiles: 6 rows x WIDE vectors; 12 x NARROW where that is enough. Columns are cut into such pieces."""
STEP = 12  # rows of whole tiles of both kinds

zeros_wide, zeros_narrow, zeros_one = simd.zeros(6, WIDE), simd.zeros(12, NARROW), simd.zeros(1, 1)
zeros_square, zeros_taps = simd.zeros(0, 1), simd.zeros(TAPS * TAPS, 1)
zeros_out, zeros_side = simd.zeros(OUT * OUT, 1), simd.zeros(POSITIONS, 1)
transform_filter, transform_input, inverse_output = sandwich(G), sandwich(Bt), sandwich(A.T)


def padded(columns: int, lanes: int) -> int:
    """How many columns the pieces have together."""
    full = WIDE * lanes
    rest = columns % full
    return columns - rest + (0 if not rest else NARROW * lanes if rest <= NARROW * lanes else full)


def scratch(C: int, block: int, lanes: int) -> int:
    """How many numbers the v of C channels and m of one piece take; tiles may read SLACK beyond."""
    return POSITIONS * (block * -(-C // lanes) * lanes + block * WIDE * lanes + 2 * lanes) + WIDE * lanes


@kernel
def piece_width(like, O, o):
    """The width of the piece of O columns that begins at o."""
    half = span(zeros_narrow(like))
    return half if O - o <= half else span(zeros_wide(like))


@on_threads
def filters(thread, threads, w, mirrored, u, stages, share):
    """u[piece, p, c, column] of w (3, 3, C, O), or of its mirror image (3, 3, O, C); a thread has `share` of the c."""
    C, O = w.shape[2:]
    taps, lanes, full = C * O, span(zeros_one(w)), span(zeros_wide(w))
    if mirrored:
        C, O = O, C
    stage, c1 = stages[thread], min(C, thread * share + share)
    for c in range(thread * share, c1, lanes):
        for o in range(0, O, lanes):
            first = o // full * full
            width = piece_width(w, O, first)
            if mirrored:  # copy it for these rows and columns, in the layout of a w
                for tap in range(TAPS * TAPS):
                    square = simd.load(zeros_square(w), w, tap * taps + o * C + c, C, O - o, C - c)
                    at = (TAPS * TAPS - 1 - tap) * lanes * lanes
                    simd.store(simd.transpose(square), stage, at, lanes, lanes, lanes)
            for i in range(min(lanes, c1 - c)):
                if mirrored:
                    g = simd.load(zeros_taps(w), stage, i * lanes, lanes * lanes, TAPS * TAPS, lanes)
                else:
                    g = simd.load(zeros_taps(w), w, (c + i) * O + o, taps, TAPS * TAPS, O - o)
                at = first * POSITIONS * C + (c + i) * width + o - first
                simd.store(transform_filter(g), u, at, C * width, POSITIONS, lanes)


@kernel
def locate(image, tile):
    """(n, h, w) of the first pixel of a tile of `image`."""
    across = -(-image.shape[2] // OUT)
    n, i = divmod(tile, -(-image.shape[1] // OUT) * across)
    return n, i // across * OUT, i % across * OUT


@kernel
def inputs(x, y, top, left, start, count, v, step):
    """v[p, k, c], `step` between positions, of the tiles of y from `start`."""
    _, H, W, C = x.shape
    lanes = span(zeros_one(x))
    pitch = -(-C // lanes) * lanes
    for k in range(count):
        n, h, w = locate(y, start + k)
        h, w = h - top, w - left
        for c in range(0, C, lanes):
            index = ((n * H + h) * W + w) * C + c
            d = load_patch(zeros_side(x), x, index, W * C, C, -h, H - h, -w, W - w, C - c)
            simd.store(transform_input(d), v, k * pitch + c, step, POSITIONS, lanes)


@kernel
def outputs(work, m, step, width, b, positive, y, start, count, first):
    """A^T m A + b for `count` tiles and the piece of columns that begins at `first`, or its ReLU."""
    _, P, Q, O = y.shape
    lanes = span(zeros_one(y))
    for k in range(count):
        n, h, w = locate(y, start + k)
        for o in range(first, min(O, first + width), lanes):
            sums = simd.load(zeros_side(y), work, m + k * width + o - first, step, POSITIONS, lanes)
            bias = simd.load(zeros_one(y), b, o, 0, 1, b.size - o)
            index = ((n * P + h) * Q + w) * O + o
            result = plus(inverse_output(sums), bias)
            if positive:
                result = relu(result)
            store_patch(result, y, index, Q * O, O, 0, P - h, 0, Q - w, O - o)


@kernel
def product(tile, a, a0, a_row, a_step, b, b0, depth, c, c0, count, new):
    """c (+)= a b: `count` rows, in whole tiles; one piece of columns; a[r, k] is a[a0 + r a_row + k a_step]."""
    height, width = rows(tile), span(tile)
    for r in range(0, count, height):
        sums = tile if new else simd.load(tile, c, c0 + r * width, width, height, width)
        for k in range(depth):
            sums = simd.add_outer(sums, a, a0 + r * a_row + k * a_step, a_row, height, b, b0 + k * width)
        simd.store(sums, c, c0 + r * width, width, height, width)


@kernel
def products(width, a, a0, a_position, a_row, a_step, b, b0, b_position, depth, c, c0, c_position, count, new):
    """`product` for every position, the arrays' positions so far apart."""
    for p in range(POSITIONS):
        ap, bp, cp = a0 + p * a_position, b0 + p * b_position, c0 + p * c_position
        if width == span(zeros_wide(c)):
            product(zeros_wide(c), a, ap, a_row, a_step, b, bp, depth, c, cp, count, new)
        else:
            product(zeros_narrow(c), a, ap, a_row, a_step, b, bp, depth, c, cp, count, new)


@on_threads
def correlate(thread, threads, x, u, b, y, positive, top, left, rooms, block, tiles, share):
    """y = x * u + b, or its ReLU; a thread has `share` of the tiles, `block` at a time; b (0,) for none."""
    C, O, work = x.shape[3], y.shape[3], rooms[thread]
    lanes, full = span(zeros_one(x)), span(zeros_wide(x))
    pitch = -(-C // lanes) * lanes
    v_step, m_step = block * pitch + lanes, block * full + lanes  # + lanes: or all positions share a set of the cache
    m, last = POSITIONS * v_step, min(tiles, thread * share + share)
    for start in range(thread * share, last, block):
        count = min(block, last - start)
        inputs(x, y, top, left, start, count, work, v_step)
        for o in range(0, O, full):
            width = piece_width(x, O, o)
            products(width, work, 0, v_step, pitch, 1, u, o * POSITIONS * C, C * width, C, work, m, m_step, count, True)
            outputs(work, m, m_step, width, b, positive, y, start, count, o)
