from __future__ import annotations

import numpy as np
import pytest

from xpnn.data import Dataset, from_arrays
from xpnn.errors import ConfigError, DataError


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return Dataset(rng.integers(0, 256, (50, 4, 4, 1), np.uint8), np.arange(50) % 5, scale=1 / 255, name="set")


def batch(data: Dataset) -> np.ndarray:
    return (data.x * data.scale + data.shift).astype(np.float32)


def test_what_it_says_about_itself(data):
    assert len(data) == 50
    assert data.classes == 5
    assert repr(data) == ("Dataset(set: x uint8 (50, 4, 4, 1), y int64 (50,), classes=5, scale=0.00392157)")
    assert data.flat().x.shape == (50, 16)
    with pytest.raises(AttributeError):
        data.x = None


X, Y = np.ones((3, 2), np.float32), np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("x", "y", "settings", "message"),
    [
        (X, Y[:2], {}, "3 samples in x but 2 in y"),
        (X[:0], Y[:0], {}, "no samples"),
        (X[:, :0], Y, {}, "no samples"),
        (X[:, 0], Y, {}, r"expected x \(N, \.\.\.\)"),
        (X.tolist(), Y, {}, "must be NumPy arrays"),
        (X.astype(np.int32), Y, {}, "expected x as uint8, int64 ids, float32 or float64; got int32"),
        (X.astype(int), Y, {"scale": 0.5}, "ids have no scale and shift; got 0.5 and 0"),
        (X, np.ones((3, 2), int) * [0, -1], {}, r"label -1 in row 0; expected 0\.\.0"),
        (X, Y, {"streams": 2}, "3 samples do not make 2 streams"),
        (X, Y, {"streams": -1}, "3 samples do not make -1 streams"),
        (X.astype(">f4"), Y, {}, "got >f4"),
        (np.array([[1, 2], [3, np.nan], [np.inf, 0]], np.float32), Y, {}, "NaN or infinity in x, first in row 1"),
        (np.array([[1, 2], [3, 4], [-np.inf, 0]]), Y, {}, "NaN or infinity in x, first in row 2"),
        (X, np.array([[1.0], [np.nan], [0.0]]), {}, "NaN or infinity in y, first in row 1"),
        (X, Y, {"classes": 2}, r"label 2 in row 2; expected 0\.\.1 for 2 classes"),
        (X, np.array([0, -1, -2]), {}, r"label -1 in row 1; expected 0\.\.0"),
        (X, np.array([0, -1, 3]), {"classes": 3}, r"label -1 in row 1; expected 0\.\.2"),
        (X, Y.astype(float), {}, r"expected y as integer labels \(N,\), \(N, T\) for sequences, or float targets"),
        (X, Y[:, None], {}, "expected y as integer labels"),
        (X, np.array(list("abc")), {}, "expected y as integer labels"),
        (X, np.eye(3), {"classes": 4}, r"4 classes need y \(N, 4\); got \(3, 3\)"),
        (X, Y, {"scale": np.inf}, "scale and shift must be finite"),
        (X, Y, {"shift": np.nan}, "scale and shift must be finite"),
    ],
)
def test_bad_arrays_are_refused(x, y, settings, message):
    with pytest.raises(DataError, match=message) as error:
        Dataset(x, y, name="set", **settings)
    assert str(error.value).startswith("set: ")
    assert "\n" not in str(error.value)


def test_a_bad_value_far_into_a_large_array(monkeypatch):
    monkeypatch.setattr("xpnn.data.dataset.SCAN_BYTES", 64)
    x = np.zeros((1000, 3))
    x[777, 2] = np.nan
    with pytest.raises(DataError, match="row 777"):
        Dataset(x, np.zeros(1000, int))


def test_slices_share_and_indices_pick(data):
    assert np.shares_memory(data[10:20].x, data.x)
    np.testing.assert_array_equal(data[10:20].y, data.y[10:20])
    np.testing.assert_array_equal(data[[3, 1, -1]].x, data.x[[3, 1, -1]])
    assert len(data[data.y == 2]) == 10
    assert data[:1].classes == 5
    assert data[:1].scale == data.scale


@pytest.mark.parametrize("which", [3, [], [50], [-51], [0.5], np.ones(49, bool), [[1, 2]], slice(5, 5), "a"])
def test_picks_that_pick_nothing(data, which):
    with pytest.raises(DataError):
        data[which]


def test_split_is_a_partition_and_repeats(data):
    train, validation = data.split(0.2)
    assert (len(train), len(validation)) == (40, 10)
    rows = sorted(map(bytes, np.concatenate([train.flat().x, validation.flat().x])))
    assert rows == sorted(map(bytes, data.flat().x))
    again = data.split(0.2)[1]
    np.testing.assert_array_equal(again.x, validation.x)
    assert not np.array_equal(data.split(0.2, seed=1)[1].x, validation.x)


def test_split_gives_these_very_samples():
    """A change here would silently move samples between people's training and validation sets."""
    numbered = Dataset(np.arange(20, dtype=np.float64)[:, None], np.zeros(20, int))
    assert numbered.split(0.25, seed=7)[1].x.ravel().tolist() == [1, 4, 6, 8, 16]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, 0.001, 0.999, float("nan")])
