"""Settings and parameters that optimizers refuse."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.errors import BackendError, ConfigError, DTypeError

from .conftest import BACKENDS, network, parameters


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.SGD(lr=0.0), "SGD: expected lr > 0; got 0.0"),
        (lambda: optim.SGD(lr=float("nan")), "SGD: expected lr > 0; got nan"),
        (lambda: optim.SGD(lr=0.1, l1=-1), "SGD: expected l1 >= 0 and l2 >= 0"),
        (lambda: optim.SGD(lr=0.1, clip_value=0), "SGD: expected clip_value > 0; got 0"),
        (lambda: optim.SGD(lr=0.1, clip_norm=-1), "SGD: expected clip_norm > 0; got -1"),
        (lambda: optim.Momentum(momentum=1.0), "Momentum: expected momentum from 0 up to 1; got 1.0"),
        (lambda: optim.AdaGrad(eps=0), "AdaGrad: expected eps > 0; got 0"),
        (lambda: optim.RMSProp(rho=-0.1), "RMSProp: expected rho from 0 up to 1; got -0.1"),
        (lambda: optim.Adam(beta2=1.0), "Adam: expected beta1 and beta2 from 0 up to 1"),
        (lambda: optim.AdamW(weight_decay=-1), "AdamW: expected weight_decay >= 0; got -1"),
        (lambda: optim.Nesterov(momentun=0.9), "Nesterov: setting 'momentun' is unknown. Did you mean 'momentum'?"),
        (lambda: optim.SGD(decayed=3), "SGD: setting 'decayed' is unknown"),
        (lambda: optim.SGD().step(), r"SGD: expected parameters; got none. Use .bind\(model\)"),
        (lambda: optim.SGD(nn.Flatten()), "optimizer: expected at least one parameter; got none"),
        (lambda: optim.SGD(3), r"SGD: expected a model or Parameters \(and the rate as lr=\); got int"),
        (lambda: optim.SGD([np.ones(3)]), "optimizer: expected a model or Parameters; got ndarray"),
        (lambda: optim.SGD([xpnn.tensor([1.0])]), "optimizer: expected a model or Parameters; got Tensor"),
        (lambda: optim.SGD(network()[0].w), "optimizer: expected a model or Parameters; got Tensor"),
    ],
)
def test_settings_and_parameters_that_make_no_sense(make, text):
    with pytest.raises(ConfigError, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_learning_rate_may_become_zero_but_not_less():
    optimizer = optim.SGD(network(), lr=0.1)
    optimizer.lr = 0
    for value in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="SGD: expected lr >= 0"):
            optimizer.lr = value


def test_parameters_of_two_dtypes_or_backends():
    with pytest.raises(DTypeError, match="expected parameters of one dtype; got float32 and float64"):
        optim.SGD([*parameters("float32"), *parameters("float64")])
    if len(BACKENDS) > 1:
        elsewhere = network().to(BACKENDS[1])
        mixed = [*network().parameters(), *elsewhere.parameters()]
        with pytest.raises(BackendError, match="expected parameters on one backend; got numpy and"):
            optim.SGD(mixed)
        assert all(p.arena is None for p in mixed)
