"""Winograd convolution for windows of 3x3 that move by one pixel: which sizes gain, and how the work is cut.

The rule is measured, forward + backward with ReLU on two cores with AVX-512 in
float32, time of the direct kernels / of these:

    image, N    C->O   8->8  8->32  16->16  16->64  32->32  64->10  64->64  128->128      4->16  3->64
    56x56,   4         1.3   1.6    1.2     1.9     2.6     1.4     2.7                   1.3    0.8
    28x28,  16         1.2   1.3    1.2     1.8     2.5     1.6     2.5                   1.0    0.8
    14x14,  32         1.4   1.4    1.1     1.4     2.0     1.4     2.0     2.1           1.0    0.9
    7x7,    64         1.9   1.7    1.5     1.7     2.7     1.7     2.1     2.1           1.4    1.1
    8x8,     1         2.2   1.5    1.5     1.4     1.9     1.3     1.2     0.9           1.4    1.0

From 8 channels on, then. With few tiles the transform of the filters is most of the work (the last row has 4).
"""

from __future__ import annotations

from xpnn.backends.numba import activation as activations
from xpnn.backends.numba.conv_algorithm import Algorithm
from xpnn.core.op import Spec
from xpnn.ops.conv import CONV2D
from xpnn_kernels.numba import simd, threads
from xpnn_kernels.numba import winograd as kernels
from xpnn_kernels.numba import winograd_gradient as gradients

CACHE_BYTES = 640 * 1024
"""Of a core, for what a block of tiles has in it."""


FEWEST_CHANNELS, FEWEST_TILES = 8, 12


def _fits(specs, attrs):
    KH, KW, C, O = specs[1].shape
    unit = attrs["stride"] == attrs["dilation"] == (1, 1) and attrs["groups"] == 1
    if attrs["precision"] == "exact" or not unit or (KH, KW) != (kernels.TAPS, kernels.TAPS):
        return False
    y = CONV2D.infer(*specs, **attrs).outs[0]
    return min(C, O) >= FEWEST_CHANNELS and _tiles(y.shape) >= FEWEST_TILES


def _split(total, unit=1):
    """(share, threads): how much of the total a thread has, in whole units, and how many have some."""
    share = -(-total // (threads.threads() * unit)) * unit
    return share, -(-total // share)


def _tiles(image):
    N, H, W, _ = image
    return N * -(-H // kernels.OUT) * -(-W // kernels.OUT)


def _block(image, channels, lanes, itemsize):
    """How many tiles of this output a thread takes at a time."""
    most = CACHE_BYTES // (kernels.POSITIONS * (channels + kernels.WIDE * lanes) * itemsize)
    most = max(2, most // kernels.STEP) * kernels.STEP
    share, _ = _split(_tiles(image))
    even = -(-share // -(-share // most))
    return -(-even // kernels.STEP) * kernels.STEP


def _work(phase, x, w, b=None, **attrs):
    _, _, C, O = w.shape
    y = CONV2D.infer(x, w, b, **attrs).outs[0]
    T, dtype, lanes = threads.threads(), x.dtype, simd.WIDTH // x.dtype.itemsize
    block = _block(y.shape, C, lanes, dtype.itemsize)
    stages = Spec((T, kernels.TAPS**2 * lanes * lanes), dtype)
    if phase == "forward":
        u = Spec((kernels.POSITIONS * C * kernels.padded(O, lanes),), dtype)
        return u, stages, Spec((T, kernels.scratch(C, block, lanes)), dtype)
    u = Spec((kernels.POSITIONS * O * kernels.padded(C, lanes),), dtype)
    back = _block(x.shape, O, lanes, dtype.itemsize)
    room = max(kernels.scratch(C, block, lanes), kernels.scratch(O, back, lanes))
    sums = Spec((T, gradients.sums_size(C, O, lanes)), dtype)
    dz = () if attrs["activation"] is None else (y,)
    return u, stages, Spec((T, room), dtype), sums, Spec(w.shape, dtype), *dz


def _correlate(x, w, mirrored, b, y, positive, padding, u, stages, rooms):
    lanes = simd.WIDTH // x.itemsize
    share, T = _split(x.shape[3], lanes)
    kernels.filters(T, w, mirrored, u, stages, share)
    tiles, block = _tiles(y.shape), _block(y.shape, x.shape[3], lanes, x.itemsize)
    share, T = _split(tiles)
    kernels.correlate(T, x, u, b, y, positive, *padding, rooms, block, tiles, share)


def _forward(outs, saved, x, w, b=None, *, activation, padding, work, **attrs):
    z, bias = (saved or outs)[0], w[:0, 0, 0, 0] if b is None else b
    _correlate(x, w, False, bias, z, activation == "relu", (padding[0][0], padding[1][0]), *work)
    activations.after(activation, z, outs[0])


def _backward(dins, douts, kept, *, activation, padding, work, **attrs):
    x, w = kept.inputs[:2]
    dx, dw, db = (*dins, None)[:3]
    u, stages, rooms, sums, spare = work[:5]
    top, left = padding[0][0], padding[1][0]
    source = (kept.saved or kept.outs)[0]
    dy, masked = activations.before(activation, source, douts[0], work[-1])
    dz = work[5] if masked else dy
    if dw is not None or db is not None or masked:
        tiles = _tiles(dy.shape)
        block = _block(dy.shape, x.shape[3], simd.WIDTH // x.itemsize, x.itemsize)
        share, T = _split(tiles)
        given = x, dy, source if masked else dy, masked, dz, dw is not None
        gradients.accumulate(T, *given, sums, top, left, rooms, block, tiles, share)
        spare, none = spare if dw is None else dw, w[:0, 0, 0, 0]
        share, threads = _split(spare.shape[2])
        gradients.finish(threads, sums, T, spare, none if db is None else db, share)
    if dx is not None:
        none, back = w[:0, 0, 0, 0], (kernels.TAPS - 1 - top, kernels.TAPS - 1 - left)
        _correlate(dz, w, True, none, dx, False, back, u, stages, rooms)


WINOGRAD = Algorithm("winograd", _fits, _forward, _backward, _work)
