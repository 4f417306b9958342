"""The doctor: every finding is provoked, nothing makes it raise, and it is quick."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from xpnn import doctor
from xpnn.backends.cupy import causes
from xpnn.backends.cupy import doctor as gpu
from xpnn.doctor import Finding

FAST, SLOW = {"us": 100.0, "threads": 2}, {"us": 900.0, "threads": 2}


def answering(**answers):
    """An `ask` that answers by what the program imports; an exception is raised."""

    def ask(program, env=None):
        name = "cupy" if "backends import cupy" in program else "numba" if "import json, numba" in program else "blas"
        answer = answers[f"{name}_one" if env else name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


GOOD = answering(numba={"version": "0.65", "cache": "/somewhere"}, blas=FAST, blas_one=FAST, cupy=None)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A healthy machine with one GPU; machine(driver, wheels, versions) makes it another one."""

    def set_up(driver=None, wheels=None, **versions):
        installed = {"xpnn": "0.1", "numba": "0.65", "numpy": "2.4", "scipy": "", **versions}
        monkeypatch.setattr(causes, "driver", lambda: driver or causes.Driver((12, 4), 1))
        monkeypatch.setattr(causes, "wheels", lambda: {"cupy-cuda12x": "14.0"} if wheels is None else wheels)
        monkeypatch.setattr(doctor, "_installed", lambda name: installed[name])

    set_up()
    monkeypatch.setattr(causes, "unmet", lambda name: "")
    monkeypatch.setattr(causes, "nvmath", lambda: "1.0.0")
    monkeypatch.setattr(doctor, "usable_cpus", lambda: 4)
    monkeypatch.setattr(gpu, "_nvidia_hardware", lambda: False)
    for name in (*doctor.THREAD_SETTINGS, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return set_up


def one(check, name, ask=GOOD):
    """The one finding of this name; one that is not fine has a fix of one line."""
    (found,) = [f for f in check(ask) if f.name == name]
    assert (found.status == "ok") == (not found.fix)
    assert "\n" not in found.text + found.fix
    return found


# The whole ----------------------------------------------------------------------------------------------------


def test_this_very_machine(monkeypatch):
    monkeypatch.undo()
    start = time.monotonic()
    found = doctor.diagnose()
    assert time.monotonic() - start < doctor.BUDGET_S + 2
    assert {f.name for f in found} >= {"python", "numpy", "threads", "data cache", "driver", "cupy"}
    assert all(isinstance(f, Finding) and f.text and (f.status == "ok" or f.fix) for f in found)


def test_a_healthy_machine(monkeypatch):
    monkeypatch.setattr(doctor, "Asker", lambda seconds: GOOD)
    assert {f.status for f in doctor.diagnose()} == {"ok"}


def test_nothing_makes_it_raise(monkeypatch):
    def broken(ask):
        yield Finding("first", "ok", "fine")
        raise MemoryError("no more")

    monkeypatch.setattr(doctor, "CHECKS", (broken, broken))
    monkeypatch.setattr(doctor, "Asker", lambda seconds: GOOD)
    found = doctor.diagnose()
    assert [f.status for f in found] == ["ok", "warn", "ok", "warn"]
    assert found[1].text == "could not be looked at (MemoryError: no more)"


def test_cupy_and_numba_stay_out_of_this_process():
    code = "import sys; from xpnn import doctor; doctor.diagnose(); print(*{'cupy', 'numba'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_asking():
    ask = doctor.Asker(20)
    assert ask("print('noise'); print('[1, 2]')") == [1, 2]
    assert ask("import os; print(os.environ['HELLO'])", {"HELLO": "3"}) == 3
    with pytest.raises(RuntimeError, match="ValueError: why"):
        ask("raise ValueError('why')")
    with pytest.raises(RuntimeError, match="ended with code -9"):
        ask("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    hurried = doctor.Asker(0.3)
    with pytest.raises(TimeoutError):
        hurried("import time; time.sleep(30)")


# Python, NumPy, Numba ---------------------------------------------------------------------------------------------


def test_python(monkeypatch):
    assert one(doctor._python, "python").status == "ok"
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.2")
    found = one(doctor._python, "python")
    assert found.status == "fail"
    assert found.text.startswith("3.9.2; xpnn needs >=3.11")


@pytest.mark.parametrize(
    ("unmet", "text", "fix"),
    [
        ({"xpnn": ">=2.1"}, "xpnn needs >=2.1", "pip install 'numpy>=2.1'"),
        ({"numba": "<2.5"}, "numba needs <2.5", "pip install 'numpy<2.5'"),
        ({"xpnn": ">=2.1", "numba": "<2.5"}, "xpnn needs >=2.1 and numba needs <2.5", "pip install 'numpy>=2.1,<2.5'"),
    ],
)
def test_numpy_too_old_or_too_new(monkeypatch, unmet, text, fix):
    monkeypatch.setattr(causes, "unmet", lambda name: unmet.get(name, ""))
    found = one(doctor._numpy, "numpy")
    assert (found.status, found.fix) == ("fail", fix)
    assert found.text.endswith(f"is not supported: {text}")


def test_numba_missing(machine):
    machine(numba="")
    found = one(doctor._numba, "numba")
    assert (found.status, found.fix) == ("fail", "pip install numba")


def test_numba_broken():
    found = one(doctor._numba, "numba", answering(numba=RuntimeError("ImportError: libllvmlite.so")))
    assert found.status == "fail"
    assert "cannot be imported (ImportError: libllvmlite.so)" in found.text
    assert one(doctor._numba, "numba", answering(numba=TimeoutError())).status == "warn"


def test_numba_cache_that_cannot_be_written():
    found = one(doctor._numba, "numba cache", answering(numba={"version": "0.65", "cache": None}))
    assert found.status == "fail"
    assert found.fix.startswith("export NUMBA_CACHE_DIR=")


def test_numba_itself_says_where_it_caches(tmp_path):
    ask = doctor.Asker(20)
    answer = ask(doctor.NUMBA_PROGRAM, {"NUMBA_CACHE_DIR": str(tmp_path)})
    assert answer["cache"].startswith(str(tmp_path))
    nowhere = "from numba.core import caching\ncaching.CacheImpl._locator_classes = []\n" + doctor.NUMBA_PROGRAM
    assert ask(nowhere)["cache"] is None


def test_scipy_is_worth_a_note(machine):
    machine(scipy="1.16")
    found = one(doctor._numba, "scipy")
    assert found.status == "ok"
    assert found.text.startswith("1.16 is installed")


# Threads ------------------------------------------------------------------------------------------------------


def test_threads(monkeypatch):
    assert one(doctor._threads, "threads").text.startswith(
        "4 CPUs may be used; x (64, 784) @ w (784, 300) takes 100 us"
    )
    late = one(doctor._threads, "threads", answering(blas=TimeoutError()))
    assert (late.status, late.text) == ("ok", "4 CPUs may be used; there was no time left to measure")


def test_blas_that_is_slower_with_its_threads(monkeypatch):
    ask = answering(blas=SLOW, blas_one=FAST)
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.5, 0, 0), raising=False)
    found = one(doctor._threads, "threads", ask)
    assert found.status == "warn"
    assert found.text.endswith("takes 900 us, 100 with one thread")
    assert found.fix == "export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (4.0, 0, 0), raising=False)
    assert "other programs keep the CPUs busy" in one(doctor._threads, "threads", ask).text
    assert one(doctor._threads, "threads", answering(blas={**FAST, "us": 149.0}, blas_one=FAST)).status == "ok"


