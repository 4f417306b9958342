"""Checkpoints: whole or absent, exact to the bit, and nothing damaged gets in."""

from __future__ import annotations

import errno
import json
import math
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import xpnn
from xpnn import nn, optim
from xpnn.errors import CheckpointError
from xpnn.train import Callback, Checkpoint, EarlyStopping
from xpnn.train import checkpoint as files

from .conftest import same_weights


class StopAt(Callback):
    def __init__(self, step):
        self.at = step

    def on_step_end(self, trainer, loss):
        trainer.stop = trainer.stop or trainer.step == self.at


OPTIMIZERS = [optim.SGD, optim.Nesterov, optim.AdaGrad, optim.RMSProp, optim.AdamW]


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("stop", [1, 22, 23, 30])
def test_a_resumed_run_is_the_uninterrupted_one(make, digits, backend, kind, stop, tmp_path):
    """Stopped in the middle of an epoch, at its last step, at its end and in the next one."""
    train = digits[0]

    def trainer(*callbacks):
        return make(
            backend, kind(lr=1e-3), metrics=["accuracy"], callbacks=callbacks, schedule=optim.schedule.Cosine(3)
        )

    whole, first, second = trainer(StopAt(10**6)), trainer(StopAt(stop)), trainer(StopAt(10**6))
    whole.fit(train, epochs=3, progress=False)
    first.fit(train, epochs=3, progress=False)
    first.save(tmp_path / "c")
    xpnn.seed(123)  # the generator is resumed too
    second.fit(train, epochs=3, progress=False, resume=tmp_path / "c")
    assert same_weights(whole, second)
    for name in ("loss", "accuracy", "lr"):
        assert second.history[name] == whole.history[name]
    assert (whole.optimizer.state()["step"] == second.optimizer.state()["step"]).all()


def test_a_checkpoint_goes_on_on_another_backend(make, digits, tmp_path):
    first, second, whole = make("numpy"), make("numba"), make("numpy")
    first.fit(digits[0], epochs=1, progress=False)
    first.save(tmp_path / "c")
    second.resume(tmp_path / "c")
    second.fit(digits[0], epochs=1, progress=False)
    whole.fit(digits[0], epochs=2, progress=False)
    for name, weights in whole.model.state().items():
        np.testing.assert_allclose(second.model.state()[name], weights, rtol=2e-3, atol=2e-4)


def test_early_stopping_remembers_its_best_weights(make, digits, tmp_path):
    def trainer(*more):
        built = make(callbacks=[EarlyStopping("loss", patience=2), *more])
        built.optimizer.lr = built._base_lr = 0.3  # so high that the first epoch is the best
        return built

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(digits[0], epochs=20, progress=False)
    first.callbacks.append(StopAt(24))
    first.fit(digits[0], epochs=20, progress=False)
    first.model.load_state(whole.model.state())  # what on_fit_end restored is not what training had
    del first.callbacks[-1]
    first.save(tmp_path / "c")
    second.fit(digits[0], epochs=20, progress=False, resume=tmp_path / "c")
    assert {"callback/1/layers.1.w", "callback/1/layers.3.b"} <= load_file(tmp_path / "c").keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda make: make(optimizer=optim.SGD()), "optimizer there is Adam; here it is SGD"),
        (lambda make: make(seed=1), "seed there is 0; here it is 1"),
        (lambda make: make(loss="perceptron"), "loss there is cross_entropy; here it is perceptron"),
        (lambda make: make(optimizer=optim.Adam(lr=0.1)), "base_lr there is 0.003; here it is 0.1"),
        (lambda make: make(callbacks=[StopAt(1)]), "callbacks there is"),
    ],
)
def test_another_training_is_refused(make, digits, tmp_path, change, message):
    make().save(tmp_path / "c")
    other = change(make)
    before = other.model.state()
    with pytest.raises(CheckpointError, match=message):
        other.resume(tmp_path / "c")
    assert all((other.model.state()[k] == v).all() for k, v in before.items())


