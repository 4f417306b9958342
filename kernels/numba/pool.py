"""Pooling of images (N, H, W, C): what each window gives, and what each pixel is given back.

    LARGEST    y = the largest, and which element of the window it was, the first of several: 1 byte, 4 above 255
    SUM, MEAN  y = the sum of the window's pixels in the image, or that over their number
    backward   dx = what the windows over a pixel send it: each pixel is written once and threads do not meet

`shape` is (KH, KW, SH, SW, top, left): window, stride, padding before. Every thread has a share of the rows. A register
tile holds the channels of one pixel: WIDE vectors while there are so many, then one, which may read on behind them.
Windows that do not overlap send dy once to each of their pixels, without sums. Bound by memory.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd, stream, vector
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.split import on_threads

SUM, MEAN, LARGEST = range(3)
WIDE = 4
zeros_wide, zeros_narrow = simd.zeros(1, WIDE), simd.zeros(1, 1)


@kernel
def _share(kind, rows, columns):
    """What a window of so many pixels multiplies its sum by."""
    return 1.0 / (rows * columns) if kind == MEAN else 1.0


@kernel
def _behind(tile, y, r1, c0, c1):
    """Up to where pixels of the rows before r1 may be written over: those that follow are written later. 0: nowhere."""
    return r1 * y.shape[2] * y.shape[3] if c0 == 0 and c1 <= simd.span(tile) else 0


@kernel
def _read(tile, x, at):
    """A tile from there on, as far as the array goes: what is beyond the channels is not stored."""
    return simd.load(tile, x, at, 0, 1, x.size - at)


@kernel
def _gather(tile, kind, x, y, first, shape, r0, r1, c0, c1, past):
    """The rows r0..r1 of y (a row is n OH + oh), channels c0..c1."""
    KH, KW, SH, SW, top, left = shape
    _, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    step, behind = simd.span(tile), _behind(tile, y, r1, c0, c1)
    for row in range(r0, r1):
        image, h = row // OH * H, row % OH * SH - top
        h0, h1 = max(h, 0), min(h + KH, H)
        for ow in range(OW):
            w = ow * SW - left
            w0, w1 = max(w, 0), min(w + KW, W)
            share = _share(kind, h1 - h0, w1 - w0)
            for c in range(c0, c1, step):
                at = (row * OW + ow) * C + c
                room = max(c1 - c, behind - at)
                if kind == LARGEST:
                    best = _read(tile, x, ((image + h0) * W + w0) * C + c)
                    code = vector.full(tile, (h0 - h) * KW + (w0 - w))
                    for i in range(h0, h1):
                        for j in range(w0, w1):
                            v = _read(tile, x, ((image + i) * W + j) * C + c)
                            stream.ahead(tile, x, ((image + i + SH) * W + j) * C + c)
                            code = vector.code_of_larger(v, best, (i - h) * KW + (j - w), code)
                            best = vector.larger(v, best)
                    stream.store(best, y, at, room, past)
                    vector.store_codes(code, first, at, room)
                else:
                    total = tile
                    for i in range(h0, h1):
                        for j in range(w0, w1):
                            total = vector.add(total, _read(tile, x, ((image + i) * W + j) * C + c))
                            stream.ahead(tile, x, ((image + i + SH) * W + j) * C + c)
                    stream.store(vector.scale(total, share), y, at, room, past)


@kernel
def _clear(tile, dx, row, w0, w1, c0, c1, past, behind):
    _, _, W, C = dx.shape
    step = simd.span(tile)
    for w in range(w0, w1):
        for c in range(c0, c1, step):
            at = (row * W + w) * C + c
            stream.store(tile, dx, at, max(c1 - c, behind - at), past)


@kernel
def _send(tile, kind, dy, first, dx, shape, r0, r1, c0, c1, past):
    """The rows r0..r1 of dx (a row is n H + h), where windows do not overlap."""
    KH, KW, SH, SW, top, left = shape
    _, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    step, behind = simd.span(tile), _behind(tile, dx, r1, c0, c1)
    for row in range(r0, r1):
        h = row % H + top
        i, end = h // SH, 0
        if i < OH and h - i * SH < KH:
            rows = min(i * SH - top + KH, H) - max(i * SH - top, 0)
            inner, start = _share(kind, rows, KW), (row // H * OH + i) * OW
            for j in range(OW):
                a = j * SW - left
                w0, w1 = max(a, 0), min(a + KW, W)
                _clear(tile, dx, row, end, w0, c0, c1, past, behind)
                code = (h - i * SH) * KW - a
                share = inner if w1 - w0 == KW else _share(kind, rows, w1 - w0)
                for c in range(c0, c1, step):
                    at = (start + j) * C + c
                    d = _read(tile, dy, at)
                    if kind != LARGEST:
                        d = vector.scale(d, share)
                    for w in range(w0, w1):
                        v = vector.where_code(d, first, at, first.size - at, code + w) if kind == LARGEST else d
                        to = (row * W + w) * C + c
                        stream.store(v, dx, to, max(c1 - c, behind - to), past)
                end = w1
        _clear(tile, dx, row, end, W, c0, c1, past, behind)


@kernel
def _collect(tile, kind, dy, first, dx, shape, r0, r1, c0, c1, past):
    """The rows r0..r1 of dx, where windows overlap."""
    KH, KW, SH, SW, top, left = shape
    _, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    step, behind = simd.span(tile), _behind(tile, dx, r1, c0, c1)
    for row in range(r0, r1):
        image, h = row // H * OH, row % H + top
        i0, i1 = max(0, (h - KH + SH) // SH), min(OH, h // SH + 1)
        j0, j1 = 0, 0
        for w in range(left, left + W):
            while j0 < OW and j0 * SW + KW <= w:
                j0 += 1
            while j1 < OW and j1 * SW <= w:
                j1 += 1
            for c in range(c0, c1, step):
                total = tile
                for i in range(i0, i1):
                    rows = min(i * SH - top + KH, H) - max(i * SH - top, 0)
                    for j in range(j0, j1):
                        at = ((image + i) * OW + j) * C + c
                        d = _read(tile, dy, at)
                        if kind == LARGEST:
                            d = vector.where_code(d, first, at, first.size - at, (h - i * SH) * KW + w - j * SW)
                        else:
                            columns = min(j * SW - left + KW, W) - max(j * SW - left, 0)
                            d = vector.scale(d, _share(kind, rows, columns))
                        total = vector.add(total, d)
                to = (row * W + w - left) * C + c
                stream.store(total, dx, to, max(c1 - c, behind - to), past)


@kernel
def _give_back(tile, kind, dy, first, dx, shape, r0, r1, c0, c1, past):
    if shape[2] >= shape[0] and shape[3] >= shape[1]:
        _send(tile, kind, dy, first, dx, shape, r0, r1, c0, c1, past)
    else:
        _collect(tile, kind, dy, first, dx, shape, r0, r1, c0, c1, past)


@on_threads
def forward(thread, threads, kind, x, y, first, shape, past):
    """first: where LARGEST keeps the codes, like y; not used by others."""
    rows, C, lanes = y.shape[0] * y.shape[1], y.shape[3], simd.WIDTH // y.itemsize
    r0, r1 = thread * rows // threads, (thread + 1) * rows // threads
    wide = C - C % (WIDE * lanes)
    if wide:
        _gather(zeros_wide(y), kind, x, y, first, shape, r0, r1, 0, wide, past)
    if wide < C:
        _gather(zeros_narrow(y), kind, x, y, first, shape, r0, r1, wide, C, past)
    stream.settle()


@on_threads
def backward(thread, threads, kind, dy, first, dx, shape, past):
    rows, C, lanes = dx.shape[0] * dx.shape[1], dx.shape[3], simd.WIDTH // dx.itemsize
    r0, r1 = thread * rows // threads, (thread + 1) * rows // threads
    wide = C - C % (WIDE * lanes)
    if wide:
        _give_back(zeros_wide(dx), kind, dy, first, dx, shape, r0, r1, 0, wide, past)
    if wide < C:
        _give_back(zeros_narrow(dx), kind, dy, first, dx, shape, r0, r1, wide, C, past)
    stream.settle()
