"""How exact the arithmetic must be: an attribute of every op that makes products, set where the op is applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from xpnn.errors import unknown

if TYPE_CHECKING:
    from xpnn.core.op import Case

ROUNDOFF = {"tf32": 2.0**-11, "bf16": 2.0**-8, "fp16": 2.0**-11}
"""How far, relative to itself, a number may move when it is rounded to a format: of 11, 8 and 11 significant bits."""
PRECISIONS = ("fast", "exact", *ROUNDOFF)
_for_all: list[str] = ["fast"]
_scoped: ContextVar[str | None] = ContextVar("xpnn_precision", default=None)


def current_precision() -> str:
    """The name that is set now, of `precision`."""
    return _scoped.get() or _for_all[-1]


class precision:
    """`precision("exact")` from here on in the whole process; `with precision("exact"):` inside the block.

    "fast"   (at first) kernels may rearrange the arithmetic, where that costs a few digits and saves much time: 3 x 3
             convolutions by Winograd's algorithm, with errors up to 5e-6 of the largest value instead of 5e-7; an
             infinity becomes NaN around itself
    "exact"  direct kernels only: sums of products, as the formula says
    "tf32", "bf16", "fp16"  as "fast", and products of float32 arrays may be made by tensor cores, with operands rounded
             to 11, 8 or 11 significant bits and sums in float32: those of dense layers, `matmul`, convolutions and
             transposed ones, attention (not softmax), and of RNN, LSTM and GRU, forward and backward, where every
             step multiplies a rounded state, or gradient, of the one before. Kernels of this library round to
             nearest even; cuBLASLt, which makes large products, does not say how it rounds. Arrays stay float32,
             states of recurrent layers too, and so does all that is no product (of the gradient of a bias
             kernels may make one, with ones). GPUs have fp16 from compute capability 7.5 on, the others from 8.0;
             elsewhere, on a CPU and of float64, the arithmetic is that of "fast". What is beyond 65504 overflows in
             fp16: an operand becomes infinite, and its product with 0 NaN; tf32 and bf16 have the range of float32.

    What was computed under one precision has its backward pass under the same. ConfigError for another name.

    >>> import xpnn
    >>> with xpnn.precision("exact"):
    ...     xpnn.current_precision()
    'exact'
    """

    def __init__(self, name: str) -> None:
        if name not in PRECISIONS:
            raise unknown("precision", name, PRECISIONS)
        self.name = name
        self._before = _for_all[-1]
        self._tokens: list[Token[str | None]] = []
        _for_all[-1] = name

    def __enter__(self) -> str:
        if not self._tokens:
            _for_all[-1] = self._before  # not for the process after all
        self._tokens.append(_scoped.set(self.name))
        return self.name

    def __exit__(self, *_: object) -> None:
        _scoped.reset(self._tokens.pop())


def unaware(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, which computes the same under every precision, as a function that takes the attribute and drops it."""

    @wraps(f)
    def without(*args: Any, precision: str = "fast", **attrs: Any) -> Any:
        return f(*args, **attrs)

    return without


def rounded(*cases: Case) -> Sequence[Case]:
    """The cases under each of the precisions that round."""
    return [replace(case, attrs=case.attrs | {"precision": name}) for name in ROUNDOFF for case in cases]
