"""The stand-in's `cupy.cuda`: devices, memory, errors, and modules that note what they are given."""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path

import numpy as np
import pytest

from cuda_cpu import build, launch, together

_spec = importlib.util.spec_from_file_location("fake_streams", Path(__file__).with_name("fake_streams.py"))
streams = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(streams)
Stream, MemoryPool, using_allocator = streams.Stream, streams.MemoryPool, streams.using_allocator
get_current_stream = streams.current

transfers: list[str] = []
"""Copies and waits in their order: "h2d", "d2h", "wait"."""

failure: dict[str, Exception] = {}
"""What to raise from "getDeviceCount", "nvrtc", "matmul" or "compile"."""

gpus = 2
current = streams.gpus

capability = "80"
attributes = {16: 2, 97: 227 << 10}
"""Two multiprocessors only: what wants more blocks at a time than that takes its other way."""


def _raise_or(key, value):
    if key in failure:
        raise failure[key]
    return value


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):
    pass


class Device:
    def __init__(self, device=None):
        self.id = current[-1] if device is None else int(device)

    compute_capability = property(lambda self: capability)
    mem_info = property(lambda self: (memory.left["free"], memory.left["total"]))

    def __enter__(self):
        current.append(self.id)
        return self

    def __exit__(self, *_):
        current.pop()

    def synchronize(self):
        streams.refuse("waiting")
        transfers.append("wait")


allocated: dict[int, int] = {}
"""Addresses that were asked for, for libraries, and how many bytes of the array lie behind each."""


class RawModule:
    """Notes what it was given; its kernels note what they are launched with, and run on the CPU."""

    made: list[RawModule] = []  # noqa: RUF012 - the test's window
    runs = True
    """False: launches are noted only."""

    def __init__(self, code, options=(), name_expressions=None, enable_cooperative_groups=False):
        assert isinstance(options, tuple)
        self.code, self.options, self.names = code, options, name_expressions
        self.cooperative, self.gpu, self.launches = enable_cooperative_groups, current[-1], []
        self._compiled = None
        RawModule.made.append(self)

    def get_function(self, name):
        _raise_or("compile", None)
        assert name in self.names
        return Function(self, name)

    def compiled(self):
        if self._compiled is None:
            why_not = build.missing()
            if why_not is not None:
                pytest.skip(why_not)
            (name,) = self.names
            names = together.instantiations(self.code, name)
            self._compiled = launch.Module(self.code, names, self.options, self.cooperative)
        return self._compiled


class Function:
    """A kernel of a module, on the GPU that was the current one when the module was made."""

    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        self.module.launches.append((self.name, grid, block, args, shared_mem))
        if RawModule.runs:
            self._launch(grid, block, args, shared_mem)

    def _launch(self, grid, block, args, shared_mem):
        if self.module.gpu != current[-1]:
            raise CUDARuntimeError(400, "cudaErrorInvalidResourceHandle: a kernel of another GPU than the current one")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDARuntimeError(1, "cudaErrorInvalidValue: more dynamic shared memory than was asked for")
        hosts = [_given(x) for x in args]
        run = self.module.compiled().run
        streams.launched(lambda: run(self.name, grid, block, hosts, shared_mem))


def _given(x):
    """An argument of a kernel: arrays of the host go by value, if they have one element."""
    if not isinstance(x, np.ndarray):
        return x.host_for_kernels() if hasattr(x, "host_for_kernels") else x
    if x.size != 1:
        raise TypeError("a numpy.ndarray of several elements as a kernel argument")
    return x.reshape(-1)[0]


device = types.ModuleType("cupy.cuda.device")
device.Device = Device
memory = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError, left={"free": 1 << 30, "total": 2 << 30})
compiler = types.SimpleNamespace(CompileException=CompileException)
nvrtc = types.SimpleNamespace(getVersion=lambda: _raise_or("nvrtc", (12, 9)))
runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: _raise_or("getDeviceCount", gpus),
    getDevice=lambda: current[-1],
    cudaDevAttrMultiProcessorCount=16,
    cudaDevAttrMaxSharedMemoryPerBlockOptin=97,
    deviceGetAttribute=lambda attribute, device: attributes[attribute],
)
