"""What the doctor says about the GPU."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

from xpnn.backends.cupy import causes
from xpnn.backends.cupy import doctor as gpu

NO_DRIVER, NO_GPU, ONE = causes.Driver(None), causes.Driver((12, 4), 0), causes.Driver((12, 4), 1)
WHEEL = {"cupy-cuda12x": "14.0"}


@pytest.fixture
def look(monkeypatch):
    """look(driver, wheels, answer): the rows for the driver and for CuPy, each with a fix unless it is fine."""
    monkeypatch.setattr(causes, "unmet", lambda name: "")
    monkeypatch.setattr(gpu, "_nvidia_hardware", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def look(driver, wheels, answer="not to be asked"):
        def ask(program):
            assert answer != "not to be asked"
            if isinstance(answer, Exception):
                raise answer
            return json.loads(json.dumps(answer))

        monkeypatch.setattr(causes, "driver", lambda: driver)
        monkeypatch.setattr(causes, "wheels", lambda: wheels)
        rows = gpu.findings(ask)
        for row in rows:
            assert (row.status == "ok") == (not row.fix)
            assert "\n" not in row.text + row.fix
        names = ["driver", "cupy", *["nvmath"] * bool(driver.gpus and wheels)]
        assert [row.name for row in rows] == names
        return rows[:2]

    return look


def test_no_gpu_at_all_is_fine(look):
    assert [row.status for row in look(NO_DRIVER, {})] == ["ok", "ok"]
    assert [row.status for row in look(NO_GPU, {})] == ["ok", "ok"]
    assert [row.status for row in look(NO_GPU, WHEEL)] == ["ok", "ok"]


def test_a_gpu_that_works(look):
    driver, cupy = look(causes.Driver((12, 4), 2), WHEEL, None)
    assert driver.text == "for CUDA up to 12.4; 2 GPUs"
    assert cupy.text == "cupy-cuda12x 14.0; a product on the GPU came out"


def test_no_driver(look, monkeypatch):
    driver, _ = look(NO_DRIVER, WHEEL)
    assert (driver.status, driver.text) == ("warn", "cupy-cuda12x is installed, but there is no NVIDIA driver")
    monkeypatch.setattr(gpu, "_nvidia_hardware", lambda: True)
    driver, _ = look(NO_DRIVER, {})
    assert (driver.status, driver.text) == ("warn", "an NVIDIA GPU is built in, but there is no NVIDIA driver")


def test_driver_that_does_not_answer(look):
    driver, _ = look(causes.Driver((12, 4), 0, "CUDA_ERROR_UNKNOWN"), {})
    assert driver.status == "fail"
    assert "CUDA_ERROR_UNKNOWN" in driver.text


def test_hidden_gpus(look, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    driver, _ = look(NO_GPU, {})
    assert (driver.status, driver.fix) == ("warn", "unset CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(("cuda", "extra"), [((12, 4), "cuda12"), ((13, 1), "cuda13")])
def test_cupy_missing(look, cuda, extra):
    _, cupy = look(causes.Driver(cuda, 1), {})
    assert (cupy.status, cupy.fix) == ("warn", f"pip install 'xpnn[{extra}]'")


def test_wrong_wheel(look):
    _, cupy = look(ONE, {"cupy-cuda13x": "14.0"})
    assert (cupy.status, cupy.fix) == ("fail", "pip uninstall -y cupy-cuda13x && pip install 'xpnn[cuda12]'")
    _, cupy = look(NO_DRIVER, {"cupy-cuda13x": "14.0", **WHEEL})
    assert cupy.status == "fail"
    assert "both installed" in cupy.text


def test_cupy_and_numpy(look, monkeypatch):
    monkeypatch.setattr(causes, "unmet", lambda name: "<2.6,>=2.0")
    _, cupy = look(ONE, WHEEL)
    assert (cupy.status, cupy.fix) == ("fail", "pip install 'numpy<2.6,>=2.0'")


def test_what_the_trial_found(look):
    _, cupy = look(ONE, WHEEL, causes.Cause("CUDA's libraries do not work (x)", "pip install y"))
    assert cupy == gpu.Row("cupy", "fail", "CUDA's libraries do not work (x)", "pip install y")
    _, cupy = look(ONE, WHEEL, TimeoutError())
    assert cupy.status == "warn"
    _, cupy = look(ONE, WHEEL, RuntimeError("it ended with code -11"))
    assert cupy.status == "fail"
    assert "ends the process (it ended with code -11)" in cupy.text


@pytest.mark.parametrize(
    ("version", "status", "text"),
    [
        ("1.0.0", "ok", "nvmath-python 1.0.0: large products by cuBLASLt"),
        ("", "warn", "nvmath-python is not installed: large products do without cuBLASLt"),
    ],
)
def test_the_library_of_products(monkeypatch, version, status, text):
    monkeypatch.setattr(causes, "nvmath", lambda: version)
    row = gpu._nvmath(ONE)
    assert (row.status, row.text, row.fix) == (status, text, "" if version else "pip install 'xpnn[cuda12]'")


def test_the_version_of_nvmath(monkeypatch):
    monkeypatch.setattr(metadata, "version", {"nvmath-python": "1.0.0"}.__getitem__)
    assert causes.nvmath() == "1.0.0"

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert causes.nvmath() == ""


@pytest.mark.parametrize(
    ("vendor", "kind", "there"),
    [("0x10de", "0x030200", True), ("0x10de", "0x040300", False), ("0x8086", "0x030000", False)],
)
def test_hardware(monkeypatch, tmp_path, vendor, kind, there):
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "vendor").write_text(vendor + "\n")
    (tmp_path / "0000:01:00.0" / "class").write_text(kind + "\n")
    monkeypatch.setattr(gpu, "PCI", tmp_path)
    assert gpu._nvidia_hardware() is there
    monkeypatch.setattr(gpu, "PCI", tmp_path / "none")
    assert gpu._nvidia_hardware() is False
