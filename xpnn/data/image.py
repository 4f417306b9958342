"""A digit in any picture, prepared as the training images were: found, cut out, scaled, centred.

28x28, as MNIST: "normalized to fit in a 20x20 pixel box while preserving their aspect ratio ... centered in a 28x28
image by computing the center of mass of the pixels". Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten
digits", yann.lecun.com/exdb/mnist.

8x8, as the embedded digits: slant removed, made 32 high, and the 4x4 blocks summed to 0..16. E. Alpaydin, C. Kaynak,
UCI Machine Learning Repository, doi:10.24432/C50P49, with the normalisation of M. Garris et al., NISTIR 5469 (1994).
"""

from __future__ import annotations

import os
import warnings
from math import ceil
from typing import Any

import numpy as np

from xpnn.errors import DataError

MOST_PIXELS = 50_000_000  # a picture of a few kilobytes can unpack to gigabytes
WORKING_SIDE = 1600  # larger pictures are scaled down to it first
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # not those that Pillow gives to other programs
FINE = 160  # pixels across the digit's box while it is worked on
LEAST_CONTRAST = 0.04  # of the way from black to white
STROKE = 0.09  # of the box: thinner strokes than in the training data are widened to this


def read_digit(path: str | os.PathLike[str], size: int = 28) -> np.ndarray:
    """The digit in a picture file as (size, size, 1) uint8, bright on 0: up to 255 for 28, up to 16 for 8.

    Dark on bright or bright on dark, in any colours, on a background that may be shaded or transparent; the largest
    thing that differs from the border is taken. Raises DataError in one line for what is no picture, damaged, larger
    than 50 million pixels, or of one colour, and for other sizes.
    """
    if size not in (8, 28):
        raise DataError(f"{path}: pictures can be prepared for networks of 28x28 or 8x8 pixels; got {size}x{size}")
    found = locate(ink(read_picture(path)))
    if found is None:
        raise DataError(f"{path}: no digit found; the picture is of one colour")
    return (_as_mnist(found) if size == 28 else _as_digits(found))[..., None]


