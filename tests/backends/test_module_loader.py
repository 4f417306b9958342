"""The loader of CUDA sources: what it compiles, what it keeps, and the arguments it lets through."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from xpnn.backends.cupy import causes, module, signature
from xpnn.errors import BackendError, DTypeError, ShapeError

SOURCES = Path(__file__).with_name("cuda")
X = "scale<float>"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path, cupy):
    """The test's sources, in a place where they can be edited; launches are noted only."""
    there = shutil.copytree(SOURCES, tmp_path / "cuda")
    monkeypatch.setattr(module, "folder", lambda: there)
    monkeypatch.setattr(cupy.cuda.RawModule, "runs", False)
    monkeypatch.setattr(causes, "driver", lambda: causes.Driver((12, 4), 1))
    module._source.cache_clear()
    yield there
    module._source.cache_clear()


# Compiling ----------------------------------------------------------------------------------------------------


def test_what_is_compiled(cupy, folder):
    kernel = module.load("scale", "scale<double, 128>", options=("-DMORE",), device=1)
    (made,) = cupy.RawModule.made
    assert kernel.name == "scale<double, 128>"
    assert re.fullmatch(re.escape((folder / "scale.cu").read_text()) + "// [0-9a-f]{16}\n", made.code)
    assert made.names == ("scale<double, 128>",)
    assert made.options == ("-std=c++17", f"-I{folder}", "-DMORE")
    assert (made.gpu, made.cooperative) == (1, False)


def test_compiled_once_for_each_gpu_and_setting(cupy, folder):
    first = module.load("scale", X)
    assert module.load("scale", X) is first
    others = [
        module.load("scale", X, device=1),
        module.load("scale", X, options=("-DMORE",)),
        module.load("scale", X, cooperative=True),
        module.load("scale", "mark"),
    ]
    assert len(cupy.RawModule.made) == 1 + len(others)
    assert cupy.RawModule.made[3].cooperative


def test_an_edit_compiles_anew(cupy, folder):
    """Of a header too, which CuPy's own cache on disk would miss; the options stay, as each set costs a start."""
    seen = []
    for name in ("scale.cu", "scale.cu", "shared.cuh"):
        module.load("scale", X)
        seen.append(cupy.RawModule.made[-1].code)
        (folder / name).write_text((folder / name).read_text() + "// edited\n")
        module._source.cache_clear()
    module.load("scale", X)
    seen.append(cupy.RawModule.made[-1].code)
    assert len(set(seen)) == len(cupy.RawModule.made) == 4
    assert len({made.options for made in cupy.RawModule.made}) == 1


def test_sources_of_the_package(monkeypatch):
    monkeypatch.undo()
    assert module.folder().parts[-2:] in (("kernels", "cuda"), ("xpnn_kernels", "cuda"))


def test_missing_source(cupy):
    with pytest.raises(BackendError, match=r"CUDA source lstm\.cu is missing .*\(there: odd, scale\); pip install"):
        module.load("lstm", "forward<float>")


def test_missing_compiler(cupy):
    cupy.failure["nvrtc"] = ImportError("libnvrtc.so.12: cannot open\nmore")
    with pytest.raises(BackendError) as caught:
        module.load("scale", X)
    assert str(caught.value) == (
        "scale.cu: NVRTC, CUDA's compiler, is missing (libnvrtc.so.12: cannot open); "
        "pip install --force-reinstall 'xpnn[cuda12]'"
    )


def test_first_error_of_the_compiler(cupy):
    log = (
        "a.cu(3): warning #177-D: unused\n\na.cu(9): error: identifier z is undefined\na.cu(12): error: more\n2 errors"
    )
    cupy.failure["compile"] = cupy.cuda.compiler.CompileException(log)
    with pytest.raises(BackendError) as caught:
        module.load("scale", X)
    assert str(caught.value) == "scale.cu does not compile: a.cu(9): error: identifier z is undefined"
    del cupy.failure["compile"]
    assert module.load("scale", X)  # a failure is not kept


def test_unknown_kernel_and_type(cupy):
    with pytest.raises(BackendError, match="kernel 'scales' is not in the source; it has scale, mark"):
        module.load("scale", "scales<float>")
    with pytest.raises(BackendError, match="kernel pairs: parameter p has a type that is not known: Pair"):
        module.load("odd", "pairs")
    with pytest.raises(BackendError, match="kernel mixed: parameter m has a type that is not known: Mixed"):
        module.load("odd", "mixed")
    assert cupy.RawModule.made == []


def test_a_source_gives_the_kernels_of_the_current_gpu(cupy):
    """Compiled when first asked for, each by itself."""
    source = module.Source("scale", {"scale": (module.REAL, (64, 128)), "mark": ()})
    with cupy.cuda.Device(1):
        kernel = source.kernel("scale", np.dtype("float32"), 128)
        assert source.kernel("scale", np.dtype("float32"), 128) is kernel
        assert source.kernel("scale", "float", 128) is kernel
    (made,) = cupy.RawModule.made
    assert (made.gpu, made.names) == (1, ("scale<float, 128>",))
    assert source.kernel("scale", np.dtype("float32"), 128) is not kernel
    assert cupy.RawModule.made[1].gpu == 0
    with pytest.raises(BackendError, match=r"scale\.cu: scale<float, 32> is not among the instantiations"):
        source.kernel("scale", np.dtype("float32"), 32)


