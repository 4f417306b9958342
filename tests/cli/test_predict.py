"""`xpnn predict`: digits on any background and size, and pictures that are none."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import xpnn as library
from xpnn import nn
from xpnn.data import digits, mnist
from xpnn.data.image import read_digit
from xpnn.errors import DataError

H, W = 300, 420


def scene(stroke, background, ink, side=120, top=60, left=200, noise=0.0):
    """A picture (H, W, 3) with the strokes (S, S) in 0..1 painted over a background."""
    large = Image.fromarray((255 * stroke).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    weight = np.zeros((H, W, 1))
    weight[top : top + side, left : left + side, 0] = np.asarray(large) / 255
    picture = np.broadcast_to(np.asarray(background, float), (H, W, 3)) * (1 - weight) + np.asarray(ink, float) * weight
    picture = picture + noise * np.random.default_rng(0).normal(size=picture.shape)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


SHADED = np.linspace(110, 230, W)[None, :, None] + np.linspace(-25, 25, H)[:, None, None]
SCENES = {
    "black on white": lambda s: scene(s, [255] * 3, [0] * 3),
    "white on black": lambda s: scene(s, [0] * 3, [255] * 3, side=250, top=20, left=90),
    "pale, small, in a corner": lambda s: scene(s, [200] * 3, [140] * 3, side=40, top=5, left=3),
    "red on green, equally bright": lambda s: scene(s, [0, 128, 0], [220, 50, 40], side=200, top=50),
    "shaded and noisy": lambda s: scene(s, SHADED, [40, 40, 90], side=180, top=80, noise=6),
    "a large photograph": lambda s: scene(s, SHADED, [250, 250, 255], side=150).resize((3 * W, 3 * H)),
}


@pytest.mark.parametrize("name", SCENES)
def test_digits_drawn_onto_pictures(xpnn, digits_model, name):
    """30 of the test digits, in one call; as many right as the network gets right of the digits themselves."""
    test = digits()[1][:30]
    model = library.load(digits_model)
    known = model(test.x.astype(np.float32) / 16).numpy().argmax(1) == test.y
    paths = [f"{i}.png" for i in range(30)]
    for path, x in zip(paths, test.x[:, :, :, 0], strict=True):
        SCENES[name](x / 16).save(path)
    text = xpnn("predict", digits_model, *paths)
    said = [int(n) for n in re.findall(r"\.png: (\d) \(", text)]
    assert np.sum(np.array(said) == test.y) >= known.sum() - 2 >= 24


@pytest.mark.parametrize("name", SCENES)
def test_mnist_comes_out_as_it_went_in(mnist_folder, tmp_path, name):
    """The preparation of MNIST, applied to a picture of its result, gives it again, up to a pixel's shift."""
    x = mnist(mnist_folder)[1].x[:20, :, :, 0]
    kept = []
    for image in x:
        SCENES[name](image / 255).save(tmp_path / "x.png")
        again = read_digit(tmp_path / "x.png")[:, :, 0]
        shifted = [np.roll(again, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        kept.append(max(np.corrcoef(image.ravel(), other.ravel())[0, 1] for other in shifted))
    assert np.mean(kept) > 0.93


def test_a_transparent_background_is_filled_so_that_the_digit_shows(tmp_path):
    stroke = digits()[1].x[0, :, :, 0]
    alpha = np.asarray(Image.fromarray(stroke * 15).resize((160, 160)))
    seen = []
    for colour in (0, 255):
        pixels = np.full((160, 160, 4), colour, np.uint8)
        pixels[..., 3] = alpha
        Image.fromarray(pixels).save(tmp_path / "x.png")
        seen.append(read_digit(tmp_path / "x.png", 8))
    assert (seen[0] == seen[1]).all()
    assert seen[0].max() == 16


def test_where_and_how_large_makes_no_difference(tmp_path):
    stroke = digits()[1].x[3, :, :, 0] / 16
    seen = []
    for side, top, left in ((100, 10, 10), (200, 90, 200), (200, 5, 5)):
        scene(stroke, [255] * 3, [0] * 3, side, top, left).save(tmp_path / "x.png")
        seen.append(read_digit(tmp_path / "x.png").astype(int))
    assert np.corrcoef(seen[1].ravel(), seen[2].ravel())[0, 1] > 0.999
    assert np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1] > 0.95


def test_the_result_is_centred_and_fills_its_box(tmp_path):
    picture = np.full((200, 300), 255, np.uint8)
    picture[40:160, 30:60] = 0  # a thick 1, far from the middle
    Image.fromarray(picture).save(tmp_path / "x.png")
    digit = read_digit(tmp_path / "x.png")
    assert digit.shape == (28, 28, 1)
    assert digit.dtype == np.uint8
    rows, columns, _ = np.nonzero(digit)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 5)
    assert 13 <= rows.mean() <= 15
    assert 13 <= columns.mean() <= 15
    assert read_digit(tmp_path / "x.png", 8).shape == (8, 8, 1)


