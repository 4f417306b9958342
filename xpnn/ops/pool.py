"""Pooling: the largest or the average of every window of an image, channel by channel."""

from __future__ import annotations

from math import inf, prod
from typing import Any

import numpy as np

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.ops import window as windows


def _out(name: str, x: Spec, window: windows.Pair, stride: windows.Pair, padding: windows.Padding) -> Spec:
    need_floating(name, x=x)
    if len(x.shape) != 4:
        raise ShapeError(f"{name}: expected x (N, H, W, C); got {x.shape}")
    if any(side >= k for sides, k in zip(padding, window, strict=True) for side in sides):
        raise ConfigError(f"{name}: expected less padding than the window {window}; got {padding}")
    N, H, W, C = x.shape
    return Spec((N, *windows.count(name, (H, W), window, stride, padding), C), x.dtype)


def _stack(xp, x, value, window, stride, padding):
    """Element k of every window: (KH KW, N, OH, OW, C). Beyond the image it is `value`."""
    counts = windows.count("pool", x.shape[1:3], window, stride, padding)
    padded = windows.pad(xp, x, padding, value)
    return xp.stack([padded[where] for _, _, where in windows.elements(window, counts, stride)])


def _unstack(xp, parts, spec, window, stride, padding):
    """The sum of what the windows give to each pixel: the transpose of `_stack`."""
    dx = windows.pad(xp, xp.zeros(spec.shape, dtype=parts.dtype), padding, 0.0)
    for k, (_, _, where) in enumerate(windows.elements(window, parts.shape[2:4], stride)):
        dx[where] += parts[k, ...]
    ((top, _), (left, _)), (_, H, W, _) = padding, spec.shape
    return dx[:, top : top + H, left : left + W, :]


def _inside(xp, x, window, stride, padding):
    """1 where an element of a window is in the image, 0 where it is padding: (KH KW, 1, OH, OW, 1)."""
    return _stack(xp, xp.ones_like(x[:1, :, :, :1]), 0.0, window, stride, padding)


def _max_infer(x, window, stride, padding):
    out = _out("max_pool2d", x, window, stride, padding)
    return Outline((out,), (Spec(out.shape, np.dtype(np.int64)),))


def _max_forward(xp, x, window, stride, padding):
    elements = _stack(xp, x, -inf, window, stride, padding)
    y = xp.max(elements, axis=0)
    largest = (elements == y) | (elements != elements)  # NaN, which differs from itself, is the largest
    largest = largest & (_inside(xp, x, window, stride, padding) > 0)
    return (y,), (xp.argmax(xp.astype(largest, xp.int8), axis=0),)  # the first of them


def _max_backward(xp, wanted, douts, kept, window, stride, padding):
    (dy,), (first,) = douts, kept.saved
    parts = xp.stack([xp.where(first == k, dy, xp.zeros_like(dy)) for k in range(prod(window))])
    return (_unstack(xp, parts, kept.specs[0], window, stride, padding),)


def _avg_infer(x, window, stride, padding):
    return Outline((_out("avg_pool2d", x, window, stride, padding),))


def _avg_forward(xp, x, window, stride, padding):
    inside = xp.sum(_inside(xp, x, window, stride, padding), axis=0)
    return (xp.sum(_stack(xp, x, 0.0, window, stride, padding), axis=0) / inside,), ()


def _avg_backward(xp, wanted, douts, kept, window, stride, padding):
    spec = kept.specs[0]
    inside = _inside(xp, xp.zeros(spec.shape, dtype=douts[0].dtype), window, stride, padding)
    parts = inside * (douts[0] / xp.sum(inside, axis=0))
    return (_unstack(xp, parts, spec, window, stride, padding),)


def _record(name: str, infer: Any, forward: Any, backward: Any, kind: str) -> Op:
    def cost(x, window, stride, padding):
        out = infer(x, window=window, stride=stride, padding=padding).outs[0]
        return Cost(out.size * prod(window), x.nbytes + out.nbytes)

    none, one = ((0, 0), (0, 0)), ((1, 1), (1, 1))
    return register(
        Op(
            name=name,
            inputs=("x",),
            infer=infer,
            forward=forward,
            backward=backward,
            cost=cost,
            cases=tuple(
                Case((Arg(shape, kind),), {"window": window, "stride": stride, "padding": padding})
                for shape, window, stride, padding in (
                    ((2, 4, 6, 3), (2, 2), (2, 2), none),
                    ((2, 7, 5, 17), (2, 2), (2, 2), none),  # pixels that no window reaches
                    ((2, 5, 6, 3), (2, 3), (3, 3), ((1, 0), (2, 1))),  # windows apart, cut by the border
                    ((2, 7, 8, 5), (3, 3), (2, 2), one),  # overlapping
                    ((1, 5, 7, 70), (3, 2), (1, 3), ((2, 0), (0, 1))),  # more columns apart than wide
                    ((2, 1, 9, 4), (1, 4), (1, 2), ((0, 0), (2, 1))),
                    ((3, 17, 16, 2), (17, 16), (17, 16), none),  # more elements than a byte can name
                    ((1, 32, 32, 33), (2, 2), (2, 2), none),  # enough for threads
                )
            ),
            large=(Case((Arg((64, 24, 24, 64), kind),), {"window": (2, 2), "stride": (2, 2), "padding": none}),),
        )
    )


