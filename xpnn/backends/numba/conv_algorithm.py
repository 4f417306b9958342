"""What an algorithm for convolution is: an override of its own for the sizes that it fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpnn.core.contract import Attrs
from xpnn.core.op import Spec


class Algorithm(NamedTuple):
    """forward, backward, saved and work are those of `xpnn.core.contract.Override`."""

    name: str
    fits: Callable[[Sequence[Spec], Attrs], bool]
    forward: Callable[..., None]
    backward: Callable[..., None]
    work: Callable[..., tuple[Spec, ...]]
    saved: Callable[..., tuple[Spec, ...]] | None = None
    """None: what the record saves, z where the derivative of the activation reads it."""


def always(specs: Any, attrs: Any) -> bool:
    return True
