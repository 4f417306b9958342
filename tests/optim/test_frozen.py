"""Frozen parameters: they and their state stay, the others go as if those were not there."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from xpnn import optim

from .conftest import METHODS, close, give, gradients, parameters


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("frozen", [(0,), (2,), (1, 2), (0, 3), (0, 1, 2, 3)])
def test_frozen_parameters_and_their_state_stay(backend, method, frozen):
    """And the others go as if the frozen ones were not there, in clipping too."""
    make, own = METHODS[method]
    common = {"lr": 0.05, "l1": 0.1, "l2": 0.2, "clip_norm": 1.0}
    warm, *grads = gradients(5)
    params = parameters()
    optimizer = make(params, **common, **own)
    give(params, warm)
    optimizer.step()
    before = {"parameters": backend.to_host(optimizer.arena.flat["parameters"]).copy(), **optimizer.state()}
    for i in frozen:
        params[i].requires_grad = False
    free = [i for i in range(4) if i not in frozen]
    twins = copy.deepcopy([params[i] for i in free])
    twin = make(twins, **common, **own) if free else None
    if twin is not None:  # the same state, moved to where the fewer parameters lie
        for name in optimizer.states:
            places = dict(zip(map(id, optimizer.arena.parameters), optimizer.arena.views(name), strict=True))
            mine = dict(zip(map(id, twin.arena.parameters), twin.arena.views(name), strict=True))
            for i, p in zip(free, twins, strict=True):
                backend.copy(places[id(params[i])], mine[id(p)])
        twin.arena.scalars["step"][...] = 1
    for step in grads:  # the frozen ones keep what they gathered before; it must not count in the norm
        for p in (*params, *twins):
            p.zero_grad() if p.requires_grad else None
        give([params[i] for i in free], [step[i] for i in free])
        optimizer.step()
        if twin is not None:
            give(twins, [step[i] for i in free])
            twin.step()
    after = {"parameters": backend.to_host(optimizer.arena.flat["parameters"]), **optimizer.state()}
    for p, s in zip(optimizer.arena.parameters, optimizer.arena.slices, strict=True):
        for name, array in after.items():
            if array.shape and not p.requires_grad:
                np.testing.assert_array_equal(array[s], before[name][s])
    close([params[i] for i in free], [p.numpy() for p in twins])
    if free and "step" in optimizer.op.inputs:
        assert optimizer.state()["step"] == 5


def test_a_thawed_parameter_trains_again(backend):
    params, grads = parameters(), gradients(2)
    params[0].requires_grad = False
    before = params[0].numpy().copy()
    optimizer = optim.SGD(params, lr=0.1)
    params[0].requires_grad = True
    give(params, grads[0])
    optimizer.step()
    close(params[:1], [before - 0.1 * grads[0][0]])
