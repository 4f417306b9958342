"""Every reason for which CuPy cannot be used has a message of its own, with the line that fixes it."""

from __future__ import annotations

import ctypes
import sys

import pytest

from xpnn.backends import cupy as binding
from xpnn.backends.cupy import causes
from xpnn.core import backend as backends
from xpnn.errors import BackendError

NONE = causes.Driver(None)
TWELVE, THIRTEEN = causes.Driver((12, 4), 1), causes.Driver((13, 0), 1)


@pytest.fixture
def machine(monkeypatch):
    """machine(driver, wheels): what the causes are told of this machine."""

    def set_up(driver=TWELVE, wheels=None):
        monkeypatch.setattr(causes, "driver", lambda: driver)
        monkeypatch.setattr(causes, "wheels", lambda: wheels or {"cupy-cuda12x": "14.0.0"})
        monkeypatch.setattr(causes, "unmet", lambda name: "")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    set_up()
    return set_up


def failing_import(monkeypatch, error):
    """`import cupy` raises this."""
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    real = binding.importlib.import_module

    def fake(name, *rest):
        if name == "cupy":
            raise error
        return real(name, *rest)

    monkeypatch.setattr(binding.importlib, "import_module", fake)


def refused(name="cuda:0"):
    with pytest.raises(BackendError) as caught:
        backends.get(name)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("backend 'cuda:")
    return text


# import cupy fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "fix"),
    [
        (NONE, "pip install 'xpnn[cuda12]' (or xpnn[cuda13], for a driver of CUDA 13)"),
        (TWELVE, "pip install 'xpnn[cuda12]'"),
        (THIRTEEN, "pip install 'xpnn[cuda13]'"),
        (causes.Driver((11, 8), 1), "update the NVIDIA driver (it runs CUDA 11.8; 12 or newer is needed)"),
    ],
)
def test_missing(monkeypatch, machine, driver, fix):
    machine(driver)
    failing_import(monkeypatch, ModuleNotFoundError("No module named 'cupy'", name="cupy"))
    both = " and no NVIDIA driver found" if driver is NONE else ""
    assert refused() == f"backend 'cuda:0': CuPy is not installed{both}; {fix}"


def test_library_that_cannot_be_loaded(monkeypatch, machine):
    frame = "=" * 20
    error = ImportError(
        f"\n{frame}\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: libcudart.so.12: gone\n{frame}"
    )
    failing_import(monkeypatch, error)
    text = refused()
    assert "CuPy cannot be imported (ImportError: libcudart.so.12: gone)" in text
    assert text.endswith("; pip install --force-reinstall 'xpnn[cuda12]'")


