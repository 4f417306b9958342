"""Attention: every query takes a mean of the values, weighted by how well their keys fit it."""

from __future__ import annotations

from math import inf, nan, sqrt
from typing import Any

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Array, Case, Cost, Namespace, Op, Outline, Spec, register
from xpnn.core.precision import rounded
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import ConfigError, DTypeError, ShapeError
from xpnn.ops.recurrent import need_lengths


def need_heads(name: str, features: int, heads: Any) -> int:
    """How many features a head has; ConfigError where the heads do not divide them."""
    if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 or features < 1 or features % heads:
        raise ConfigError(f"{name}: expected heads that divide the {features} features; got {heads!r}")
    return features // heads


def _infer(q, k, v, lengths=None, *, heads, causal, scale):
    dtype = need_floating("attention", q=q, k=k, v=v)
    if any(len(spec.shape) != 3 for spec in (q, k, v)):
        raise ShapeError(f"attention: expected q, k, v (N, T, E); got {q.shape}, {k.shape}, {v.shape}")
    (N, T, E), (_, S, V) = q.shape, v.shape
    if k.shape != (N, S, E) or v.shape[0] != N:
        raise ShapeError(f"attention: expected k {(N, S, E)} to fit q {q.shape} and v {v.shape}; got {k.shape}")
    need_heads("attention", E, heads)
    need_heads("attention", V, heads)
    if lengths is not None and lengths.shape != (N,):
        raise ShapeError(f"attention: expected lengths ({N},); got {lengths.shape}")
    if lengths is not None and lengths.dtype.kind not in "iu":
        raise DTypeError(f"attention: expected integer lengths; got {lengths.dtype}. Convert with .astype('int64')")
    return Outline((Spec((N, T, V), dtype),), (Spec((N, heads, T, S), dtype),))