def test_a_call_can_be_made_again(cupy):
    x, y = cupy.ones(4, np.float32), cupy.empty(4, np.float32)
    call = module.load("scale", X).call((1,), (256,), (x, y, 0.5, 4))
    (made,) = cupy.RawModule.made
    assert made.launches == []
    call()
    call()
    assert len(made.launches) == 2
    assert made.launches[0] == made.launches[1]


# Arguments ----------------------------------------------------------------------------------------------------


def test_signatures():
    text = (SOURCES / "scale.cu").read_text()
    rows = [(p.name, p.dtype.str[1:], p.pointer) for p in signature.parameters(text, "scale<double, 64>")]
    assert rows == [("x", "f8", True), ("y", "f8", True), ("a", "f8", False), ("n", "i8", False)]
    formats = "template <typename F> __global__ void product(const Stored<F>* x, Stored<F> p) {}"
    for form, dtype in (("Bf16", "f4"), ("double", "f8")):
        kinds = [(p.dtype.str[1:], p.pointer) for p in signature.parameters(formats, f"product<{form}>")]
        assert kinds == [(dtype, True), (dtype, False)]
    rows = [(p.name, p.dtype.str[1:], p.pointer) for p in signature.parameters(text, "mark")]
    expected = [("flags", "u1", True), ("count", "u4", False), ("on", "b1", False)]
    assert rows == [*expected, ("weight", "f8", False), ("shift", "i4", False)]


def test_arguments_arrive_in_the_types_of_the_kernel(cupy):
    scale, mark = module.load("scale", X), module.load("scale", "mark")
    x, y = cupy.ones(4, np.float32), cupy.empty(4, np.float32)
    scale((1,), (256,), (x, y, 0.5, 4), shared_bytes=16)
    mark((1,), (32,), (None, np.int64(3), True, np.float32(2), 1))
    (name, grid, block, args, shared), (_, _, _, marks, _) = [m for made in cupy.RawModule.made for m in made.launches]
    assert (name, grid, block, shared) == (X, (1,), (256,), 16)
    assert args[0] is x
    assert args[1] is y
    assert [type(a) for a in args[2:]] == [np.float32, np.int64]
    assert [type(a) for a in marks] == [np.uintp, np.uint32, np.bool_, np.float64, np.int32]
    assert [a.item() for a in marks] == [0, 3, True, 2.0, 1]


def arguments(cupy):
    return [cupy.ones(4, np.float32), cupy.empty(4, np.float32), 0.5, 4]


@pytest.mark.parametrize(
    ("position", "make", "error", "words"),
    [
        (0, lambda cupy: np.ones(4, "f4"), DTypeError, "x as a device array of float32; got ndarray float32"),
        (0, lambda cupy: cupy.ones(4, np.float64), DTypeError, "x as a device array of float32; got ndarray float64"),
        (0, lambda cupy: 1.0, DTypeError, "x as a device array of float32; got float"),
        (1, lambda cupy: cupy.ones((4, 2), np.float32)[:, 0], ShapeError, r"y contiguous; got strides \(8,\)"),
        (2, lambda cupy: cupy.ones((), np.float32), DTypeError, "a as a number that fits float32; got ndarray"),
        (2, lambda cupy: 1j, DTypeError, "a as a number that fits float32; got complex"),
        (2, lambda cupy: None, DTypeError, "a as a number that fits float32; got NoneType"),
        (3, lambda cupy: 4.0, DTypeError, "n as a number that fits int64; got float 4.0"),
        (3, lambda cupy: 1 << 63, DTypeError, "n as a number that fits int64; got int"),
    ],
)
def test_arguments_that_are_refused(cupy, position, make, error, words):
    kernel = module.load("scale", X)
    given = arguments(cupy)
    given[position] = make(cupy)
    with pytest.raises(error, match=f"kernel scale<float>: expected {words}"):
        kernel((1,), (256,), given)
    assert cupy.RawModule.made[0].launches == []


def test_more_than_48_KB_of_shared_memory_is_asked_for(cupy):
    x, usual = cupy.ones(4, np.float32), 48 << 10
    kernel = module.load("scale", X)
    for wanted, asked in ((usual, usual), (usual + 1, usual + 1), (usual + 9, usual + 9), (usual + 2, usual + 9)):
        kernel.call((1,), (32,), (x, x, 0.5, 4), wanted)
        assert kernel.raw.max_dynamic_shared_size_bytes == asked


def test_a_struct_goes_by_value(cupy):
    kernel = module.load("odd", "slide")
    kernel((1,), (32,), (None, ((3, 4), 5, 6), 7))
    (_, _, _, args, _) = cupy.RawModule.made[0].launches[0]
    assert isinstance(args[1], np.ndarray)  # of one element: CuPy passes that by value
    assert args[1].shape == ()
    assert args[1].tobytes() == np.array([3, 4, 5, 0, 6, 0], "i4").tobytes()  # as C++ aligns it
    for given in ((3, 4, 5, 6), ((3, 4), 5), ((3, 4, 4), 5, 6), None):
        with pytest.raises(ShapeError, match=r"kernel slide: expected w(\.n)? as a tuple of [23]"):
            kernel((1,), (32,), (None, given, 7))
    with pytest.raises(DTypeError, match=r"kernel slide: expected w\.n as a number that fits int32; got float 4\.0"):
        kernel((1,), (32,), (None, ((3, 4.0), 5, 6), 7))


def test_count_of_arguments(cupy):
    kernel = module.load("scale", X)
    with pytest.raises(ShapeError, match=r"expected 4 arguments \(x, y, a, n\); got 3"):
        kernel((1,), (256,), arguments(cupy)[:3])
