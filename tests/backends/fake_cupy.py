"""A stand-in for CuPy on machines without a GPU: its memory is the host's, its manners are CuPy's.

It refuses what CuPy refuses (NumPy arrays among its own, implicit conversion to NumPy, arrays of another GPU than the
current one), writes every copy between host and "device" into `transfers`, and knows no name beyond those listed
here, so that the part of CuPy in use stays deliberate. Loaded anew for each test under the name `cupy`.
"""

from __future__ import annotations

import builtins
import ctypes
import importlib.util
import types
import weakref
from pathlib import Path

import numpy as np

__version__ = "14.0.0"

AS_IN_NUMPY = """
bool_ broadcast_shapes complex64 complex128 complexfloating dtype e finfo float16 float32 float64 floating iinfo
inexact inf int8 int16 int32 int64 integer intp isdtype issubdtype nan newaxis number pi result_type
signedinteger uint8 uint16 uint32 uint64 unsignedinteger
"""
globals().update({name: getattr(np, name) for name in AS_IN_NUMPY.split()})  # array-api-compat takes them from CuPy

_spec = importlib.util.spec_from_file_location("cupy.cuda", Path(__file__).with_name("fake_cuda.py"))
cuda = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cuda)
streams = cuda.streams
ALIGNMENT = 512  # bytes
libc = ctypes.CDLL(None)
libc.posix_memalign.argtypes = ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t
libc.free.argtypes = (ctypes.c_void_p,)
transfers, failure, memory, _stack = cuda.transfers, cuda.failure, cuda.memory.left, cuda.current


def _owned(x):
    """The host array of a device array, on the current GPU; numbers pass."""
    if isinstance(x, ndarray):
        if x._gpu != _stack[-1]:
            raise ValueError(f"Array device must be same as the current device: {x._gpu} while {_stack[-1]} is current")
        return x._host
    if x is None or isinstance(x, (int, float, complex, np.generic)):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def _allocate(host):
    if host.nbytes > memory["free"]:
        used = memory["total"] - memory["free"]
        raise cuda.memory.OutOfMemoryError(
            f"Out of memory allocating {host.nbytes:,} bytes (allocated so far: {used:,} bytes)."
        )
    return _aligned(host) if host.flags.owndata and host.flags.c_contiguous else host


def _aligned(host):
    """The array at an address as CuPy's pool gives them: NumPy's come at any multiple of 16. Nothing lies behind it, or
    the sanitizer would not see a kernel that reads one past the end."""
    place = ctypes.c_void_p()
    assert libc.posix_memalign(ctypes.byref(place), ALIGNMENT, host.nbytes or 1) == 0
    raw = (ctypes.c_char * host.nbytes).from_address(place.value)
    weakref.finalize(raw, libc.free, ctypes.c_void_p(place.value))
    array = np.frombuffer(raw, np.uint8).view(host.dtype).reshape(host.shape)
    np.copyto(array, host)
    return array


def _wrap(host):
    streams.allocated()
    return ndarray(_allocate(np.asarray(host)))


def _made(compute):
    """The array that `compute` gives; under capture, no more than its memory, until the graph is launched."""
    if not streams.captures:
        return _wrap(compute())
    with np.errstate(all="ignore"):  # nothing is computed yet: only shapes matter
        array, other = _wrap(compute()), compute()
    if not np.may_share_memory(array._host, other):  # else a view, which shows what is there
        array._host.fill(0)
        streams.launched(lambda: np.copyto(array._host, compute()))
    return array


