"""The other commands, and what all have in common: help, versions, errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xpnn as library
from xpnn import data, models, nn
from xpnn.doctor import Finding

from .conftest import call

COMMANDS = ("train", "evaluate", "predict", "sample", "doctor", "backends", "check")
SCRIPT = "import sys; from xpnn.cli import main; sys.argv[0] = 'xpnn'; main()"


def process(*args, **settings):
    return subprocess.run([sys.executable, "-c", SCRIPT, *args], text=True, timeout=60, **settings)


# Common to all ------------------------------------------------------------------------------------------------------


def test_version(xpnn):
    assert xpnn("--version") == f"xpnn {library.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples(xpnn, command):
    text = xpnn(command, "--help")
    assert f"\n   xpnn {command}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_needs_no_heavy_library():
    code = (
        f"import sys; sys.argv = ['xpnn', '--help']\ntry:\n  {SCRIPT}\nfinally:\n  print(*sys.modules, file=sys.stderr)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(command in out.stdout for command in COMMANDS)
    assert not {"numba", "matplotlib", "PIL", "safetensors", "cupy"} & set(out.stderr.split())


@pytest.mark.parametrize(
    "args", [("trian",), ("train", "--epoch"), ("train", "digits", "--epochs", "0"), ("predict",), ("train", "a", "b")]
)
def test_usage_errors_end_with_2(args):
    result = call(*args)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("args", [("--debug", "train", "digist"), ("train", "digist", "--debug")])
def test_debug_shows_the_traceback(args):
    plain = process("train", "digist", capture_output=True)
    assert (plain.returncode, plain.stdout, len(plain.stderr.splitlines())) == (1, "", 1)
    out = process(*args, capture_output=True)
    assert out.returncode == 1
    assert out.stderr.startswith("Traceback")
    assert out.stderr.splitlines()[-1].startswith("xpnn.errors.ConfigError: ")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "a.csv"), "xpnn: a.csv: permission denied\n"),
        (OSError("two\nlines"), "xpnn: two lines\n"),
        (MemoryError(), "xpnn: out of memory\n"),
        (KeyError("x"), "xpnn: a bug, please report it (KeyError: 'x'); xpnn --debug ... shows where\n"),
    ],
)
def test_any_other_error_is_one_line_too(monkeypatch, error, line):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(data, "load", broken)
    result = call("train", "digits")
    assert (result.exit_code, result.stderr) == (1, line)


def test_ctrl_c_anywhere(monkeypatch):
    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", pressed)
    result = call("train", "digits")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_goes_to_a_full_disk():
    with open("/dev/full", "w") as full:
        out = process("backends", stdout=full, stderr=subprocess.PIPE)
    assert (out.returncode, out.stderr) == (1, "xpnn: no space left on device\n")


# evaluate -----------------------------------------------------------------------------------------------------------


def test_evaluate(xpnn, digits_model):
    text = xpnn("evaluate", digits_model)
    assert "digits: 360 test samples of 8x8" in text
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    by_class = [line for line in lines if len(line) == 8 and line[3] == "%"]
    matrix = np.array(
        [[int(n.replace(".", "0")) for n in line[1:]] for line in lines if len(line) == 11 and line[0].isdigit()]
    )
    assert matrix.shape == (10, 10)
    assert matrix.sum() == 360
    assert [int(line[1]) for line in by_class] == matrix.sum(1).tolist()
    recall = 100 * matrix.diagonal() / matrix.sum(1)
    np.testing.assert_allclose([float(line[4]) for line in by_class], recall, atol=0.051)
    assert f"accuracy  {100 * matrix.trace() / 360:.2f} %" in text
    assert xpnn("evaluate", digits_model, "digits", "--backend", "numpy") == text


def test_evaluate_on_other_data(xpnn, fails, digits_model, small, tmp_path):
    sums = np.random.default_rng(0).random((30, 5))
    np.savez(tmp_path / "five.npz", x=sums, y=np.arange(30) % 3)
    assert "200 test samples of 8x8" in xpnn("evaluate", digits_model, small["csv"])
    assert "samples of 5 numbers; " in fails("evaluate", digits_model, tmp_path / "five.npz")
    np.savez(tmp_path / "eleven.npz", x=np.ones((11, 64)), y=np.arange(11))
    assert "11 classes; " in fails("evaluate", digits_model, tmp_path / "eleven.npz")


def test_data_of_the_training_are_known_by_any_path(xpnn, small):
    """Only what was kept for testing may count: on the rest a network shows what it has by heart."""
    Path("set.csv").symlink_to(small["csv"])
    xpnn("train", "set.csv", "--epochs", "1", "--checkpoint", "m")
    for path in ("set.csv", "./set.csv", Path("set.csv").absolute(), small["csv"]):
        assert ": 40 test samples" in xpnn("evaluate", "m", path)
    Path("copy.csv").write_bytes(small["csv"].read_bytes())
    assert ": 200 test samples" in xpnn("evaluate", "m", "copy.csv")


def test_many_classes_show_the_worst_confusions(xpnn):
    rng = np.random.default_rng(0)
    np.savez("many.npz", x=rng.random((200, 6)), y=np.arange(200) % 40)
    xpnn("train", "many.npz", "--epochs", "1", "--checkpoint", "m")
    text = xpnn("evaluate", "m")
    assert "The most frequent confusions:" in text
    assert max(map(len, text.splitlines())) <= 80


def test_evaluate_a_model_saved_alone(xpnn, fails):
    model = nn.Sequential(nn.Flatten(), nn.Dense(64, 10))
    library.save(model, "alone")
    assert "does not say what it was trained on" in fails("evaluate", "alone")
    assert "360 test samples" in xpnn("evaluate", "alone", "digits")
    library.save(models.cnn((8, 8, 1), 10), "images")  # does not tell the shape of a sample
    assert "360 test samples" in xpnn("evaluate", "images", "digits")
    assert "a shape that it does not tell" in fails("predict", "images", "x.png")


def test_evaluate_what_is_no_model(fails, digits_model):
    Path("text").write_text("hello")
    assert "not a checkpoint of xpnn, or damaged" in fails("evaluate", "text")
    assert "there is none" in fails("evaluate", "gone")
    whole = Path(digits_model).read_bytes()
    Path("flipped").write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    assert "checksum" in fails("evaluate", "flipped")


# doctor, backends, check --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor(monkeypatch, status, code):
    fix = "" if status == "ok" else "pip install " + "x" * 90
    monkeypatch.setattr(
        "xpnn.doctor.diagnose", lambda: [Finding("numpy", "ok", "2.4"), Finding("[x]", status, "[t]", fix)]
    )
    result = call("doctor")
    assert result.exit_code == code
    assert "[x]" in result.stdout
    assert "[t]" in result.stdout
    assert fix in result.stdout.splitlines()[-1]  # in one piece, to be copied


def test_doctor_on_this_machine():
    result = call("doctor")
    assert result.exit_code in (0, 1)
    assert "numba" in result.stdout


def test_backends(xpnn):
    text = xpnn("backends")
    assert "numpy     can be used\nnumba     can be used\n" in text
    words = [line.split() for line in text.splitlines()]
    assert ["dense", "forward", "reference", "override"] in [line[:4] for line in words]


def test_check(xpnn):
    text = xpnn("check", "--op", "dense", "--op", "step", "--backend", "numba")
    words = [line.split() for line in text.splitlines()]
    assert [line[:2] for line in words if line[:1] in (["dense"], ["step"])] == [
        *(["dense", "backward"], ["dense", "forward"], ["step", "forward"])
    ]
    assert text.endswith("checks passed\n")


def test_check_finds_a_wrong_kernel(monkeypatch):
    from xpnn.core.backend import get
    from xpnn.core.op import REGISTRY

    numpy = get("numpy")
    right = type(numpy).forward

    def wrong(self, op, inputs, attrs, out=()):
        outs, saved = right(self, op, inputs, attrs, out)
        if op is REGISTRY["exp"]:
            outs[0][...] += 1
        return outs, saved

    monkeypatch.setattr(type(numpy), "forward", wrong)
    result = call("check", "--op", "exp", "--backend", "numpy")
    assert result.exit_code == 1
    assert "FAIL  exp" in result.stdout
    assert "checks failed" in result.stdout


def test_check_of_what_there_is_not(fails):
    assert "Did you mean 'dense'?" in fails("check", "--op", "dens")
    assert "backend 'fortran' is unknown" in fails("check", "--backend", "fortran")


def test_colours_only_where_wanted(digits_model):
    quiet = process("evaluate", str(digits_model), capture_output=True, env={**os.environ, "NO_COLOR": "1"})
    assert quiet.returncode == 0
    assert "\x1b" not in quiet.stdout
