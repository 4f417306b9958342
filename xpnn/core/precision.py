"""How exact the arithmetic must be: read by the functions of ops that can choose, and passed on as an attribute."""

from __future__ import annotations

from contextvars import ContextVar, Token

from xpnn.errors import unknown

PRECISIONS = ("fast", "exact")
_for_all: list[str] = ["fast"]
_scoped: ContextVar[str | None] = ContextVar("xpnn_precision", default=None)


def current_precision() -> str:
    """ "fast" or "exact", as it is set now."""
    return _scoped.get() or _for_all[-1]


class precision:
    """`precision("exact")` from here on in the whole process; `with precision("exact"):` inside the block.

    "fast"   (at first) kernels may rearrange the arithmetic, where that costs a few digits and saves much time: 3 x 3
             convolutions by Winograd's algorithm, with errors up to 5e-6 of the largest value instead of 5e-7
    "exact"  direct kernels only: sums of products, as the formula says

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
