"""Softmax, log-softmax and cross-entropy on CUDA."""

from __future__ import annotations

from xpnn.backends.cupy.module import INTEGER, INTEGER_DTYPES, REAL, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

TEAMS = (32, 256)
ROWS, LABELS = (REAL, TEAMS), (REAL, TEAMS, INTEGER)
SOURCE = Source(
    "softmax",
    {
        **dict.fromkeys(("softmax", "softmax_back", "log_softmax", "log_softmax_back"), ROWS),
        "labels": LABELS,
        "targets": ROWS,
        **dict.fromkeys(("total", "scaled"), (REAL,)),
    },
)
WIDE = 1024
"""Classes from which on a row is the work of a block."""
SMALL = 1 << 14
"""Elements up to which one block does all rows, so that it can add up the losses."""


def _shape(x):
    """(rows, C, team, blocks that do them)."""
    C = x.shape[-1]
    rows, team = x.size // C, TEAMS[C >= WIDE]
    return rows, C, team, min(max(1, -(-rows // (256 // team))), 1 << 16)


def _run(name, *arrays):
    x = arrays[0]
    rows, C, team, grid = _shape(x)
    return made([SOURCE.kernel(name, x.dtype, team).call((grid,), (256,), (*arrays, rows, C))])


def _softmax(outs, saved, x):
    return _run("softmax", x, outs[0])


def _softmax_backward(dins, douts, kept):
    return _run("softmax_back", kept.outs[0], douts[0], dins[0])


def _log_softmax(outs, saved, x):
    return _run("log_softmax", x, outs[0])


def _log_softmax_backward(dins, douts, kept):
    return _run("log_softmax_back", kept.outs[0], douts[0], dins[0])


def _scale(samples, reduction):
    return 1 / samples if reduction == "mean" else 1.0


def _guard(specs, attrs):
    return floating(specs, attrs) and (specs[1].dtype.kind == "f" or specs[1].dtype in INTEGER_DTYPES)


def _saved(logits, target, *, label_smoothing, reduction):
    """The gradient of the logits."""
    return (logits,)


def _work(phase, logits, target, *, label_smoothing, reduction):
    """The losses of the samples, where only their sum goes out."""
    samples = Spec((logits.size // logits.shape[-1],), logits.dtype)
    return (samples,) if phase == "forward" and reduction != "none" else ()


def _cross_entropy(outs, saved, logits, target, *, label_smoothing, reduction, work):
    rows, C, team, grid = _shape(logits)
    scale, losses = _scale(rows, reduction), work[0] if work else outs[0]
    alone = bool(work) and logits.size <= SMALL
    args = (logits, target, label_smoothing, losses, *saved, rows, C, scale, outs[0] if alone else None)
    by_labels = target.dtype.kind != "f"
    kernel = SOURCE.kernel("labels" if by_labels else "targets", logits.dtype, team, *[target.dtype] * by_labels)
    calls = [kernel.call((1 if alone else grid,), (256,), args)]
    if work and not alone:
        calls.append(SOURCE.kernel("total", logits.dtype).call((1,), (256,), (losses, rows, scale, outs[0])))
    return made(calls)


def _cross_entropy_backward(dins, douts, kept, *, label_smoothing, reduction, work):
    (dx,), n = kept.saved, dins[0].size
    each = dx.shape[-1] if reduction == "none" else n
    return made([SOURCE.kernel("scaled", dx.dtype).call(blocks(n), (256,), (dx, douts[0], each, dins[0], n))])


OVERRIDES = {
    "softmax": Override(_softmax, _softmax_backward),
    "log_softmax": Override(_log_softmax, _log_softmax_backward),
    "cross_entropy": Override(_cross_entropy, _cross_entropy_backward, _guard, _saved, _work, saves_gradient=True),
}
