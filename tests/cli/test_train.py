"""`xpnn train`: what it prints, saves and goes on with."""

from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpnn import optim
from xpnn.core import tape
from xpnn.data import digits, write_idx
from xpnn.train.progress import Progress

from .conftest import call

BRIEF = ("train", "digits", "--hidden", "20", "--epochs", "2")


def accuracy(text):
    return float(re.search(r"accuracy +([\d.]+) %", text)[1])


def test_digits_are_learnt_and_everything_is_saved(xpnn, tmp_path):
    text = xpnn("train", "digits", "--checkpoint", "m.safetensors", "--plot", "curve.png", "--log", "log.csv")
    assert accuracy(text) > 90
    assert [line.split()[0] for line in text.splitlines()] == [
        *("data", "model", "training", "backend", "test", "saved", "next")
    ]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert sorted(os.listdir()) == ["curve.png", "log.csv", "m.safetensors"]
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert len(Path("log.csv").read_text().splitlines()) == 21


def test_the_precision_is_that_of_the_training_and_of_nothing_else(xpnn, monkeypatch):
    seen, current = set(), tape.current_precision
    monkeypatch.setattr(tape, "current_precision", lambda: seen.add(current()) or current())
    xpnn(*BRIEF, "--backend", "numpy", "--precision", "bf16")
    assert seen == {"bf16"}
    assert current() == "fast"


def test_without_mnist_a_line_says_so_and_the_digits_are_taken():
    result = call("train", "--epochs", "1", "--quiet")
    assert result.exit_code == 0
    line, *rest = result.stderr.splitlines()
    assert line.startswith("xpnn: mnist: not found in ")
    assert line.endswith("Training on the embedded 8x8 digits instead")
    assert not rest
    assert result.stdout.startswith("test ")
    assert len(result.stdout.splitlines()) == 1


def test_damaged_mnist_is_an_error_and_not_passed_over(fails, monkeypatch, tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").write_bytes(b"no IDX file")
    monkeypatch.setenv("XPNN_DATA", str(tmp_path))
    assert "train-images-idx3-ubyte" in fails("train")


def test_mnist_reaches_its_accuracy(xpnn, monkeypatch, mnist_folder):
    monkeypatch.setenv("XPNN_DATA", str(mnist_folder))
    text = xpnn("train")
    assert "60,000 training, 10,000 test samples of 28x28" in text
    assert accuracy(text) >= 97.8


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_a_source_without_test_set_is_split(xpnn, small, kind):
    text = xpnn("train", small[kind], "--epochs", "5", "--validation", "0.1", "--checkpoint", "m")
    assert "144 training, 16 validation, 40 test samples of " in text
    assert accuracy(text) > 60
    assert accuracy(xpnn("evaluate", "m")) == accuracy(text)


def test_a_folder_of_idx_files(xpnn, tmp_path):
    for data, part in zip(digits(), ("train", "t10k"), strict=True):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", data.x[:100, :, :, 0])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", data.y[:100].astype(np.uint8))
    assert "100 training, 100 test samples of 8x8" in xpnn("train", tmp_path, "--epochs", "1")


@pytest.mark.parametrize(
    "loss", ["binary_cross_entropy", "perceptron", "mean_squared_error", "half_sum_of_squares", "l1", "huber"]
)
def test_every_loss_learns_and_is_evaluated_as_trained(xpnn, small, loss):
    method = ("--optimizer", "adam", "--lr", "0.01", "--dropout", "0")
    text = xpnn("train", small["csv"], "--loss", loss, "--epochs", "20", *method, "--checkpoint", "m")
    assert accuracy(text) > 70
    again = xpnn("evaluate", "m")
    assert accuracy(again) == accuracy(text)
    assert f"({loss})" in again


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_every_optimizer_learns_with_the_rate_chosen_for_it(xpnn, name):
    assert accuracy(xpnn("train", "digits", "--optimizer", name, "--epochs", "8")) > 85


def test_layers_are_given_one_by_one_or_as_a_list(xpnn):
    assert "mlp 64-20-10-10, tanh, dropout 0.1, " in xpnn(
        *BRIEF, "--hidden", "10", "--activation", "tanh", "--dropout", ".1"
    )
    assert "mlp 64-30-20-10, relu" in xpnn("train", "digits", "--hidden", "30,20", "--epochs", "1")
    assert "mlp 64-10, 650 parameters" in xpnn("train", "digits", "--hidden", "0", "--epochs", "1")


@pytest.mark.parametrize(("steps", "presses"), [(50, 1), (90, 1), (50, 2), (20, 1)])
def test_an_interrupted_run_goes_on_to_the_same_weights(xpnn, monkeypatch, steps, presses):
    """Ctrl-C lets an update end and saves; a second one breaks off at once, and the last epoch's end is kept."""
    xpnn(*BRIEF, "--epochs", "3", "--checkpoint", "whole")
    advance, seen = Progress.advance, []

    def interrupted(self, samples):
        advance(self, samples)
        seen.append(1)
        if len(seen) == steps:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", interrupted)
        result = call(*BRIEF, "--epochs", "3", "--checkpoint", "part")
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    line = result.stderr.splitlines()[-1]
    assert line.endswith("xpnn train digits --hidden 20 --epochs 2 --epochs 3 --checkpoint part --resume part")
    assert sorted(os.listdir()) == ["part", "whole"]
    xpnn(*line.partition("xpnn train ")[2].join(["train ", ""]).split())
    whole, part = load_file("whole"), load_file("part")
    assert whole.keys() == part.keys()
    assert all((whole[name] == part[name]).all() for name in whole)


