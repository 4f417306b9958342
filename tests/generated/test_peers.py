"""Outputs and gradients of every op against PyTorch, on the same cases, in float64.

TWINS is the one list by hand: what PyTorch calls each op. An op without a twin is an exception with a reason.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpnn import check
from xpnn.core.op import REGISTRY

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.peers
F = torch.nn.functional

CLOSE = 1e-11
"""Of the largest value; both sides are float64."""


def _hard_sigmoid(x):
    return torch.clamp(x / 6 + 0.5, 0, 1)  # the slope of F.hardsigmoid is 1/6 in float32, whatever the dtype


def _activation(name):
    plain = {"gelu": lambda z: F.gelu(z, approximate="tanh"), "hard_sigmoid": _hard_sigmoid, None: lambda z: z}
    return plain.get(name) or getattr(torch, name or "", None) or getattr(F, name or "")


def _dense(x, w, b=None, *, activation):
    return _activation(activation)(x @ w if b is None else x @ w + b)


def _conv2d(x, w, b=None, *, stride, padding, dilation, groups, activation):
    z = F.conv2d(_padded(x, padding, 0.0), w.permute(3, 2, 0, 1), b, stride, 0, dilation, groups)
    return _activation(activation)(z).permute(0, 2, 3, 1)


def _conv_transpose2d(x, w, b=None, *, stride, padding, output_padding, dilation, groups, activation):
    w = w.permute(2, 3, 0, 1)
    spread = [d * (k - 1) + (n - 1) * s for d, k, n, s in zip(dilation, w.shape[2:], x.shape[1:3], stride, strict=True)]
    z = F.conv_transpose2d(x.permute(0, 3, 1, 2), w, None, stride, 0, 0, groups, dilation)
    z = F.pad(z, (0, output_padding[1], 0, output_padding[0]))
    rows, columns = (
        slice(sides[0], size + 1 + more - sides[1])
        for sides, size, more in zip(padding, spread, output_padding, strict=True)
    )
    z = z[:, :, rows, columns].permute(0, 2, 3, 1)
    return _activation(activation)(z if b is None else z + b)


def _cross_entropy(logits, target, label_smoothing, reduction):
    C = logits.shape[-1]
    flat = target.reshape(-1, C) if target.is_floating_point() else target.reshape(-1)
    loss = F.cross_entropy(logits.reshape(-1, C), flat, label_smoothing=label_smoothing, reduction=reduction)
    return loss.reshape(logits.shape[:-1]) if reduction == "none" else loss


def _padded(x, padding, value):
    (top, bottom), (left, right) = padding
    return F.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom), value=value)


def _max_pool2d(x, window, stride, padding):
    return F.max_pool2d(_padded(x, padding, -torch.inf), window, stride).permute(0, 2, 3, 1)


def _avg_pool2d(x, window, stride, padding):
    inside = _padded(torch.ones_like(x), padding, 0.0)
    y, share = (F.avg_pool2d(a, window, stride) for a in (_padded(x, padding, 0.0), inside))
    return (y / share).permute(0, 2, 3, 1)


def _by_sequence(run, x, weights, states, lengths, reverse):
    """PyTorch's recurrence, one sequence at a time: its packed sequences may not be empty."""
    T, columns = x.shape[1], []
    for n, steps in enumerate([T] * len(x) if lengths is None else lengths.tolist()):
        y, after = x.new_zeros(1, 0, states[0].shape[1]), [s[n : n + 1] for s in states]
        if steps:
            own = x[n : n + 1, :steps].flip(1) if reverse else x[n : n + 1, :steps]
            before = after[0][None] if len(after) == 1 else tuple(s[None] for s in after)
            y, *after = run(own, before, weights, True, 1, 0.0, False, False, True)
            y, after = y.flip(1) if reverse else y, [s[0] for s in after]
        columns.append((F.pad(y, (0, 0, 0, T - steps)), *after))
    return tuple(torch.cat(column) for column in zip(*columns, strict=True))


def _rnn(x, w, u, b, h0, lengths=None, *, reverse, activation):
    run = torch.rnn_tanh if activation == "tanh" else torch.rnn_relu
    return _by_sequence(run, x, [w.T, u.T, b, torch.zeros_like(b)], [h0], lengths, reverse)


def _lstm(x, w, u, b, h0, c0, lengths=None, *, reverse):
    return _by_sequence(torch.lstm, x, [w.T, u.T, b, torch.zeros_like(b)], [h0, c0], lengths, reverse)


