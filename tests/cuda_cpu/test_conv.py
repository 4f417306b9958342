"""Sizes at which convolution takes other kernels and other loads than in its sample cases, and how many it launches."""

from __future__ import annotations

import pytest

from cuda_cpu import build, conformance
from xpnn.backends.cupy import module
from xpnn.core.op import Arg, Case

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))
PLAIN = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, "activation": None}


def conv(x, w, **attrs):
    args = Arg(x), Arg(w), Arg((w[3],))
    return "conv2d", Case(args, PLAIN | {"precision": "exact"} | attrs)


def transposed(x, w, **attrs):
    settings = PLAIN | {"output_padding": (0, 0)} | attrs
    return "conv_transpose2d", Case((Arg(x), Arg(w), Arg((w[3] * settings["groups"],))), settings)


ONE = ((1, 1), (1, 1))
CASES = [
    conv((3, 9, 10, 16), (3, 3, 16, 64), padding=ONE, activation="tanh"),  # four channels a load; the widest tiles
    conv((1, 9, 9, 8), (3, 3, 8, 100), stride=(2, 2), activation="relu"),  # and a ragged last one
    conv((2, 7, 6, 20), (3, 3, 10, 24), groups=2, padding=ONE, activation="gelu"),  # groups that are products
    conv((2, 7, 6, 16), (3, 3, 8, 32), groups=2, stride=(1, 2), activation="relu"),
    conv((5, 32, 31, 1), (3, 3, 1, 4), activation="relu"),  # so many parts that several threads add up each sum
    conv((3, 8, 8, 40), (3, 3, 1, 40), groups=40, padding=ONE, activation="silu"),  # more channels than a warp
    transposed((2, 5, 6, 16), (4, 4, 16, 8), stride=(2, 2), padding=ONE, activation="relu"),
    transposed((2, 9, 10, 16), (3, 3, 16, 12), stride=(1, 2), groups=2, activation="elu"),
    transposed((3, 10, 10, 8), (2, 2, 8, 1), stride=(2, 2), groups=8, activation="relu"),
]


@pytest.mark.parametrize(("op", "case"), CASES, ids=lambda x: str(x))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes(op, case, dtype):
    conformance.parity(module.folder(), [op], [dtype], [case])


def test_more_elements_than_a_grid_has_threads():
    op, case = conv((2, 96, 96, 16), (1, 1, 1, 16), groups=16)
    conformance.parity(module.folder(), [op], ["float32"], [case])


@pytest.mark.parametrize(("op", "case", "backward"), [(*CASES[0], 3), (*CASES[5], 3), (*CASES[6], 4)])
def test_launches(cupy, op, case, backward):
    """One forward; the gradient of the input, the parts of the others and their sum, and a transposed one's bias."""
    assert conformance.run(cupy, op, case)[1:] == (1, backward)


@pytest.mark.parametrize(("op", "case"), [CASES[0], CASES[6]])
def test_arrays_that_begin_anywhere(cupy, op, case):
    """Parameters are views into an arena: loads of four numbers are for those that lie on their boundaries."""
    conformance.begins_anywhere(cupy, op, case)
