"""Models on the CuPy backend, and what does not mix; on the stand-in, on GPU 1 of 2."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.core import backend as backends
from xpnn.data import Dataset
from xpnn.errors import BackendError
from xpnn.train import Trainer


def model_of(seed=3):
    xpnn.seed(seed)
    layers = (nn.Dense(6, 8, activation="relu"), nn.Dropout(0.3), nn.Dense(8, 5, activation="gelu"), nn.Dense(5, 3))
    return nn.Sequential(*layers)


def data_of(backend):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(7, 6)).astype("f4"), rng.integers(0, 3, 7)
    return xpnn.tensor(x, backend=backend), xpnn.tensor(labels, backend=backend)


def train(model, optimizer, x, labels, steps):
    losses = []
    for _ in range(steps):
        loss = xpnn.ops.cross_entropy(model(x), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return losses


OPTIMIZERS = {
    "sgd": lambda m: optim.SGD(m, lr=0.1, l1=1e-3, l2=1e-2),
    "nesterov": lambda m: optim.Nesterov(m, lr=0.1, clip_value=0.5),
    "adam": lambda m: optim.AdamW(m, lr=0.01, clip_norm=0.1),
    "rmsprop": lambda m: optim.RMSProp(m),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_three_steps_as_on_numpy(gpu, name):
    answers = []
    for place in (backends.get("numpy"), gpu):
        with xpnn.use(place):
            model = model_of()
            losses = train(model, OPTIMIZERS[name](model), *data_of(place), 3)
        answers.append(([loss.item() for loss in losses], model.state()))
    (losses, state), (losses_there, state_there) = answers
    np.testing.assert_allclose(losses_there, losses, rtol=1e-6)
    for key in state:
        np.testing.assert_allclose(state_there[key], state[key], rtol=1e-5, atol=1e-7)


def test_a_training_step_copies_nothing(gpu, cupy):
    model = model_of().to(gpu)
    optimizer = optim.Adam(model, lr=0.01, l2=0.1, clip_value=1.0, clip_norm=1.0)
    x, labels = data_of(gpu)
    cupy.transfers.clear()
    train(model, optimizer, x, labels, 2)
    optimizer.lr = 0.005
    (2 * model(x) - 1).square().mean().backward()
    assert cupy.transfers == []


def test_more_batches_are_no_more_copies(cupy):
    """Trainer.fit copies and waits where an epoch begins and ends, however many steps it has."""

    def copies(batch_size):
        rng = np.random.default_rng(0)
        dataset = Dataset(rng.normal(size=(60, 6)).astype("f4"), rng.integers(0, 3, 60))
        trainer = Trainer(model_of().to("cuda"), optim.Adam(), loss="cross_entropy", metrics=["accuracy"])
        cupy.transfers.clear()
        with xpnn.transfers() as seen:
            # A progress bar looks at the loss now and then, by the clock.
            trainer.fit(dataset, epochs=2, batch_size=batch_size, validation=dataset, progress=False)
        counted = {"h2d": seen.to_device, "d2h": seen.to_host, "wait": seen.waits}
        assert counted == {kind: cupy.transfers.count(kind) for kind in counted}, "xpnn.transfers() saw others"
        return list(cupy.transfers)

    assert copies(3) == copies(30)


def test_the_data_set_goes_to_the_device_once(cupy):
    """One copy more for each epoch: its order."""
    rng = np.random.default_rng(0)
    dataset = Dataset(rng.normal(size=(60, 6)).astype("f4"), rng.integers(0, 3, 60))
    counts = []
    for epochs in (1, 2, 5):
        trainer = Trainer(model_of().to("cuda"), optim.Adam(), loss="cross_entropy")
        with xpnn.transfers() as seen:
            trainer.fit(dataset, epochs=epochs, batch_size=6, progress=False)
        counts.append(seen.to_device - epochs)
    assert len(set(counts)) == 1


def test_optimizer_state_moves_with_the_model(gpu):
    def run(places):
        model = model_of()
        optimizer = optim.Adam(model, lr=0.05)
        for place in places:
            model.to(place)
            train(model, optimizer, *data_of(place), 2)
        assert model.backend is backends.get(places[-1])
        return model.state(), optimizer.state()

    stayed, moved = run(["numpy", "numpy", "numpy"]), run(["numpy", "cuda:1", "numpy"])
    for a, b in zip(stayed, moved, strict=True):
        for key in a:
            np.testing.assert_allclose(b[key], a[key], rtol=1e-5, atol=1e-7)
    assert moved[1]["step"] == 6


def test_from_one_gpu_to_the_other(gpu, cupy):
    model = model_of().to("cuda:0").to("cuda:1")
    assert all(p.data.device.id == 1 for p in model.parameters())
    train(model, optim.SGD(model), *data_of(gpu), 1)


def test_zeroed_gradients(gpu):
    model = model_of().to(gpu)
    model(data_of(gpu)[0]).sum().backward()
    model.zero_grad()
    assert all(not p.grad.numpy().any() for p in model.parameters())


def test_state_of_a_model_is_on_the_host(gpu):
    model = model_of().to(gpu)
    state = model.state()
    assert all(type(value) is np.ndarray for value in state.values())
    model.load_state(state)
    assert all(gpu.owns(p.data) for p in model.parameters())


# Mixing -------------------------------------------------------------------------------------------------------


def test_two_backends_in_one_op(gpu):
    here, there = xpnn.tensor([1.0], backend="numpy"), xpnn.tensor([2.0], backend=gpu)
    with pytest.raises(BackendError, match=r"add: .*x on numpy and y on cuda:1\. Move one: y\.to\('numpy'\)"):
        here + there
    with pytest.raises(BackendError, match=r"dense: .*x on numpy and w on cuda:1.*model\.to"):
        nn.Dense(1, 2).to(gpu)(here)
    with pytest.raises(BackendError, match=r"multiply: .*cuda:0 and y on cuda:1"):
        xpnn.tensor([2.0], backend="cuda:0") * there


def test_numpy_arrays_beside_the_gpu(gpu):
    x, host = xpnn.tensor([[1.0, 2.0]], backend=gpu), np.ones((1, 2), "f4")
    for call in (lambda: x + host, lambda: host + x, lambda: xpnn.ops.mean_squared_error(x, host)):
        with pytest.raises(BackendError, match=r"on cuda:1; got a NumPy array\. Use xpnn\.tensor\(x\)\.to\('cuda:1'\)"):
            call()
    with pytest.raises(BackendError, match=r"on cuda:1; use \.numpy\(\)"):
        np.asarray(x)
    assert (x + 1).numpy().tolist() == [[2, 3]]
    assert (x * np.float32(2)).numpy().tolist() == [[2, 4]]


def test_raw_device_arrays(gpu, cupy):
    raw = gpu.from_host(np.ones(2, "f4"))
    assert xpnn.tensor(raw, backend=gpu).data is raw
    assert xpnn.tensor(raw, dtype="float64", backend=gpu).dtype == np.float64
    assert (xpnn.tensor([1.0, 2.0], backend=gpu) + raw).numpy().tolist() == [2, 3]
    for call in (lambda: xpnn.tensor([1.0, 2.0], backend="numpy") + raw, lambda: xpnn.tensor(raw, backend="numpy")):
        with pytest.raises(BackendError, match=r"got cupy\.ndarray\. Make it a tensor where it lives"):
            call()
    with pytest.raises(BackendError, match=r"got cupy\.ndarray"):
        xpnn.tensor([1.0, 2.0], backend="cuda:0") + raw