def test_splits_with_an_empty_side(data, fraction):
    with pytest.raises(ConfigError, match="split"):
        data.split(fraction)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.1, 0.9), (0.01, 0.99)])
def test_one_hot(data, low, high):
    targets = data.one_hot(low, high)
    assert targets.y.dtype == np.float32
    assert targets.y.shape == (50, 5)
    np.testing.assert_array_equal(np.sort(targets.y, axis=1)[:, :-1], np.float32(low))
    np.testing.assert_array_equal(targets.y[np.arange(50), data.y], np.float32(high))
    np.testing.assert_array_equal(targets.labels(), data.y)
    np.testing.assert_array_equal(targets.one_hot().y, data.one_hot().y)
    assert targets.classes == 5


def test_one_hot_has_every_class_though_the_part_has_not(data):
    assert data[:2].one_hot().y.shape == (2, 5)


def test_labels_of_regression_targets(data):
    with pytest.raises(DataError, match="one target a sample"):
        Dataset(X, np.ones((3, 1))).labels()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_normalise(monkeypatch, dtype):
    monkeypatch.setattr("xpnn.data.dataset.SCAN_BYTES", 256)
    x = np.random.default_rng(0).integers(0, 256, (60, 7)).astype(dtype)
    data = Dataset(x, np.zeros(60, int), scale=0.5, shift=3.0)
    mean, std = data.moments()
    assert mean == pytest.approx((x * 0.5 + 3).astype(np.float64).mean(), rel=1e-12)
    assert std == pytest.approx((x * 0.5).astype(np.float64).std(), rel=1e-12)
    values = batch(data.normalise())
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert values.std() == pytest.approx(1, abs=1e-6)
    half = data[:30].normalise(mean, std)
    np.testing.assert_allclose(batch(half), values[:30], rtol=1e-6)
    assert half.x.dtype == dtype


def test_moments_do_not_cancel():
    x = 1e8 + np.random.default_rng(0).normal(size=(1000, 4))
    assert Dataset(x, np.zeros(1000, int)).moments()[1] == pytest.approx(x.std(), rel=1e-9)


@pytest.mark.parametrize("numbers", [(None, None), (0.0, 0.0), (0.0, -1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_what_cannot_be_normalised(numbers):
    with pytest.raises(DataError, match="cannot normalise"):
        Dataset(X, Y).normalise(*numbers)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        ([[0, 1], [1, 0]], np.uint8),
        ([[True, False], [False, True]], np.uint8),
        ([[0, -1], [256, 0]], np.float32),
        ([[0.5, 1], [2, 3]], np.float64),
        (np.ones((2, 2), np.float16), np.float32),
        (np.ones((2, 2), ">f8"), np.float64),
        (np.ones((2, 2), np.int8), np.uint8),
        ([0.5, 0.25], np.float64),
    ],
)
def test_from_arrays_converts_without_loss(x, dtype):
    data = from_arrays(x, [0, 1])
    assert data.x.dtype == dtype
    assert data.x.dtype.isnative
    np.testing.assert_array_equal(data.x, np.asarray(x).reshape(data.x.shape))


@pytest.mark.parametrize(
    ("y", "dtype", "shape"),
    [
        ([0, 1], np.int64, (2,)),
        ([[0], [1]], np.int64, (2,)),
        ([False, True], np.int64, (2,)),
        (np.array([0, 1], np.uint8), np.int64, (2,)),
        ([[0, 1], [1, 0]], np.float32, (2, 2)),
        ([[0.5], [1.5]], np.float64, (2, 1)),
        (np.ones((2, 3), np.float16), np.float32, (2, 3)),
    ],
)
def test_from_arrays_targets(y, dtype, shape):
    data = from_arrays(X[:2], y)
    assert data.y.dtype == dtype
    assert data.y.shape == shape


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1], [1, 2]], [0, 1], "x: not an array"),
        (["a", "b"], [0, 1], "x: expected numbers up to 64 bits; got <U1"),
        ([1j, 2j], [0, 1], "got complex128"),
        ([[None], [1]], [0, 1], "got object"),
        ([[1 << 25], [0]], [0, 1], r"int64 values 0\.\.33554432 are not exact in float32"),
        (np.ones((2, 2), np.longdouble), [0, 1], "got float128|got longdouble|float96"),
        (
            [[1], [2]],
            [0.0, 1.0],
            r"expected y as integer labels .* Use y.astype\('int64'\). Targets\? Use y\[:, None\]$",
        ),
        ([[1], [2]], ["a", "b"], "y: expected numbers"),
        ([], [], "no samples"),
        (1, 1, "expected x"),
        ([[1], [2]], [0, 2**63], "label|expected"),
    ],
)
def test_from_arrays_refuses(x, y, message):
    with pytest.raises(DataError, match=message) as error:
        from_arrays(x, y, name="mine")
    assert str(error.value).startswith("mine: ")
    assert "\n" not in str(error.value)