def test_broken_dependency_of_cupy_is_not_missing_cupy(monkeypatch, machine):
    failing_import(monkeypatch, ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"))
    assert "CuPy cannot be imported (No module named 'fastrlock')" in refused()


def test_numpy_that_cupy_does_not_support(monkeypatch, machine):
    failing_import(monkeypatch, AttributeError("no attribute 'in1d'"))
    monkeypatch.setattr(causes, "unmet", lambda name: "<2.6,>=2.0")
    text = refused()
    assert "cupy-cuda12x 14.0.0 does not work with NumPy" in text
    assert text.endswith("pip install 'numpy<2.6,>=2.0'")


def test_extension_built_for_another_numpy(monkeypatch, machine):
    failing_import(monkeypatch, ValueError("numpy.dtype size changed, may indicate binary incompatibility"))
    assert refused().endswith("binary incompatibility); pip install -U cupy-cuda12x")


def test_two_wheels(monkeypatch, machine):
    machine(THIRTEEN, {"cupy-cuda13x": "14.0.0", "cupy-cuda12x": "14.0.0"})
    failing_import(monkeypatch, ImportError("undefined symbol"))
    text = refused()
    assert "cupy-cuda13x and cupy-cuda12x are both installed" in text
    assert text.endswith("; pip uninstall -y cupy-cuda13x cupy-cuda12x && pip install 'xpnn[cuda13]'")


# CuPy is there, the GPU is not ------------------------------------------------------------------------------------


def test_no_driver(cupy, machine):
    machine(NONE)
    cupy.failure["getDeviceCount"] = cupy.cuda.runtime.CUDARuntimeError(35, "cudaErrorInsufficientDriver: ...")
    assert refused() == (
        "backend 'cuda:0': no NVIDIA driver is installed; install it (nvidia.com/drivers), or use 'cpu'"
    )
    assert backends.get("auto").name == "numba"


def test_wheel_newer_than_the_driver(cupy, machine):
    machine(TWELVE, {"cupy-cuda13x": "14.0.0"})
    cupy.failure["getDeviceCount"] = cupy.cuda.runtime.CUDARuntimeError(35, "cudaErrorInsufficientDriver: ...")
    text = refused()
    assert "cupy-cuda13x needs CUDA 13; the driver runs up to 12.4" in text
    assert text.endswith("pip uninstall -y cupy-cuda13x && pip install 'xpnn[cuda12]'")


def test_driver_too_old_for_a_built_cupy(cupy, machine):
    machine(TWELVE, {"cupy": "14.0.0"})
    cupy.failure["getDeviceCount"] = cupy.cuda.runtime.CUDARuntimeError(35, "cudaErrorInsufficientDriver: ...")
    assert "the NVIDIA driver (CUDA 12.4) is too old for this CuPy" in refused()


def test_no_gpu(cupy, machine, monkeypatch):
    machine(causes.Driver((12, 4), 0))
    cupy.cuda.gpus = 0
    assert "the driver sees no GPU; use 'cpu'" in refused()
    cupy.failure["getDeviceCount"] = cupy.cuda.runtime.CUDARuntimeError(100, "cudaErrorNoDevice")
    assert "the driver sees no GPU; use 'cpu'" in refused()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES='' hides every GPU; unset CUDA_VISIBLE_DEVICES" in refused()


def test_driver_that_does_not_answer(cupy, machine):
    machine(causes.Driver((12, 4), 0, "CUDA_ERROR_UNKNOWN"))
    cupy.failure["getDeviceCount"] = cupy.cuda.runtime.CUDARuntimeError(999, "cudaErrorUnknown")
    assert "the NVIDIA driver does not answer (CUDA_ERROR_UNKNOWN); reboot" in refused()
    machine(TWELVE)
    assert "CUDA does not answer (cudaErrorUnknown); xpnn doctor" in refused()


def test_index_out_of_range(cupy, machine):
    assert "there is no such GPU; this machine has cuda:0 to cuda:1" in refused("cuda:2")
    cupy.cuda.gpus = 1
    assert "this machine has cuda:0; use 'cuda:0'" in refused("cuda:1")


def test_libraries_that_fail_at_first_use(cupy, machine):
    cupy.failure["matmul"] = ImportError("libcublas.so.12: cannot open shared object file")
    text = refused()
    assert "CUDA's libraries do not work (libcublas.so.12: cannot open shared object file)" in text
    assert text.endswith("pip install --force-reinstall 'xpnn[cuda12]'")
    machine(TWELVE, {"cupy-cuda13x": "14.0.0"})
    assert "cupy-cuda13x needs CUDA 13" in refused()


# The driver's own answers -----------------------------------------------------------------------------------------


class Libcuda:
    """The four functions that are called, with a machine's answers."""

    def __init__(self, version=12040, init=0, gpus=2):
        self.version, self.init, self.gpus = version, init, gpus

    def cuDriverGetVersion(self, where):
        where._obj.value = self.version
        return 0

    def cuInit(self, flags):
        return self.init

    def cuDeviceGetCount(self, where):
        where._obj.value = self.gpus
        return 0

    def cuGetErrorName(self, code, where):
        where._obj.value = {999: b"CUDA_ERROR_UNKNOWN"}.get(code)
        return 0


@pytest.mark.parametrize(
    ("library", "driver"),
    [
        (None, causes.Driver(None)),
        (Libcuda(), causes.Driver((12, 4), 2)),
        (Libcuda(version=13010, gpus=1), causes.Driver((13, 1), 1)),
        (Libcuda(init=100), causes.Driver((12, 4), 0)),
        (Libcuda(init=999), causes.Driver((12, 4), 0, "CUDA_ERROR_UNKNOWN")),
        (Libcuda(init=1234), causes.Driver((12, 4), 0, "CUDA error 1234")),
    ],
)
def test_driver(monkeypatch, library, driver):
    monkeypatch.setattr(causes, "libcuda", lambda: library)
    assert causes.driver() == driver


def test_no_library_is_no_error(monkeypatch):
    def gone(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", gone)
    assert causes.libcuda() is None


def test_wheels_and_what_they_require(monkeypatch):
    versions = {"cupy-cuda12x": "14.0.0", "numpy": "2.9.0"}

    def version(name):
        if name not in versions:
            raise causes.metadata.PackageNotFoundError(name)
        return versions[name]

    wanted = ["numpy<2.6,>=2.0", "scipy>=1.14; extra == 'all'", "numpy<1; extra == 'old'"]
    monkeypatch.setattr(causes.metadata, "version", version)
    monkeypatch.setattr(causes.metadata, "requires", lambda name: wanted)
    assert causes.wheels() == {"cupy-cuda12x": "14.0.0"}
    assert causes.unmet("cupy-cuda12x") == "<2.6,>=2.0"
    versions["numpy"] = "2.5.0rc1"
    assert causes.unmet("cupy-cuda12x") == ""


def test_older_wheels_run_on_a_newer_driver():
    assert causes.wrong_wheel({"cupy-cuda12x": "14.0.0"}, THIRTEEN) is None
    assert causes.wrong_wheel({"cupy": "14.0.0"}, TWELVE) is None
    assert causes.wrong_wheel({"cupy-cuda12x": "14.0.0"}, NONE) is None