def test_specks_are_left_out_and_thin_strokes_widened(tmp_path):
    thin = np.full((400, 400), 255, np.uint8)
    thin[100:300, 200:202] = 0
    Image.fromarray(thin).save(tmp_path / "thin.png")
    digit = read_digit(tmp_path / "thin.png")
    assert (digit.max(1) > 0).sum() == 20
    assert digit.max() == 255
    thin[20, 20] = thin[390, 30] = 0
    Image.fromarray(thin).save(tmp_path / "specks.png")
    assert np.abs(read_digit(tmp_path / "specks.png").astype(int) - digit).max() <= 2


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"])
def test_formats(xpnn, digits_model, ending):
    scene(digits()[1].x[2, :, :, 0] / 16, [255] * 3, [0] * 3).save(f"digit.{ending}")
    text = xpnn("predict", digits_model, f"digit.{ending}", "--show")
    assert text.startswith(f"digit.{ending}: {digits()[1].y[2]} (")
    assert len(text.splitlines()) == 1 + 8 + 10
    chances = [float(line.split()[1]) for line in text.splitlines()[-10:]]
    assert sum(chances) == pytest.approx(100, abs=0.5)


def test_sixteen_bits_and_palettes(tmp_path):
    stroke = np.kron(digits()[1].x[2, :, :, 0], np.ones((20, 20), np.uint8))
    Image.fromarray(stroke * 15).save(tmp_path / "8.png")
    Image.fromarray(stroke.astype(np.uint16) * 4000).save(tmp_path / "16.png")
    Image.fromarray(stroke * 15).convert("P").save(tmp_path / "p.png")
    want = read_digit(tmp_path / "8.png")
    for name in ("16.png", "p.png"):
        assert np.abs(read_digit(tmp_path / name).astype(int) - want).max() <= 3


def png_header(width, height):
    """A PNG that promises many pixels and has none."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def whole_png():
    file = io.BytesIO()
    scene(digits()[1].x[0, :, :, 0] / 16, SHADED, [0] * 3, noise=5).save(file, "png")
    return file.getvalue()


BAD = {
    "empty.png": (b"", "not a picture"),
    "text.png": (b"label,p0,p1\n", "not a picture"),
    "half.png": (whole_png()[:5000], "damaged picture"),
    "bomb.png": (png_header(60_000, 60_000), "50,000,000"),
    "large.png": (png_header(8000, 8000), "50,000,000"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture(fails, digits_model, tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    line = fails("predict", digits_model, tmp_path / name)
    assert line.startswith(f"{tmp_path / name}: ")
    assert message in line


def test_pictures_without_a_digit(fails, digits_model, tmp_path):
    for colour in (0, 128, 255):
        Image.new("L", (100, 80), colour).save("blank.png")
        assert fails("predict", digits_model, "blank.png") == "blank.png: no digit found; the picture is of one colour"
    Image.new("L", (1, 1)).save("blank.png")
    assert "no digit found" in fails("predict", digits_model, "blank.png")
    Image.new("RGBA", (20, 20)).save("blank.png")
    assert "no digit found" in fails("predict", digits_model, "blank.png")
    assert fails("predict", digits_model, "gone.png") == "gone.png: no such file"
    assert "expected a picture file" in fails("predict", digits_model, tmp_path)


def test_damaged_pictures_never_escape_as_other_errors(tmp_path):
    content = whole_png()
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(content)
        for at in rng.integers(0, 300, 3):
            damaged[at] ^= int(rng.integers(1, 256))
        (tmp_path / "x.png").write_bytes(damaged)
        with contextlib.suppress(DataError):
            assert read_digit(tmp_path / "x.png").shape == (28, 28, 1)


def test_networks_of_other_shapes_are_refused(fails):
    library.save(nn.Sequential(nn.Dense(5, 3)), "five")
    Image.new("L", (10, 10)).save("x.png")
    assert fails("predict", "five", "x.png").startswith("five: was trained on 5; expected a network of 28x28 or 8x8")
    with pytest.raises(DataError, match="16x16"):
        read_digit("x.png", 16)


def test_a_model_saved_alone_is_fed_from_0_to_1(xpnn, digits_model):
    scene(digits()[1].x[2, :, :, 0] / 16, [255] * 3, [0] * 3).save("x.png")
    library.save(library.load(digits_model), "alone")
    assert xpnn("predict", "alone", "x.png") == xpnn("predict", digits_model, "x.png")


@pytest.mark.parametrize("loss", ["mean_squared_error", "binary_cross_entropy"])
def test_chances_sum_to_one_whatever_the_loss(xpnn, loss):
    xpnn("train", "digits", "--loss", loss, "--epochs", "3", "--checkpoint", "m")
    scene(digits()[1].x[2, :, :, 0] / 16, [255] * 3, [0] * 3).save("x.png")
    lines = xpnn("predict", "m", "x.png").splitlines()[1:]
    assert sum(float(line.split()[1]) for line in lines) == pytest.approx(100, abs=0.5)