def _gru(x, w, u, b, bn, h0, lengths=None, *, reverse):
    second = torch.cat([torch.zeros_like(b[: 2 * len(bn)]), bn])
    return _by_sequence(torch.gru, x, [w.T, u.T, b, second], [h0], lengths, reverse)


def _attention(q, k, v, lengths=None, *, heads, causal, scale):
    (N, T, _), S = q.shape, k.shape[1]
    seen = torch.ones(N, 1, T, S, dtype=torch.bool)
    seen = seen.tril(S - T) if causal else seen
    seen = seen if lengths is None else seen & (torch.arange(S) < lengths[:, None, None, None])
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    some = seen.any(-1, keepdim=True)  # PyTorch gives NaN to a query that sees nothing
    y = F.scaled_dot_product_attention(q, k, v, seen | ~some, scale=scale) * some
    return y.transpose(1, 2).flatten(2)


def _channels_second(x):
    return x.movedim(-1, 1)


def _batch_norm(x, gamma, beta, *, eps):
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes, correction=0)
    if x.numel() == x.shape[-1]:  # a variance of nothing, which PyTorch refuses
        return (x - mean) / torch.sqrt(var + eps) * gamma + beta, mean, var
    return F.batch_norm(_channels_second(x), None, None, gamma, beta, True, 0.0, eps).movedim(1, -1), mean, var


def _batch_norm_inference(x, gamma, beta, mean, var, *, eps):
    return F.batch_norm(x.reshape(-1, x.shape[-1]), mean, var, gamma, beta, False, 0.0, eps).reshape(x.shape)


def _layer_norm(x, gamma=None, beta=None, *, eps):
    return F.layer_norm(x, x.shape[-1:], gamma, beta, eps)


def _group_norm(x, gamma, beta, *, groups, eps):
    return F.group_norm(_channels_second(x), groups, gamma, beta, eps).movedim(1, -1)


def _upsample2d(x, factor, mode):
    options = {"align_corners": False} if mode == "bilinear" else {}
    return F.interpolate(x.permute(0, 3, 1, 2), scale_factor=factor, mode=mode, **options).permute(0, 2, 3, 1)


def _half_sum_of_squares(y, t, reduction):
    loss = 0.5 * F.mse_loss(y, t, reduction="none").reshape(y.shape[0], -1).sum(1)
    return loss if reduction == "none" else getattr(loss, reduction)()


def _perceptron(y, t, reduction):
    loss = F.relu(-t * y)
    return loss if reduction == "none" else getattr(loss, reduction)()


def _gather(data, targets, order, at, scale, shift, size):
    rows = order[int(at) : int(at) + size]
    return data[rows].to(scale.dtype) * scale + shift, targets[rows], at + size


TWINS = {
    **{
        name: getattr(torch, name) for name in ("negative", "abs", "exp", "log", "sqrt", "square", "sin", "cos", "sign")
    },
    **{
        name: getattr(torch, name) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "matmul")
    },
    **{name: getattr(torch, name) for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")},
    "power": torch.pow,
    "equal": torch.eq,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": lambda x, slope: F.leaky_relu(x, slope),
    "elu": lambda x, alpha: F.elu(x, alpha),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, threshold=1e6),
    "hard_sigmoid": _hard_sigmoid,
    "step": lambda x: torch.heaviside(x, torch.zeros((), dtype=x.dtype)),
    "dense": _dense,
    "rnn": _rnn,
    "lstm": _lstm,
    "gru": _gru,
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "cross_entropy": _cross_entropy,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "attention": _attention,
    "batch_norm": _batch_norm,
    "batch_norm_inference": _batch_norm_inference,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "upsample2d": _upsample2d,
    "embedding": lambda table, ids: F.embedding(ids, table),
    "one_hot": lambda ids, classes, dtype: F.one_hot(ids, classes).to(getattr(torch, dtype)),
    "mean_squared_error": lambda y, t, reduction: F.mse_loss(y, t, reduction=reduction),
    "half_sum_of_squares": _half_sum_of_squares,
    "binary_cross_entropy": lambda y, t, reduction: F.binary_cross_entropy_with_logits(y, t, reduction=reduction),
    "perceptron": _perceptron,
    "l1": lambda y, t, reduction: F.l1_loss(y, t, reduction=reduction),
    "huber": lambda y, t, reduction, delta: F.huber_loss(y, t, reduction=reduction, delta=delta),
    "sum": lambda x, axis, keepdims: torch.sum(x, axis, keepdim=keepdims),
    "mean": lambda x, axis, keepdims: torch.mean(x, axis, keepdim=keepdims),
    "max": lambda x, axis, keepdims: torch.amax(x, axis, keepdim=keepdims),
    "min": lambda x, axis, keepdims: torch.amin(x, axis, keepdim=keepdims),
    "argmax": lambda x, axis: torch.argmax(x, axis),
    "argmin": lambda x, axis: torch.argmin(x, axis),
    "where": torch.where,
    "clip": lambda x, low, high: torch.clamp(x, low, high),
    "reshape": torch.reshape,
    "transpose": lambda x, axes: torch.permute(x, axes),
    "take": lambda x, indices, axis: torch.index_select(x, axis, indices),
    "concat": lambda *xs, axis: torch.cat(xs, axis),
    "astype": lambda x, dtype: x.to(getattr(torch, dtype)),
    "gather": _gather,
}