def test_ctrl_c_without_a_checkpoint(monkeypatch):
    monkeypatch.setattr(optim.Adam, "step", lambda self, **_: signal.raise_signal(signal.SIGINT))
    result = call(*BRIEF, "--quiet")
    assert result.exit_code == 130
    assert "nothing is saved. With --checkpoint FILE" in result.stderr
    assert not os.listdir()


@pytest.mark.parametrize("model", ["cnn", "lenet5"])
def test_networks_for_images(xpnn, tmp_path, model):
    """On images of three quarters of MNIST's size; evaluated and asked as they were trained."""
    for data, part, n in zip(digits(), ("train", "t10k"), (200, 50), strict=True):
        images = np.kron(data.x[:n, :, :, 0], np.ones((2, 2), np.uint8)) * 15
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", data.y[:n].astype(np.uint8))
    options = ("--model", model, "--epochs", "4", "--lr", "0.002", "--checkpoint", "m")
    text = xpnn("train", tmp_path, *options)
    assert f"model     {NAMES[model]}" in text
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("data"))
    assert accuracy(text) > 50
    assert accuracy(xpnn("evaluate", "m")) == accuracy(text)


NAMES = {
    "cnn": "cnn conv32-conv64-pool-128-10, relu, dropout 0.5, 315,146 parameters",
    "lenet5": "lenet5 conv6-pool-conv16-pool-120-84-10, relu, 21,386 parameters",
}


def test_a_name_with_epochs_keeps_them_all(xpnn):
    text = xpnn(*BRIEF, "--checkpoint", "e{epoch}.safetensors")
    assert "model in e2.safetensors" in text
    assert sorted(os.listdir()) == ["e1.safetensors", "e2.safetensors"]


UNKNOWN = [
    (("digist",), "Did you mean 'digits'?"),
    (("digits", "--precision", "half"), "precision 'half' is unknown; expected one of fast, exact, tf32, bf16, fp16"),
    (("digits", "--optimizer", "adamm"), "optimizer 'adamm' is unknown; expected one of sgd, "),
    (("digits", "--activation", "rellu"), "Did you mean 'relu'?"),
    (("digits", "--loss", "hubber"), "Did you mean 'huber'?"),
    (("digits", "--model", "mpl"), "Did you mean 'mlp'?"),
    (("digits", "--model", "lenet5"), "digits: lenet5: expected images of at least 12x12; got 8x8. A smaller network"),
    (("digits", "--model", "lenet5", "--hidden", "9"), "--hidden: lenet5 has none"),
    (("digits", "--backend", "fortran"), "backend 'fortran' is unknown; expected one of numpy, "),
    (("digits", "--hidden", "3x"), "--hidden: expected sizes above 0"),
    (("digits", "--hidden", "300,0"), "--hidden: expected sizes above 0"),
    (("digits", "--lr", "nan"), "expected lr > 0"),
    (("digits", "--dropout", "1"), "--dropout: expected a share"),
    (("digits", "--validation", "1.5"), "split: "),
    (("digits", "--seed", str(2**64)), "seed: "),
    (("digits", "--checkpoint-steps", "5"), "expected --checkpoint"),
    (("digits", "--plot", "curve.docx"), "picture type 'docx' is unknown; expected one of png, "),
    (("digits", "--plot", "no/curve.png"), "--plot no/curve.png: the folder no does not exist"),
    (("digits", "--log", "."), "--log .: is a folder"),
    (("digits", "--resume", "gone"), "--resume gone: no such file"),
    (("gone.csv",), "gone.csv: "),
]


@pytest.mark.parametrize(("options", "message"), UNKNOWN)
def test_bad_options_are_one_line(fails, options, message):
    assert message in fails("train", *options)
    assert not os.listdir()


def test_places_that_cannot_be_written_are_seen_before_training(fails):
    open("file", "w").close()
    for option in ("--checkpoint", "--plot", "--log"):
        assert fails(*BRIEF, option, "file/x.png") == f"{option} file/x.png: file is not a folder"


@pytest.mark.parametrize("option", ["--checkpoint", "--plot", "--log"])
def test_a_full_disk_leaves_nothing_half(xpnn, fails, monkeypatch, option):
    xpnn(*BRIEF)  # what is compiled for the first time says so

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert fails(*BRIEF, option, "out.png") == "out.png: cannot be written: no space left on device"
    assert not os.listdir()


def test_a_regression_set_is_refused(fails, tmp_path):
    np.savez(tmp_path / "r.npz", x=np.arange(27.0).reshape(9, 3), y=np.linspace(0, 1, 9)[:, None])
    assert "xpnn train learns classes" in fails("train", tmp_path / "r.npz")
    np.savez(tmp_path / "c.npz", x=np.full((9, 3), 7.0), y=np.arange(9) % 2)
    assert "every value is the same" in fails("train", tmp_path / "c.npz")


def test_labels_that_are_none_and_too_few_samples_are_refused(fails):
    Path("last.csv").write_text("100000000,1,0\n70,2,1\n" * 9)
    line = fails("train", "last.csv")
    assert "last.csv: labels up to 100,000,000, and 14 samples to learn them from. Are they labels? In a CSV" in line
    Path("same.csv").write_text("0,1,2\n0,2,1\n" * 9)
    assert "same.csv: every label is 0; expected two classes at least" in fails("train", "same.csv")
    Path("one.csv").write_text("1,2,3\n")
    assert "split: one.csv has too few samples: 0.2 of 1 leave one side empty" in fails("train", "one.csv")