# Reading ------------------------------------------------------------------------------------------------------------


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """The picture (H, W, 3) float32 in 0..1, upright, at most 1600 pixels a side, on a background where it shows."""
    from PIL import Image, ImageOps

    path = os.fspath(path)
    if not os.path.isfile(path):
        why = "expected a picture file; this is none" if os.path.exists(path) else "no such file"
        raise DataError(f"{path}: {why}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is above ours; odd metadata is nobody's concern
            with Image.open(path, formats=FORMATS) as file:
                if file.width * file.height > MOST_PIXELS:
                    raise DataError(f"{path}: {file.width}x{file.height} pixels; expected at most {MOST_PIXELS:,}")
                file.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # a JPEG is read small at once
                image: Image.Image = file
                if image.mode.startswith(("I", "F")):  # 16 bits and more, which Pillow would cut off, not scale
                    image = Image.fromarray(_as_bytes(np.asarray(image, np.float64)))
                image = ImageOps.exif_transpose(image)
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
                image.thumbnail((WORKING_SIDE, WORKING_SIDE))
                pixels = np.asarray(image, np.float32) / 255
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{path}: more than {MOST_PIXELS:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{path}: not a picture; expected one of {', '.join(FORMATS)}") from None
    except MemoryError:
        raise DataError(f"{path}: needs more than the free memory") from None
    except Exception as error:  # decoders meet damaged bytes with SyntaxError, struct.error, ValueError, OSError, ...
        raise DataError(f"{path}: damaged picture: {ascii(str(error))[1:-1]:.200}") from None
    return _flatten(pixels) if pixels.shape[2] == 4 else pixels


def _as_bytes(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return ((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)


def _flatten(pixels: np.ndarray) -> np.ndarray:
    """Transparent pixels filled with white, or black where what can be seen is bright."""
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    weight = float(alpha.sum())
    bright = weight > 0 and float((colour * alpha).sum()) / (3 * weight) > 0.5
    return colour * alpha + (0.0 if bright else 1.0) * (1 - alpha)


# Finding ------------------------------------------------------------------------------------------------------------


def ink(pixels: np.ndarray) -> np.ndarray:
    """How far (H, W) each pixel (H, W, 3) is from the background's colour towards the digit's: 0..1, all 0 for none.

    The border says what the background is, a plane for each channel; so either of the two may be the brighter one.
    """
    difference = pixels - _background(pixels)
    distance = np.sqrt((difference**2).sum(2))
    edge = distance[_border(*distance.shape)]
    count = min(max(4, distance.size // 2000), distance.size)
    strongest = np.argpartition(distance, -count, axis=None)[-count:]
    colour = difference.reshape(-1, 3)[strongest].mean(0)
    full = float(np.linalg.norm(colour))
    noise = min(3 * float(np.median(edge)), full / 2)
    if full < LEAST_CONTRAST * 3**0.5:
        return np.zeros_like(distance)
    along = difference @ (colour / full)
    return np.clip((along - noise) / (full - noise), 0, 1)


def _border(H: int, W: int) -> np.ndarray:
    """Which pixels (H, W) are at the border."""
    d = max(1, min(H, W) // 40)
    edge = np.ones((H, W), bool)
    edge[d : H - d, d : W - d] = False
    return edge


def _background(pixels: np.ndarray) -> np.ndarray:
    """The plane through the border's pixels, those left out that are far from it: strokes may run off the picture."""
    H, W, _ = pixels.shape
    edge = _border(H, W)
    rows, columns = np.nonzero(edge)
    values = pixels[edge].astype(np.float64)
    terms = np.stack([np.ones(len(rows)), rows / H - 0.5, columns / W - 0.5], axis=1)
    plane = np.vstack([np.median(values, axis=0), np.zeros((2, 3))])
    for _ in range(4):
        off = np.abs(values - terms @ plane).max(1)
        near = off <= max(3 * float(np.median(off)), 0.02)
        if near.sum() < len(near) // 2:
            break
        plane = np.linalg.lstsq(terms[near], values[near], rcond=None)[0]
    down, right = np.arange(H)[:, None, None] / H - 0.5, np.arange(W)[None, :, None] / W - 0.5
    return (plane[0] + down * plane[1] + right * plane[2]).astype(np.float32)


def locate(strength: np.ndarray) -> np.ndarray | None:
    """The part (h, w) with the digit, specks beside it gone; None when there is nothing."""
    H, W = strength.shape
    step = max(1, ceil(max(H, W) / FINE))
    coarse = np.pad(strength, ((0, -H % step), (0, -W % step)))
    coarse = coarse.reshape(coarse.shape[0] // step, step, -1, step).max((1, 3))
    pieces = _pieces(coarse > 0.4)
    area = np.bincount(pieces.ravel())
    area[0] = 0
    if not area.any():
        return None
    kept = np.isin(pieces, np.flatnonzero(area >= max(1, 0.06 * area.max())))
    for axis in (0, 1):  # with the faint edge around it
        kept = kept | np.roll(kept, 1, axis) | np.roll(kept, -1, axis)
    fine = strength * np.repeat(np.repeat(kept, step, 0), step, 1)[:H, :W]
    rows, columns = np.flatnonzero((fine > 0.15).any(1)), np.flatnonzero((fine > 0.15).any(0))
    return fine[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _pieces(mask: np.ndarray) -> np.ndarray:
    """A number for each connected piece, 0 outside: the largest index in a piece spreads through it."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        spread = np.pad(labels, 1)
        spread = np.maximum(np.maximum(spread[:-2], spread[1:-1]), spread[2:])
        spread = np.where(mask, np.maximum(np.maximum(spread[:, :-2], spread[:, 1:-1]), spread[:, 2:]), 0)
        if np.array_equal(spread, labels):
            return np.searchsorted(np.unique(np.append(labels, 0)), labels)
        labels = spread


# Preparing ----------------------------------------------------------------------------------------------------------


def _resize(a: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(a, np.float32))
    return np.clip(np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)), 0, 1)


def _widened(a: np.ndarray) -> np.ndarray:
    """Strokes as thick as the training data has them: a thin pen would leave a grey breath after scaling."""
    from PIL import Image, ImageFilter

    mask = np.pad(a > 0.5, 1)
    edges = sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (0, 1))
    stroke = 2 * np.count_nonzero(mask) / max(edges, 1)
    missing = round((STROKE * FINE - stroke) / 2)
    if missing < 1:
        return a
    grown = np.pad(a, missing)
    image = Image.fromarray(_as_bytes(grown)).filter(ImageFilter.MaxFilter(2 * missing + 1))
    return np.asarray(image, np.float32) / 255


def _fitted(a: np.ndarray) -> np.ndarray:
    """The digit with its longer side at FINE, strokes widened where too thin; scaled again as that makes it larger."""
    return _scaled(_widened(_scaled(a)))


def _scaled(a: np.ndarray) -> np.ndarray:
    h, w = (max(1, round(FINE * side / max(a.shape))) for side in a.shape)
    return _resize(a, h, w)


def _as_mnist(found: np.ndarray) -> np.ndarray:
    """(28, 28) uint8: the longer side 20, the centre of mass at pixel 14."""
    small = _blocks(_fitted(found), FINE // 20)
    small = small / small.max()
    out = np.zeros((28, 28), np.float32)
    top, left = (min(max(round(14 - _centre(small, axis)), 0), 28 - small.shape[axis]) for axis in (0, 1))
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.rint(255 * out).astype(np.uint8)


def _as_digits(found: np.ndarray) -> np.ndarray:
    """(8, 8) uint8: upright, 32 high and at most 22 wide, black or white, then the white of 4x4 blocks counted."""
    a = _upright(_fitted(found))
    h, w = a.shape
    width = min(22, max(1, round(1.3 * 32 * w / h)))
    a = _resize(a, 32, width)
    out = np.zeros((32, 32), np.float32)
    left = min(max(round(15.4 - _centre(a, 1)), 0), 32 - width)
    out[:, left : left + width] = a
    return np.rint(16 * _blocks((out > 0.5).astype(np.float32), 4)).astype(np.uint8)


def _upright(a: np.ndarray) -> np.ndarray:
    """The rows shifted so that their centres of mass no longer lean, cut to what there is."""
    h, w = a.shape
    rows, columns = np.arange(h) - _centre(a, 0), np.arange(w) - _centre(a, 1)
    lean = float(rows @ a @ columns) / float((rows**2) @ a.sum(1))
    shifts = np.rint(lean * rows).astype(int)
    out = np.zeros((h, w + int(np.ptp(shifts))), np.float32)
    for row, shift in enumerate(shifts.max() - shifts):
        out[row, shift : shift + w] = a[row]
    filled = np.flatnonzero((out > 0.15).any(0))
    return out[:, filled[0] : filled[-1] + 1]


def _blocks(a: np.ndarray, side: int) -> np.ndarray:
    """The means of blocks of side x side pixels."""
    a = np.pad(a, ((0, -a.shape[0] % side), (0, -a.shape[1] % side)))
    return a.reshape(a.shape[0] // side, side, -1, side).mean((1, 3))


def _centre(a: np.ndarray, axis: int) -> float:
    """The centre of mass along an axis, in pixels."""
    along: Any = a.sum(1 - axis)
    return float(along @ np.arange(len(along)) / along.sum())