class ndarray:
    """cupy.ndarray over host memory. Not a subclass of NumPy's, which NumPy would convert without asking."""

    __slots__ = ("_gpu", "_host")
    __hash__ = None

    def __init__(self, host):
        self._host, self._gpu = host, _stack[-1]

    def _view(self, host):
        other = ndarray(host)
        other._gpu = self._gpu
        return other

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        hosts = [_owned(x) for x in inputs]
        return _made(lambda: getattr(ufunc, method)(*hosts, **kwargs))

    def host_for_kernels(self):
        """The memory that a kernel is given: of the current GPU, or its address means nothing."""
        return _owned(self)

    @property
    def data(self):
        """The address, which libraries are given."""
        address = self._host.__array_interface__["data"][0]
        cuda.allocated[address] = self.nbytes
        return types.SimpleNamespace(ptr=address)

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    itemsize = property(lambda self: self._host.itemsize)
    device = property(lambda self: cuda.Device(self._gpu))
    T = property(lambda self: self._view(self._host.T))

    def __len__(self):
        return len(self._host)

    def reshape(self, *shape):
        return self._view(self._host.reshape(*shape))

    def transpose(self, *axes):
        return self._view(self._host.transpose(*axes))

    def view(self, dtype):
        return self._view(self._host.view(dtype))

    def astype(self, dtype, copy=True):
        host = _owned(self)
        return _made(lambda: host.astype(dtype, copy=copy))

    def copy(self):
        return _made(_owned(self).copy)

    def fill(self, value):
        self[...] = value

    def get(self, order="C"):
        streams.refuse("a copy to the host")
        transfers.append("d2h")
        return np.array(self._host, order=order)

    def item(self):
        return self.get().item()

    def __bool__(self):
        return bool(self.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __getitem__(self, key):
        key, basic = _key(key)
        if basic:
            return self._view(self._host[key])
        host = _owned(self)
        return _made(lambda: host[key])

    def __setitem__(self, key, value):
        host, place, given = _owned(self), _key(key, reading=isinstance(value, ndarray))[0], _owned(value)

        def write():
            host[place] = given

        streams.launched(write)


def _key(key, reading=True):
    """The key for NumPy, and whether it gives a view. Reading through a mask counts it first: the host waits."""
    parts = key if isinstance(key, tuple) else (key,)
    if builtins.any(isinstance(p, ndarray) for p in parts):
        if reading and builtins.any(isinstance(p, ndarray) and p.dtype == bool for p in parts):
            transfers.append("d2h")
        return tuple(_owned(p) if isinstance(p, ndarray) else p for p in parts), False
    if builtins.any(isinstance(p, (np.ndarray, list)) for p in parts):
        raise IndexError("arrays used as indices must be cupy arrays")
    return parts if builtins.any(p is Ellipsis for p in parts) else (*parts, Ellipsis), True


PRODUCTS = (np.matmul, np.tensordot)


def _refuse_product():
    if streams.captures:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def _operator(name):
    def method(self, *others):
        if name == "__matmul__" and "matmul" in failure:
            raise failure["matmul"]
        if name == "__matmul__":
            _refuse_product()
        host, hosts = _owned(self), [_owned(x) for x in others]
        return _made(lambda: getattr(host, name)(*hosts))

    setattr(ndarray, name, method)


BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
for _name in BINARY.split():
    _operator(f"__{_name}__")
    _operator(f"__r{_name}__")
OTHERS = "eq ne lt le gt ge neg abs invert pos"
for _name in OTHERS.split():
    _operator(f"__{_name}__")


# Functions ----------------------------------------------------------------------------------------------------


def _lifted(function):
    def call(*args, **kwargs):
        args = [type(x)(_owned(y) for y in x) if isinstance(x, (tuple, list)) and _arrays(x) else x for x in args]
        args = [x if isinstance(x, (tuple, list, type, np.dtype, str)) else _owned(x) for x in args]
        kwargs = {k: _owned(x) if isinstance(x, (ndarray, np.ndarray)) else x for k, x in kwargs.items()}
        if function in PRODUCTS:
            _refuse_product()
        return _made(lambda: function(*args, **kwargs))

    return call


def _arrays(x):
    return builtins.any(isinstance(y, (ndarray, np.ndarray)) for y in x)


FUNCTIONS = """
abs max min round sum mean prod any all argmax argmin sqrt exp expm1 log log1p log2 log10 sin cos tan tanh sinh cosh
arccos arccosh arcsin arcsinh arctan arctan2 arctanh sign square maximum minimum where clip take reshape broadcast_to
concatenate stack moveaxis transpose permute_dims matrix_transpose expand_dims squeeze flip roll tile repeat
zeros ones full empty arange eye linspace zeros_like ones_like full_like empty_like ascontiguousarray
left_shift right_shift invert power logical_and logical_or logical_not isnan isinf isfinite
ceil floor trunc var std cumsum cumprod tensordot matmul sort argsort unique nonzero count_nonzero searchsorted
swapaxes take_along_axis isin broadcast_arrays meshgrid equal not_equal less less_equal greater greater_equal
add subtract multiply divide negative
"""
for _name in FUNCTIONS.split():
    globals()[_name] = _lifted(getattr(np, _name))


def array(obj, dtype=None, copy=True, order="K"):
    if isinstance(obj, ndarray):
        host = _owned(obj)
        return _made(lambda: np.array(host, dtype=dtype, copy=copy, order=order))
    streams.refuse("a copy from the host")
    transfers.append("h2d")
    return _wrap(np.array(obj, dtype=dtype, order=order))


def asarray(obj, dtype=None, order="K"):
    if isinstance(obj, ndarray) and dtype in (None, obj.dtype):
        return obj
    return array(obj, dtype=dtype, order=order)


def asnumpy(obj, order="C"):
    return obj.get(order=order)


RawModule = cuda.RawModule
linalg = types.ModuleType("cupy.linalg")
linalg.lstsq = None
fft = types.ModuleType("cupy.fft")


def get_default_memory_pool():
    return types.SimpleNamespace(free_bytes=lambda: 4096)