EXCEPTIONS = {
    "index": "PyTorch has no negative steps; NumPy is the judge of indexing in tests/core",
    "dropout": "the mask is ours by design",
}


def test_peer(op, case):
    twin = TWINS.get(op.name)
    if twin is None:
        return
    s = check.Sample(op, case, np.dtype("float64"))
    inputs = [torch.from_numpy(np.array(x)) for x in s.inputs]
    for i in s.variables:
        inputs[i].requires_grad_()
    outs = twin(*inputs, **{key: value for key, value in case.attrs.items() if key != "precision"})
    outs = outs if isinstance(outs, tuple) else (outs,)
    for i, (out, ours) in enumerate(zip(outs, s.outs, strict=True)):
        _close(f"{s.title}: out {i}", out.detach().numpy(), ours)
    if s.variables and outs[0].requires_grad:
        douts = [torch.from_numpy(np.array(d)) for d in s.douts]
        grads = torch.autograd.grad(outs, [inputs[i] for i in s.variables], douts, materialize_grads=True)
        for i, grad in zip(s.variables, grads, strict=True):
            _close(f"{s.title}: d{op.input_name(i)}", grad.numpy(), s.grads[i])


def _close(name, theirs, ours):
    assert theirs.shape == ours.shape, f"{name}: {ours.shape} here, {theirs.shape} in PyTorch"
    if ours.dtype.kind != "f":
        assert (theirs == ours).all(), name
        return
    error = np.abs(theirs - ours).max() / max(np.abs(ours).max(), 1e-300)
    assert error <= (CLOSE if theirs.dtype == np.float64 else 1e-6), f"{name}: off by {error:.2g}"


def test_every_op_with_a_gradient_has_a_twin(op):
    if op.backward is not None:
        assert (op.name in TWINS) != (op.name in EXCEPTIONS), (
            f"{op.name}: name its PyTorch twin, or say why it has none"
        )


def test_no_twin_without_an_op():
    assert set(TWINS) | set(EXCEPTIONS) <= set(REGISTRY)


UPDATES = {
    "sgd": lambda p, lr, a: torch.optim.SGD([p], lr),
    "momentum": lambda p, lr, a: torch.optim.SGD([p], lr, momentum=a["momentum"], nesterov=a["nesterov"]),
    "adagrad": lambda p, lr, a: torch.optim.Adagrad([p], lr, eps=a["eps"]),
    "rmsprop": lambda p, lr, a: torch.optim.RMSprop([p], lr, alpha=a["rho"], eps=a["eps"]),
    "adam": lambda p, lr, a: torch.optim.AdamW(
        [p], lr, betas=(a["beta1"], a["beta2"]), eps=a["eps"], weight_decay=a["weight_decay"]
    ),
}


@pytest.mark.parametrize("name", UPDATES)
def test_update_rules_over_five_steps(name):
    """From zero states, as an optimizer starts."""
    op = REGISTRY[name]
    for case in op.cases:
        if case.attrs["l1"] or case.attrs["l2"]:
            continue
        rng = np.random.default_rng(3)
        p = rng.standard_normal(23)
        theirs = torch.from_numpy(p.copy()).requires_grad_()
        optimizer = UPDATES[name](theirs, 0.05, case.attrs)
        values = {"p": p, "lr": np.array(0.05), "step": np.array(0.0)}
        for _ in range(5):
            g = rng.standard_normal(23)
            given = [g if k == "g" else values.get(k, np.zeros(23)) for k in op.inputs]
            outs, _ = op.forward(np, *given, **case.attrs)
            values.update(zip(op.updates, outs, strict=True))
            theirs.grad = torch.from_numpy(g)
            optimizer.step()
            _close(f"{name} [{case}]", theirs.detach().numpy(), values["p"])
