"""Whole recurrent layers against PyTorch's, in float64: outputs, final states and every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.peers

N, T, I, H = 5, 7, 3, 4
LENGTHS = [7, 1, 4, 7, 2]
KINDS = {
    "rnn": (nn.RNN, torch.nn.RNN, {}),
    "relu": (lambda *a, **k: nn.RNN(*a, activation="relu", **k), torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, torch.nn.LSTM, {}),
    "gru": (nn.GRU, torch.nn.GRU, {}),
}


def twin(layer, kind):
    """PyTorch's layer with our weights, which has a second bias that adds nothing but for the candidate of a GRU."""
    _, theirs, settings = KINDS[kind]
    other = theirs(
        I,
        H,
        num_layers=layer.layers,
        bidirectional=layer.bidirectional,
        batch_first=True,
        dtype=torch.float64,
        **settings,
    )
    for k, suffix in enumerate(suffixes(layer)):
        second = np.zeros(layer.b[k].shape)
        if kind == "gru":
            second[2 * H :] = layer.bn[k].numpy()
        values = {"weight_ih": layer.w[k].numpy().T, "weight_hh": layer.u[k].numpy().T}
        values |= {"bias_ih": layer.b[k].numpy(), "bias_hh": second}
        for name, value in values.items():
            getattr(other, f"{name}_{suffix}").data.copy_(torch.from_numpy(value.copy()))
    return other


def suffixes(layer):
    return [f"l{i}{r}" for i in range(layer.layers) for r in (["", "_reverse"] if layer.bidirectional else [""])]


def close(name, theirs, ours):
    ours, theirs = ours.numpy(), theirs.detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * max(np.abs(theirs).max(), 1), err_msg=name)


@pytest.mark.parametrize("place", ["numpy", "numba"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["", "bidirectional"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_pytorch(kind, bidirectional, layers, lengths, place):
    rng = np.random.default_rng(0)
    with xpnn.use(place):
        layer = KINDS[kind][0](I, H, layers=layers, bidirectional=bidirectional).astype("float64")
    for b in (*layer.b, *getattr(layer, "bn", [])):
        b.assign(rng.normal(size=b.shape))
    other = twin(layer, kind)
    K, width = len(layer.w), len(layer.carries)

    x_values, state_values = rng.normal(size=(N, T, I)), rng.normal(size=(width, K, N, H))
    x = xpnn.tensor(x_values, backend=place, requires_grad=True)
    state = nn.State(
        tuple(xpnn.tensor(state_values[i, k], backend=place, requires_grad=True) for i in range(width))
        for k in range(K)
    )
    y, after = layer(x, state, lengths=lengths)

    their_x = torch.from_numpy(x_values).requires_grad_()
    their_states = [torch.from_numpy(v).requires_grad_() for v in state_values]
    begin = their_states[0] if width == 1 else tuple(their_states)
    if lengths is None:
        their_y, their_after = other(their_x, begin)
    else:
        packed = torch.nn.utils.rnn.pack_padded_sequence(their_x, lengths, batch_first=True, enforce_sorted=False)
        their_y, their_after = other(packed, begin)
        their_y, _ = torch.nn.utils.rnn.pad_packed_sequence(their_y, batch_first=True, total_length=T)
    their_after = (their_after,) if width == 1 else their_after

    close("y", their_y, y)
    for i, k in np.ndindex(width, K):
        close(f"state {i} of {k}", their_after[i][k], after[k][i])

    dy, dstate = rng.normal(size=their_y.shape), rng.normal(size=(width, K, N, H))
    loss = (y * dy).sum() + sum((after[k][i] * dstate[i, k]).sum() for i, k in np.ndindex(width, K))
    loss.backward()
    their_loss = (their_y * torch.from_numpy(dy)).sum()
    (their_loss + sum((s * torch.from_numpy(d)).sum() for s, d in zip(their_after, dstate, strict=True))).backward()

    close("dx", their_x.grad, x.grad)
    for i, k in np.ndindex(width, K):
        close(f"gradient of state {i} of {k}", their_states[i].grad[k], state[k][i].grad)
    for k, suffix in enumerate(suffixes(layer)):
        close(f"dw {k}", getattr(other, f"weight_ih_{suffix}").grad.T, layer.w[k].grad)
        close(f"du {k}", getattr(other, f"weight_hh_{suffix}").grad.T, layer.u[k].grad)
        close(f"db {k}", getattr(other, f"bias_ih_{suffix}").grad, layer.b[k].grad)
        if kind == "gru":
            close(f"dbn {k}", getattr(other, f"bias_hh_{suffix}").grad[2 * H :], layer.bn[k].grad)