def test_other_settings_of_fit_are_refused(make, digits, tmp_path):
    first = make(callbacks=[StopAt(3)])
    first.fit(digits[0], epochs=2, batch_size=32, progress=False)
    first.save(tmp_path / "c")
    with pytest.raises(CheckpointError, match="batch_size there is 32; here it is 64"):
        make(callbacks=[StopAt(3)]).fit(digits[0], epochs=2, batch_size=64, progress=False, resume=tmp_path / "c")


class TestModels:
    def test_a_model_comes_back_with_its_layers(self, make, tmp_path):
        model = make().model
        xpnn.save(model, tmp_path / "m.safetensors")
        again = xpnn.load(tmp_path / "m.safetensors")
        assert nn.describe(again) == nn.describe(model)
        x = np.random.default_rng(0).random((5, 8, 8, 1), dtype=np.float32)
        assert (again.eval()(x).numpy() == model.eval()(x).numpy()).all()

    def test_float64_stays_float64(self, tmp_path):
        xpnn.save(nn.Dense(2, 3).astype("float64"), tmp_path / "m")
        assert xpnn.load(tmp_path / "m").w.dtype == np.float64

    def test_it_loads_on_the_backend_in_use(self, make, tmp_path):
        xpnn.save(make("numba").model, tmp_path / "m")
        with xpnn.use("numpy"):
            assert xpnn.load(tmp_path / "m").backend.name == "numpy"

    def test_a_model_of_ones_own(self, tmp_path):
        class Twin(nn.Module):
            def __init__(self):
                self.parts = {"a": nn.Dense(2, 2), "b": [nn.Dense(2, 2)]}

        model = Twin()
        xpnn.save(model, tmp_path / "m")
        with pytest.raises(CheckpointError, match="build it and use load"):
            xpnn.load(tmp_path / "m")
        other = xpnn.load(tmp_path / "m", into=Twin())
        assert (other.parts["b"][0].w.numpy() == model.parts["b"][0].w.numpy()).all()
        with pytest.raises(CheckpointError, match=r"does not fit: load_state: expected .*missing"):
            xpnn.load(tmp_path / "m", into=nn.Dense(2, 2))

    @pytest.mark.parametrize("kind", ["tied", "extra", "deep"])
    def test_what_cannot_be_described_goes_into_a_model_of_the_same_making(self, kind, tmp_path):
        def make():
            layer = nn.Dense(2, 2)
            model = nn.Sequential(layer, layer if kind == "tied" else nn.Dense(2, 2))
            if kind == "extra":
                model.head = nn.Dense(2, 1)
            for _ in range(60 if kind == "deep" else 0):
                model = nn.Sequential(model)
            return model

        model = make()
        xpnn.save(model, tmp_path / "m")
        with pytest.raises(CheckpointError, match="build it and use load"):
            xpnn.load(tmp_path / "m")
        again = xpnn.load(tmp_path / "m", into=make()).state()
        assert all((again[name] == a).all() for name, a in model.state().items())

    def test_numbers_that_are_not_finite_are_kept(self, tmp_path):
        """A diverged validation loss is no reason to lose a training, and JSON has no NaN."""
        rows = [{"epoch": 1, "val_loss": math.inf, "val_auc": math.nan, "loss": -math.inf, "lr": 1e-3}]
        files.write(tmp_path / "c", nn.Flatten(), {"model": {}}, {"history": rows})
        json.loads(header_of(tmp_path / "c"), parse_constant=pytest.fail)
        assert repr(files.read(tmp_path / "c").trainer) == repr({"history": rows})

    @pytest.mark.parametrize("odd", [object(), 10**400, np.float32(1), "deep"], ids=["object", "huge", "numpy", "deep"])
    def test_a_state_that_would_not_come_back_is_not_written(self, tmp_path, odd):
        if odd == "deep":
            for _ in range(300):
                odd = [odd]
        message = refused(files.write, tmp_path / "c", nn.Flatten(), {"model": {}}, {"callbacks": odd})
        assert "cannot be written: expected plain data" in message
        assert not list(tmp_path.iterdir())

    def test_a_model_alone_cannot_be_resumed(self, make, tmp_path):
        xpnn.save(make().model, tmp_path / "m")
        with pytest.raises(CheckpointError, match="holds a model alone"):
            make().resume(tmp_path / "m")


