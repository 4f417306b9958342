"""Convolution on Numba: which algorithm serves which sizes is said here, in one list."""

from __future__ import annotations

from xpnn.backends.numba import conv_depthwise, conv_direct, conv_winograd
from xpnn.backends.numba.conv_algorithm import Algorithm
from xpnn.core.contract import Override, floating
from xpnn.core.op import Spec
from xpnn.ops.conv import CONV2D

ALGORITHMS: tuple[Algorithm, ...] = (conv_depthwise.DEPTHWISE, conv_winograd.WINOGRAD, conv_direct.DIRECT)
"""The first that fits is taken; the last fits always."""


def algorithm(specs: tuple[Spec, ...], attrs: dict) -> Algorithm:
    return next(a for a in ALGORITHMS if a.fits(specs, attrs))


def _forward(outs, saved, *inputs, work, **attrs):
    specs = tuple([Spec(a.shape, a.dtype) for a in inputs])
    algorithm(specs, attrs).forward(outs, saved, *inputs, work=work, **attrs)


def _backward(dins, douts, kept, *, work, **attrs):
    algorithm(kept.specs, attrs).backward(dins, douts, kept, work=work, **attrs)


def _saved(*specs, **attrs):
    saved = algorithm(specs, attrs).saved
    return CONV2D.infer(*specs, **attrs).saved if saved is None else saved(*specs, **attrs)


def _work(phase, *specs, **attrs):
    return algorithm(specs, attrs).work(phase, *specs, **attrs)


def _pixels(specs, attrs):
    return floating(specs, attrs) and min(*specs[0].shape, *specs[1].shape) > 0  # nothing there: the reference


OVERRIDES = {"conv2d": Override(_forward, _backward, _pixels, saved=_saved, work=_work, lean=True, precision=True)}