def _split(xp: Namespace, x: Array, heads: int) -> Array:
    """(N, T, E) as (N, heads, T, E / heads)."""
    N, T, E = x.shape
    return xp.permute_dims(xp.reshape(x, (N, T, heads, E // heads)), (0, 2, 1, 3))


def _join(xp: Namespace, x: Array) -> Array:
    N, heads, T, D = x.shape
    return xp.reshape(xp.permute_dims(x, (0, 2, 1, 3)), (N, T, heads * D))


def _seen(xp: Namespace, T: int, S: int, lengths: Array | None, causal: bool) -> Array:
    """May query t see key s? (N or 1, 1, T, S)."""
    t, s = xp.arange(T)[None, None, :, None], xp.arange(S)[None, None, None, :]
    seen = s <= t + (S - T) if causal else (s >= 0) & (t >= 0)
    return seen if lengths is None else seen & (s < xp.astype(lengths, xp.int64)[:, None, None, None])


def _product(xp: Namespace, weights: Array, seen: Array, x: Array) -> Array:
    """weights @ x, in which what is not seen has no say, not even where it is infinite or NaN (0 NaN is NaN)."""
    bad = ~xp.isfinite(x)
    clean = weights @ xp.where(bad, xp.zeros_like(x), x)
    tainted = xp.astype(seen, x.dtype) @ xp.astype(bad, x.dtype) > 0
    return xp.where(tainted, xp.full_like(clean, nan), clean)


def _forward(xp, q, k, v, lengths=None, *, heads, causal, scale):
    q4, k4, v4 = (_split(xp, x, heads) for x in (q, k, v))
    seen = _seen(xp, q.shape[1], k.shape[1], lengths, causal)
    scores = q4 @ xp.permute_dims(k4, (0, 1, 3, 2)) * scale
    if k.shape[1]:
        scores = xp.where(seen, scores, xp.full_like(scores, -inf))
        top = xp.max(scores, axis=-1, keepdims=True)
        scores = scores - xp.where(top == -inf, xp.zeros_like(top), top)
    p = xp.exp(scores)
    total = xp.sum(p, axis=-1, keepdims=True)
    p = xp.where(seen, p / xp.where(total == 0, xp.ones_like(total), total), xp.zeros_like(p))  # 0 / NaN is NaN
    return (_join(xp, _product(xp, p, seen, v4)),), (p,)


def _backward(xp, wanted, douts, kept, *, heads, causal, scale):
    q, k, v, *rest = kept.inputs
    lengths, (p,) = rest[0] if rest else None, kept.saved
    q4, k4, v4, dy = (_split(xp, x, heads) for x in (q, k, v, douts[0]))
    seen = _seen(xp, q.shape[1], k.shape[1], lengths, causal)
    unseen = xp.permute_dims(seen, (0, 1, 3, 2))
    dp = xp.where(seen, dy @ xp.permute_dims(v4, (0, 1, 3, 2)), xp.zeros_like(p))
    ds = p * (dp - xp.sum(p * dp, axis=-1, keepdims=True)) * scale
    ds = xp.where(seen, ds, xp.zeros_like(ds))
    p_st, ds_st = (xp.permute_dims(a, (0, 1, 3, 2)) for a in (p, ds))
    grads = (
        _product(xp, ds, seen, k4) if wanted[0] else None,
        _product(xp, ds_st, unseen, q4) if wanted[1] else None,
        _product(xp, p_st, unseen, dy) if wanted[2] else None,
    )
    return tuple([None if g is None else _join(xp, g) for g in grads] + [None] * len(rest))


def _cost(q, k, v, lengths=None, *, heads, causal, scale):
    (N, T, E), (_, S, V) = q.shape, v.shape
    return Cost(
        2 * N * T * S * (E + V) / (2 if causal else 1), q.nbytes + k.nbytes + v.nbytes + N * T * V * q.dtype.itemsize
    )


def _case(N, T, S, E, V, heads, causal, lengths=False):
    args = Arg((N, T, E)), Arg((N, S, E)), Arg((N, S, V))
    more = (Arg((N,), "labels", S + 1),) if lengths else ()
    return Case((*args, *more), {"heads": heads, "causal": causal, "scale": (E // heads) ** -0.5})


ATTENTION = register(
    Op(
        name="attention",
        inputs=("q", "k", "v", "lengths?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("q", "k", "v", "lengths", "out"),
        products=True,
        cost=_cost,
        cases=(
            _case(2, 5, 5, 6, 6, 2, False),
            _case(2, 5, 5, 6, 6, 3, True),
            _case(3, 4, 7, 4, 10, 2, False, lengths=True),
            _case(1, 3, 6, 5, 5, 1, True),  # the last query stands at the last key
            _case(2, 6, 3, 4, 4, 1, True),  # the first queries see nothing
            _case(4, 5, 4, 4, 2, 2, True, lengths=True),
            _case(2, 70, 70, 34, 34, 2, True),  # several blocks of queries, and threads
            _case(2, 67, 300, 40, 8, 2, False, lengths=True),
            *rounded(
                _case(2, 5, 5, 6, 6, 3, True),
                _case(2, 140, 140, 34, 34, 2, True),
                _case(2, 67, 300, 40, 8, 2, False, lengths=True),
            ),
        ),
        large=(_case(16, 256, 256, 256, 256, 8, True),),
    )
)


def attention(
    q: Any, k: Any, v: Any, heads: int = 1, causal: bool = False, lengths: Any = None, scale: float | None = None
) -> Tensor:
    """y[t] = sum over s of p[t, s] v[s], p[t] = softmax over s of scale q[t] k[s]: for each sample and head by itself.

    q (N, T, E), k (N, S, E), v (N, S, V), float32 or float64; y (N, T, V). Head h has the features h E/heads up to
    (h + 1) E/heads, and as many of V. scale: 1 / sqrt(E / heads) by default. What query t may see:
        lengths (N,)   whole numbers from 0 to S: the first lengths[n] keys alone, the rest is padding
        causal         the keys s <= t + S - T: the last query stands at the last key, so that one query may be
                       decoded against all keys so far
    There is no mask (T, S) beside these: moving and keeping such a matrix is what a fused op spares. A query that sees
    nothing gives 0, and what is not seen has a gradient of 0 and no say. Padding has none even where it is NaN; a NaN
    or infinity that `causal` hides has none in the reference, but in kernels it may make NaN of earlier queries of the
    same block of up to 128, and of gradients there (0 NaN is NaN). Backward, with dp = dy v^T and
    ds = scale p (dp - sum over s of p dp):
        dq = ds k      dk = ds^T q      dv = p^T dy
    Where `xpnn.precision` lets operands be rounded, they are q, k, v, dy, and p and ds / scale as those of a product;
    what of these is below 3e-8 is 0 in fp16.
    Vaswani et al., NIPS 2017, equation 1; what kernels keep is the logarithm of the sums instead of p: Dao et al.,
    NeurIPS 2022, section 3.1. Raises ShapeError, DTypeError, ConfigError.
    """
    anchor = next((x for x in (q, k, v) if isinstance(x, Tensor)), None)
    if anchor is not None:
        q, k, v = (as_tensor(x, anchor) for x in (q, k, v))
    if scale is None:
        scale = 1 / sqrt(need_heads("attention", q.shape[-1], heads))
    inputs: tuple[Any, ...] = (q, k, v)
    if lengths is not None:
        lengths = as_tensor(lengths, q if isinstance(q, Tensor) else tensor(q))
        need_lengths("attention", lengths, k.shape[1])
        inputs = (q, k, v, lengths)
    return apply(ATTENTION, *inputs, heads=heads, causal=bool(causal), scale=float(scale))
