"""The optimizers: each a rule of `xpnn.ops.update` and its settings.

Full-batch, mini-batch and stochastic gradient descent are one rule; the batch size decides which it is.
"""

from __future__ import annotations

from typing import Any

from xpnn.errors import unknown
from xpnn.ops import update
from xpnn.optim.optimizer import Optimizer, need


class SGD(Optimizer):
    """Gradient descent: p -= lr g. Robbins and Monro (1951). Keywords beside lr as in `Optimizer`."""

    op = update.SGD

    def __init__(self, parameters: Any = None, *, lr: float = 0.01, **common: Any) -> None:
        super().__init__(parameters, lr=lr, **common)


class Momentum(Optimizer):
    """v = momentum v + g; p -= lr v. With nesterov: p -= lr (g + momentum v).

    Polyak (1964); Sutskever, Martens, Dahl and Hinton, ICML 2013, section 2 (with the learning rate outside v).
    """

    op = update.MOMENTUM
    states = ("v",)

    def __init__(
        self, parameters: Any = None, *, lr: float = 0.01, momentum: float = 0.9, nesterov: bool = False, **common: Any
    ) -> None:
        need(0 <= momentum < 1, "Momentum", "momentum from 0 up to 1", momentum)
        super().__init__(parameters, lr=lr, momentum=float(momentum), nesterov=bool(nesterov), **common)


class Nesterov(Momentum):
    """Momentum with nesterov=True: the gradient is looked at where the momentum leads."""

    def __init__(self, parameters: Any = None, *, lr: float = 0.01, momentum: float = 0.9, **common: Any) -> None:
        super().__init__(parameters, lr=lr, momentum=momentum, nesterov=True, **common)


class AdaGrad(Optimizer):
    """s += g^2; p -= lr g / (sqrt(s) + eps). Duchi, Hazan and Singer, JMLR 12 (2011), fig. 1."""

    op = update.ADAGRAD
    states = ("s",)

    def __init__(self, parameters: Any = None, *, lr: float = 0.01, eps: float = 1e-10, **common: Any) -> None:
        need(eps > 0, "AdaGrad", "eps > 0", eps)
        super().__init__(parameters, lr=lr, eps=float(eps), **common)


class RMSProp(Optimizer):
    """s = rho s + (1 - rho) g^2; p -= lr g / (sqrt(s) + eps). Tieleman and Hinton, Coursera lecture 6.5 (2012)."""

    op = update.RMSPROP
    states = ("s",)

    def __init__(
        self, parameters: Any = None, *, lr: float = 0.001, rho: float = 0.9, eps: float = 1e-8, **common: Any
    ) -> None:
        need(0 <= rho < 1, "RMSProp", "rho from 0 up to 1", rho)
        need(eps > 0, "RMSProp", "eps > 0", eps)
        super().__init__(parameters, lr=lr, rho=float(rho), eps=float(eps), **common)


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; p -= lr m' / (sqrt(v') + eps), with
    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t). Kingma and Ba, ICLR 2015, algorithm 1."""

    op = update.ADAM
    states = ("m", "v")

    def __init__(
        self,
        parameters: Any = None,
        *,
        lr: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Any,
    ) -> None:
        name = type(self).__name__
        need(0 <= beta1 < 1 and 0 <= beta2 < 1, name, "beta1 and beta2 from 0 up to 1", (beta1, beta2))
        need(eps > 0, name, "eps > 0", eps)
        need(weight_decay >= 0, name, "weight_decay >= 0", weight_decay)
        betas = {"beta1": float(beta1), "beta2": float(beta2)}
        super().__init__(parameters, lr=lr, **betas, eps=float(eps), weight_decay=float(weight_decay), **common)


class AdamW(Adam):
    """Adam with decoupled weight decay, p -= lr weight_decay p. Loshchilov and Hutter, ICLR 2019, algorithm 2."""

    def __init__(self, parameters: Any = None, *, lr: float = 0.001, weight_decay: float = 0.01, **others: Any) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, **others)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.__name__.lower(): kind for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSProp, Adam, AdamW)
}


def get(name: str | Optimizer, **settings: Any) -> Optimizer:
    """A new optimizer of this name, in small letters; one that is there is given back. ConfigError for others.

    >>> get("adam", lr=0.01).lr
    0.01
    """
    if isinstance(name, Optimizer):
        return name
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name](**settings)