MAX_POOL = _record("max_pool2d", _max_infer, _max_forward, _max_backward, "apart")
AVG_POOL = _record("avg_pool2d", _avg_infer, _avg_forward, _avg_backward, "normal")


def _pool2d(op: Op, x: Any, window: Any, stride: Any, padding: Any) -> Tensor:
    x = x if isinstance(x, Tensor) else tensor(x)
    if x.ndim != 4:
        raise ShapeError(f"{op.name}: expected x (N, H, W, C); got {x.shape}")
    window = windows.need_pair(op.name, "window", window)
    stride = window if stride is None else windows.need_pair(op.name, "stride", stride)
    image = x.shape[1], x.shape[2]
    padding = windows.need_padding(op.name, padding, image, window, stride)
    _, OH, OW, _ = _out(op.name, Spec(x.shape, x.dtype), window, stride, padding).shape
    window, padding = windows.reaching(image, (OH, OW), window, stride, padding)
    return apply(op, x, window=window, stride=stride, padding=padding)


def _pool1d(name: str, op: Op, x: Any, window: Any, stride: Any, padding: Any) -> Tensor:
    x = x if isinstance(x, Tensor) else tensor(x)
    if x.ndim != 3:
        raise ShapeError(f"{name}: expected x (N, T, C); got {x.shape}")
    N, T, C = x.shape
    size = windows.need_size(name, "window", window)
    step = size if stride is None else windows.need_size(name, "stride", stride)
    if not isinstance(padding, str):
        padding = (windows.need_pair(name, "padding", padding, 0), (0, 0))
    y = _pool2d(op, x.reshape(N, T, 1, C), (size, 1), (step, 1), padding)
    return y.reshape(N, y.shape[1], C)


def _global(name: str, op: Op, x: Any) -> Tensor:
    x = x if isinstance(x, Tensor) else tensor(x)
    if x.ndim < 3:
        raise ShapeError(f"{name}: expected x (N, ..., C) with axes between; got {x.shape}")
    N, P, C = x.shape[0], prod(x.shape[1:-1]), x.shape[-1]
    if P == 0:
        raise ShapeError(f"{name}: expected x (N, ..., C) with a pixel at least; got {x.shape}")
    return _pool2d(op, x.reshape(N, P, 1, C), (P, 1), None, 0).reshape(N, C)


def max_pool2d(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """y[n, oh, ow, c] = the largest x[n, oh SH + kh - top, ow SW + kw - left, c] for 0 <= kh < KH, 0 <= kw < KW.

    x (N, H, W, C), float32 or float64; y (N, OH, OW, C). window and stride: a number or (rows, columns); the stride is
    the window by default. padding: a number, (rows, columns), ((top, bottom), (left, right)), "valid" (none) or "same"
    (OH = ceil(H / SH)); less than the window, and never the largest. A NaN in a window is its largest. Backward: dy
    goes to the first of the largest, row by row. Yamaguchi et al., ICSLP 1990; Ranzato et al., CVPR 2007, section 3.1.
    Raises ShapeError (nothing fits), DTypeError, ConfigError.
    """
    return _pool2d(MAX_POOL, x, window, stride, padding)


def avg_pool2d(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """y[n, oh, ow, c] = the mean of x[n, oh SH + kh - top, ow SW + kw - left, c] over the window, without the padding.

    Arguments and errors as in `max_pool2d`. Only pixels of the image count, so that its border is not darkened
    (PyTorch's count_include_pad=False). Backward: every pixel has dy / count from each window that covers it. LeCun et
    al., Neural Computation 1 (1989).
    """
    return _pool2d(AVG_POOL, x, window, stride, padding)


def max_pool1d(x: Any, window: int, stride: int | None = None, padding: Any = 0) -> Tensor:
    """`max_pool2d` along the middle axis of x (N, T, C). padding: a number, (before, after), "valid" or "same"."""
    return _pool1d("max_pool1d", MAX_POOL, x, window, stride, padding)


def avg_pool1d(x: Any, window: int, stride: int | None = None, padding: Any = 0) -> Tensor:
    """`avg_pool2d` along the middle axis of x (N, T, C). padding: a number, (before, after), "valid" or "same"."""
    return _pool1d("avg_pool1d", AVG_POOL, x, window, stride, padding)


def global_max_pool(x: Any) -> Tensor:
    """The largest over all axes between the first and the last: x (N, ..., C), y (N, C). Ties as in `max_pool2d`."""
    return _global("global_max_pool", MAX_POOL, x)


def global_avg_pool(x: Any) -> Tensor:
    """The mean over all axes between the first and the last: x (N, ..., C), y (N, C). Lin, Chen and Yan, ICLR 2014."""
    return _global("global_avg_pool", AVG_POOL, x)