def header_of(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()["xpnn"]


def forge(path, arrays, header):
    """A file whose checksum is right, whatever it says."""
    header = {**header, "sha256": files._digest(arrays, header)}
    save_file(arrays, path, metadata={"xpnn": json.dumps(header)})


def refused(call, *args, **settings):
    """The message of the CheckpointError, which is one line."""
    with pytest.raises(CheckpointError) as caught:
        call(*args, **settings)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 2000
    return message


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a small checkpoint of a training."""
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    model = nn.Sequential(nn.Dense(3, 4, activation="relu"), nn.Dropout(0.25), nn.Dense(4, 2))
    trainer = xpnn.Trainer(model, optim.SGD())
    trainer.step, trainer.history.rows = 8, [{"epoch": 1, "loss": 0.5, "val_loss": math.inf}]
    trainer.save(path)
    return path.read_bytes()


ODD = st.one_of(
    st.none() | st.booleans() | st.integers(-3, 6) | st.sampled_from([10**7, 2**63, 10**400, math.nan, -math.inf]),
    st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["Sequential", "Flatten", "uniform", "orthogonal", "a\nb\ud800"]),
)
TREES = st.recursive(ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


def places(entry):
    """Every (container, key) in a tree of JSON."""
    for key, value in entry.items() if isinstance(entry, dict) else enumerate(entry):
        yield entry, key
        if isinstance(value, (dict, list)):
            yield from places(value)


class TestDamage:
    @given(data=st.data())
    @settings(max_examples=300, deadline=None)
    def test_no_damage_gets_in(self, good, tmp_path_factory, data):
        """Cut, lengthened, a byte changed, or its header's length lied about: our error, or all is as it was."""
        bad = bytearray(good)
        how = data.draw(st.sampled_from(["cut", "extend", "flip", "flip in the header", "length"]))
        if how == "cut":
            del bad[data.draw(st.integers(0, len(bad) - 1)) :]
        elif how == "extend":
            bad += data.draw(st.binary(min_size=1, max_size=20))
        elif how == "length":
            bad[:8] = data.draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little")
        else:
            end = len(bad) if how == "flip" else 8 + int.from_bytes(good[:8], "little")
            bad[data.draw(st.integers(8, end - 1))] ^= data.draw(st.integers(1, 255))
        folder = tmp_path_factory.getbasetemp()
        (folder / "good.safetensors").write_bytes(good)
        (folder / "bad.safetensors").write_bytes(bad)
        reference = files.read(folder / "good.safetensors")
        try:
            contents = files.read(folder / "bad.safetensors")
        except CheckpointError as error:
            assert str(error).isprintable()  # noqa: PT017 - either outcome is right
            return
        for one, other in zip(contents, reference, strict=True):
            if isinstance(one, dict) and any(isinstance(a, np.ndarray) for a in one.values()):
                assert {k: (a.dtype, a.shape, a.tobytes()) for k, a in one.items()} == {
                    k: (a.dtype, a.shape, a.tobytes()) for k, a in other.items()
                }
            else:
                assert one == other

    @pytest.mark.parametrize(("old", "new"), [(b'step\\": 8', b'step\\": 9'), (b"relu", b"silu"), (b"0.25", b"0.75")])
    def test_a_change_in_the_header(self, good, tmp_path, old, new):
        assert old in good
        (tmp_path / "m").write_bytes(good.replace(old, new, 1))
        assert "checksum" in refused(files.read, tmp_path / "m")

    @given(data=st.data())
    @settings(max_examples=300, deadline=None)
    def test_no_hostile_header_gets_through(self, good, tmp_path_factory, data):
        """Anything in any place of the JSON, with the right checksum: a model, or one line of ours."""
        path = tmp_path_factory.getbasetemp() / "hostile"
        path.write_bytes(good)
        arrays, header = load_file(path), json.loads(header_of(path))
        del header["sha256"]
        for _ in range(data.draw(st.integers(1, 2))):
            container, key = data.draw(st.sampled_from(list(places(header))))
            if data.draw(st.booleans()):
                container[key] = data.draw(TREES)
            elif isinstance(container, dict):
                container[data.draw(st.sampled_from(["type", "layers", "rate", "init"]) | st.text())] = data.draw(TREES)
            else:
                del container[key]
        forge(path, arrays, header)
        try:
            model = xpnn.load(path)
        except CheckpointError as error:
            assert str(error).isprintable()  # noqa: PT017 - either outcome is right
        else:
            assert model.state().keys() == files.read(path).model.keys()

    @pytest.mark.parametrize(
        "model",
        [
            {"type": "Dense", "in_features": 10**6, "out_features": 10**7},
            {"type": "Dense", "in_features": 10**18, "out_features": 10**18},
            {"type": "Dense", "in_features": 3, "out_features": -(10**300)},
            {"type": "Sequential", "layers": [{"type": "Dense", "in_features": 10**6, "out_features": 10**7}] * 2},
        ],
    )
    def test_a_header_that_promises_too_much_allocates_nothing(self, model, tmp_path, monkeypatch):
        """Not even that much: no layer is made before its arrays are known to be there."""
        monkeypatch.setattr("xpnn.nn.dense.parameter", lambda *args, **settings: pytest.fail("built"))
        arrays = {"model/w": np.zeros((3, 4), np.float32), "model/b": np.zeros(4, np.float32)}
        forge(tmp_path / "m", arrays, {"format": 1, "model": model, "input": {}, "trainer": None})
        assert "does not fit" in refused(xpnn.load, tmp_path / "m")

    @pytest.mark.parametrize(
        "arrays",
        [
            {"w": np.zeros((3, 4), np.uint8), "b": np.zeros(4, np.uint8)},
            {"w": np.zeros((3, 4), np.float32), "b": np.zeros(4)},
            {"w": np.zeros((3, 4), np.float32), "b": np.zeros((4, 1), np.float32)},
            {"w": np.zeros((3, 4), np.float32)},
        ],
    )
    def test_arrays_that_the_described_model_does_not_have(self, arrays, tmp_path):
        model = {"type": "Dense", "in_features": 3, "out_features": 4}
        arrays = {f"model/{name}": a for name, a in arrays.items()}
        forge(tmp_path / "m", arrays, {"format": 1, "model": model, "input": {}, "trainer": None})
        assert "does not fit" in refused(xpnn.load, tmp_path / "m")

    @pytest.mark.parametrize("place", ["model", "input", "trainer"])
    @pytest.mark.parametrize(
        ("depth", "message"), [(40, "at most 32 nested"), (450, "at most 200 levels"), (3000, "RecursionError")]
    )
    def test_a_deep_header(self, depth, message, place, tmp_path):
        inner = '{"type": "Flatten"}'
        deep = '{"type": "Sequential", "layers": [' * depth + inner + "]}" * depth
        header = {"format": 1, "model": inner, "input": "{}", "trainer": "null", place: deep}
        text = "{" + ", ".join(f'"{key}": {value}' for key, value in header.items()) + "}"
        if depth == 40:
            forge(tmp_path / "m", {}, json.loads(text))
        else:
            save_file({}, tmp_path / "m", metadata={"xpnn": text})
        if depth == 40 and place != "model":
            assert isinstance(xpnn.load(tmp_path / "m"), nn.Flatten)
        else:
            assert message in refused(xpnn.load, tmp_path / "m")

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "9" * 5000])
    def test_numbers_that_no_float_holds(self, number, tmp_path):
        xpnn.save(nn.Flatten(), tmp_path / "m")
        header = header_of(tmp_path / "m").replace('"input": {', f'"input": {{"scale": {number}')
        assert number in header
        save_file({}, tmp_path / "m", metadata={"xpnn": header})
        assert "expected finite numbers" in refused(files.read, tmp_path / "m")

    @pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "BF16"])
    def test_numbers_that_numpy_does_not_have(self, dtype, tmp_path):
        size = 4 * (2 if dtype == "BF16" else 1)
        announced = {"model/w": {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}}
        text = json.dumps({**announced, "__metadata__": {"xpnn": "{}"}}).encode()
        (tmp_path / "m").write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
        assert f"got {dtype}" in refused(xpnn.load, tmp_path / "m")

    def test_names_that_no_file_can_have(self, tmp_path):
        for name in ("x" * 300, "a\0b", ""):
            with pytest.raises(CheckpointError):
                xpnn.load(tmp_path / name)
            with pytest.raises(CheckpointError, match="cannot be written"):
                xpnn.save(nn.Flatten(), tmp_path / name if name else "")

    def test_a_flipped_bit_in_a_weight(self, good, tmp_path):
        bad = bytearray(good)
        bad[-3] ^= 1
        (tmp_path / "m").write_bytes(bad)
        with pytest.raises(CheckpointError, match="m: not a checkpoint of xpnn, or damaged: .*checksum"):
            xpnn.load(tmp_path / "m")

    @pytest.mark.parametrize("content", [b"", b"PK", b"{}" * 100, b"\xff" * 64])
    def test_what_is_no_checkpoint(self, content, tmp_path):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(CheckpointError, match="m: not a checkpoint of xpnn, or damaged"):
            xpnn.load(tmp_path / "m")

    @pytest.mark.parametrize("header", ["{", "[]", "3", json.dumps({"format": 1}), "[" * 5000])
    def test_a_header_that_is_no_header(self, header, tmp_path):
        save_file({"model/w": np.zeros(3)}, tmp_path / "m", metadata={"xpnn": header})
        with pytest.raises(CheckpointError, match="not a checkpoint of xpnn, or damaged"):
            xpnn.load(tmp_path / "m")

    def test_a_later_format(self, tmp_path):
        save_file({"model/w": np.zeros(3)}, tmp_path / "m", metadata={"xpnn": json.dumps({"format": 99})})
        with pytest.raises(CheckpointError, match="expected checkpoint format 1; got 99. Update xpnn"):
            xpnn.load(tmp_path / "m")

    def test_files_of_others_and_files_that_are_not_there(self, tmp_path):
        save_file({"w": np.zeros(3)}, tmp_path / "m")
        with pytest.raises(CheckpointError, match="not a checkpoint of xpnn"):
            xpnn.load(tmp_path / "m")
        with pytest.raises(CheckpointError, match="there is none"):
            xpnn.load(tmp_path / "nothing")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(make, digits, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    trainer = make()
    trainer.save(path)
    before = path.read_bytes()
    trainer.fit(digits[0], epochs=1, progress=False)

    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="cannot be written: no space left on device"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_folder_that_is_not_there(make, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        make().save(tmp_path / "no" / "c")


def test_no_pickle_anywhere():
    import pathlib

    source = pathlib.Path(xpnn.__file__).parent
    assert not [
        p for p in source.rglob("*.py") if "import pickle" in p.read_text() or "allow_pickle=True" in p.read_text()
    ]


def test_checkpoints_of_a_run_open_as_models(make, digits, tmp_path):
    make(callbacks=[Checkpoint(tmp_path / "c")]).fit(digits[0], epochs=1, progress=False)
    model = xpnn.load(tmp_path / "c")
    assert model.layers[1].out_features == 32
    xpnn.save(model, tmp_path / "m")
    assert xpnn.load(tmp_path / "m").input_format == {
        "shape": [8, 8, 1],
        "scale": 1 / 16,
        "shift": 0.0,
        "classes": 10,
        "data": "digits",
    }
