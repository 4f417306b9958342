"""Which class was called which, on Numba. The kernel works in place: counts from elsewhere are copied."""

from __future__ import annotations

from functools import partial

import numpy as np

from xpnn.core.contract import Override, made
from xpnn_kernels.numba import confusion as kernels


def _confusion(outs, saved, counts, scores, labels):
    before = [] if outs[0] is counts else [partial(np.copyto, outs[0], counts)]
    return made([*before, partial(kernels.confusion, scores, labels, outs[0])])


def _floating(specs, attrs):
    return specs[1].dtype.char in "fd"


OVERRIDES = {"confusion": Override(_confusion, guard=_floating)}