@pytest.mark.parametrize("name", doctor.THREAD_SETTINGS)
def test_settings_beyond_the_cpus(monkeypatch, name):
    monkeypatch.setenv(name, "4")
    assert one(doctor._threads, "threads").status == "ok"
    monkeypatch.setenv(name, "64")
    found = one(doctor._threads, "threads")
    assert (found.status, found.text) == ("warn", f"{name}=64, but 4 CPUs may be used")
    assert found.fix == f"export {name}=4"


def test_more_blas_threads_than_cpus():
    found = one(doctor._threads, "threads", answering(blas={"us": 100.0, "threads": 64}, blas_one=FAST))
    assert (found.status, found.text) == ("warn", "BLAS starts 64 threads where 4 CPUs may be used")


# The cache of data ------------------------------------------------------------------------------------------------


def test_data_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XPNN_CACHE", str(tmp_path / "not" / "yet"))
    assert one(doctor._data, "data cache").text == str(tmp_path / "not" / "yet" / "mnist")
    assert not (tmp_path / "not").exists()
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert one(doctor._data, "data cache").status == "warn"


def test_data_cache_that_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XPNN_CACHE", str(tmp_path / "file"))
    found = one(doctor._data, "data cache")
    assert (found.status, found.fix) == ("warn", "export XPNN_CACHE=a folder that can be written")
