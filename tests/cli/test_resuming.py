"""`xpnn train --resume`: it goes on, or says by which option it is another run."""

from __future__ import annotations

from pathlib import Path

BRIEF = ("train", "digits", "--hidden", "20", "--epochs", "2")


def test_a_finished_run_resumes_to_its_result(xpnn):
    first = xpnn(*BRIEF, "--checkpoint", "m", "--quiet")
    again = xpnn(*BRIEF, "--resume", "m")
    assert again.partition("accuracy")[2].split()[0] == first.partition("accuracy")[2].split()[0]
    assert "resuming  m, after 2 epochs and 90 updates\n" in again


def test_resuming_another_run_says_which_option_differs(xpnn, fails):
    xpnn(*BRIEF, "--checkpoint", "m", "--schedule", "cosine")
    before = Path("m").read_bytes()
    for option, value, what in (
        ("--epochs", "3", "m: was started with --epochs 2; here it is 3"),
        ("--batch-size", "16", "m: was started with --batch-size 32; here it is 16"),
        ("--lr", "0.1", "m: was started with --lr 0.003; here it is 0.1"),
        ("--schedule", "constant", "m: was started with --schedule cosine; here it is constant"),
        ("--seed", "1", "m: was started with --seed 0; here it is 1"),
        ("--optimizer", "sgd", "m: was started with --optimizer adam; here it is sgd"),
        ("--loss", "perceptron", "m: was started with --loss cross_entropy; here it is perceptron"),
        ("--precision", "tf32", "m: was started with --precision fast; here it is tf32"),
        ("--jitter", "1", "m: was started with --jitter 0; here it is 1"),
        ("--hidden", "21", "layers.3.out_features there is 10; here it is 21. It depends on the data, --model, --hid"),
        ("--model", "cnn", "model.layers.0.type there is Flatten; here it is Conv2d. It depends on the data, --model"),
        ("--validation", "0.1", "samples there is 1437; here it is 1293. It depends on the data, --validation"),
        ("--log", "log.csv", "It depends on --log"),
    ):
        line = fails(*BRIEF, "--schedule", "cosine", "--resume", "m", option, value)
        assert what in line
        assert line.endswith(". Give the options that the run was started with")
    assert Path("m").read_bytes() == before
