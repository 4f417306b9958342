"""`xpnn train TEXT.txt`, `xpnn sample`, and what the other commands say to a model of a text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import xpnn as library
from xpnn import models

from .conftest import call

LINES = ["the cat sat on the mat.\n", "the dog ate the cat's hat.\n", "a rat sat on the dog.\n"]
BRIEF = ("train", "story.txt", "--hidden", "48", "--sequence", "20", "--batch-size", "8", "--lr", "0.01")


def story(lines=600):
    order = np.random.default_rng(0).integers(0, 3, lines)
    return "".join(LINES[i] for i in order)


@pytest.fixture
def text():
    Path("story.txt").write_text(story())


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A model that has learnt the story by heart."""
    folder = tmp_path_factory.mktemp("text")
    path = folder / "story.txt"
    path.write_text(story())
    result = call("train", path, *BRIEF[2:], "--epochs", "8", "--checkpoint", folder / "m", "--quiet")
    assert result.exit_code == 0, result.output
    return folder / "m"


def test_training_on_a_text(xpnn, text):
    out = xpnn(*BRIEF, "--epochs", "2", "--layers", "2", "--checkpoint", "m", "--log", "log.csv")
    words = dict(line.split(maxsplit=1) for line in out.splitlines())
    total = len(story())
    assert words["data"] == f"story.txt: {total - round(total / 10):,} training, {round(total / 10):,} test " + (
        "characters, 16 different"
    )
    assert words["model"].startswith("char-lstm 16-64-lstm48-16, 2 layers, ")
    assert words["training"] == "adam, lr 0.01 cosine, batch 8x20, epochs 2, cross_entropy, seed 0"
    assert re.fullmatch(r"loss [\d.]+ nats a character, perplexity [\d.]+ \(trained in [\d.]+ s\)", words["test"])
    assert words["next"] == "xpnn sample m"
    assert all(len(line) <= 80 for line in out.splitlines())
    assert len(Path("log.csv").read_text().splitlines()) == 3


def test_what_was_learnt_is_written(xpnn, writer):
    written = xpnn("sample", writer, "--length", "400", "--temperature", "0.5")
    assert len(written) == 401
    whole = written.splitlines(keepends=True)[:-1]
    assert len(whole) >= 10
    assert sum(line in LINES for line in whole) >= 0.8 * len(whole)


def test_sampling_is_decided_by_the_seed_and_goes_on_from_the_prompt(xpnn, writer):
    runs = [xpnn("sample", writer, "--prompt", "the dog", "--seed", seed, "--length", "60") for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert all(run.startswith("the dog") and len(run) == 7 + 60 + 1 for run in runs)
    safe = xpnn("sample", writer, "--prompt", "a rat sat", "--temperature", "0", "--length", "13")
    assert safe == "a rat sat on the dog.\n\n"
    assert xpnn("sample", writer, "--prompt", "a", "--length", "30", "--backend", "numpy") == (
        xpnn("sample", writer, "--prompt", "a", "--length", "30")
    )


def test_evaluate(xpnn, fails, writer, text):
    out = xpnn("evaluate", writer)
    assert float(re.search(r"loss +([\d.]+) nats", out)[1]) < 0.3
    assert float(re.search(r"accuracy +([\d.]+) %", out)[1]) > 85
    trained = xpnn(*BRIEF, "--epochs", "1", "--checkpoint", "m")
    loss = re.search(r"loss ([\d.]+ nats a character, perplexity [\d.]+)", trained)[1]
    assert loss in xpnn("evaluate", "m")
    assert loss in xpnn("evaluate", "m", "./story.txt")  # the same file: not what it was trained on
    for part, args in ((round(len(story()) / 10), ()), (len(story()), ("story.txt",))):
        used = re.search(rf"story\.txt: ([\d,]+) of {part:,} characters", xpnn("evaluate", writer, *args))[1]
        windows = part // 200  # of at least ten times 20 characters
        assert part - 1 - windows < int(used.replace(",", "")) <= part - 1
    assert "gone.txt: cannot be read" in fails("evaluate", writer, "gone.txt")


def test_an_interrupted_run_goes_on(xpnn, text):
    xpnn(*BRIEF, "--epochs", "2", "--checkpoint", "m", "--checkpoint-steps", "7")
    out = xpnn(*BRIEF, "--epochs", "2", "--resume", "m")
    assert "resuming  m, after 2 epochs and " in out


def test_settings_suit_a_short_text(xpnn):
    Path("short.txt").write_text(story(60))
    out = xpnn("train", "short.txt", "--epochs", "1", "--quiet")
    assert out.startswith("test      loss ")
    out = xpnn("train", "short.txt", "--validation", "0.2", "--epochs", "1")
    assert " validation, " in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("mnist", "--model", "char-lstm"), "char-lstm: expected a text to learn from; give its file"),
        (("--model", "char-lstm"), "char-lstm: expected a text to learn from"),
        (("story.txt", "--model", "mlp"), "mlp: expected labelled samples; story.txt is a text. Use --model char-lstm"),
        (("story.txt", "--model", "lstm"), "Did you mean 'char-lstm'?"),
        (("story.txt", "--activation", "relu"), "--activation: char-lstm has none"),
        (("story.txt", "--loss", "l1"), "--loss: char-lstm has none"),
        (("story.txt", "--hidden", "30,20"), "--hidden: expected one size"),
        (("story.txt", "--hidden", "0"), "--hidden: expected one size"),
        (("story.txt", "--dropout", "1"), "--dropout: expected a share"),
        (("story.txt", "--validation", "1.5"), "text: expected a share between 0 and 1"),
        (("story.txt", "--batch-size", "900"), "900 streams of 100 need 90001. Take fewer streams or shorter ones"),
        (("gone.txt",), "gone.txt: cannot be read: no such file"),
        (("digits", "--sequence", "9"), "--sequence: mlp has none"),
        (("digits", "--layers", "2"), "--layers: mlp has none"),
    ],
)
def test_what_does_not_go_together(fails, text, args, message):
    assert message in fails("train", *args)


def test_a_file_that_is_no_text(fails):
    Path("a.txt").write_bytes(bytes(range(256)) * 100)
    assert "a.txt: expected UTF-8 text; byte 128 does not fit" in fails("train", "a.txt")


def test_models_of_another_kind(fails, writer, digits_model):
    assert "was trained on a text; xpnn sample writes with it" in fails("predict", writer, "x.png")
    assert "was not trained on a text" in fails("sample", digits_model)
    library.save(models.char_lstm(5), "alone")
    assert "was not trained on a text" in fails("sample", "alone")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--prompt", "the zebra?"), "--prompt: the vocabulary has no 'z', 'b', '?'"),
        (("--temperature", "-1"), "expected a temperature of 0 or more"),
        (("--seed", str(2**64)), "seed: "),
    ],
)
def test_bad_options_of_sample(fails, writer, args, message):
    line = fails("sample", writer, *args)
    assert message in line.replace("'b', 'z'", "'z', 'b'")


def test_a_vocabulary_that_is_not_the_models(fails):
    model = models.char_lstm(5, hidden=4)
    for characters in ("abcd", "abcdef", "abced", "aabcd"):
        model.input_format = {"characters": characters, "shape": [10]}
        library.save(model, "m")
        assert "its description of the input is damaged" in fails("sample", "m")
