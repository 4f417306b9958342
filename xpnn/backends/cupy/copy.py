"""Copies on CUDA: CuPy's own, which fill an array that is given."""

from __future__ import annotations

from xpnn.core.contract import plain


def _copy(outs, saved, into, x):
    outs[0][...] = x


OVERRIDES = {"copy": plain(_copy)}
