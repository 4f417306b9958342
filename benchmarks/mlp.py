"""An epoch of MNIST on the MLP 784-300-10, batch 64, Adam: xpnn against PyTorch and against objects.

    python benchmarks/mlp.py [--rounds 5] [--torch-python PATH]

Every rung runs in a process of its own, in turn, so that thread pools do not meet and a drift of the machine reaches
all alike. They start from the same weights and see the same batches; their first losses must agree before anything is
timed. PyTorch runs as tutorials write it (Adam's defaults), with fused Adam, and compiled. Without MNIST (XPNN_DATA)
the pixels are random: the time is the same, the losses mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N, BATCH, CHECKED = 60_000, 64, 50
OBJECT_SAMPLES = 20
RUNGS = ("numpy", "numba", "torch", "torch-fused", "torch-compiled", "objects")


def task(folder: Path) -> None:
    """The data, weights and order of batches that every rung starts from."""
    from xpnn import data
    from xpnn.errors import XpnnError

    try:
        train, _ = data.mnist(download=False)
        x, y = train.x.reshape(N, 784), train.y
    except XpnnError:
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (N, 784), np.uint8), rng.integers(0, 10, N)
    rng = np.random.default_rng(1)
    weights = {"w1": rng.normal(0, 0.05, (784, 300)), "w2": rng.normal(0, 0.08, (300, 10))}
    np.savez(folder / "task.npz", x=x, y=y, **{k: w.astype(np.float32) for k, w in weights.items()})


def run_xpnn(backend: str, t: dict[str, np.ndarray], epochs: int) -> dict[str, list[float]]:
    import xpnn
    from xpnn import nn, optim
    from xpnn.data import Dataset
    from xpnn.train import Callback

    class Losses(Callback):
        seen: list[float] = []  # noqa: RUF012 - one object only

        def on_step_end(self, trainer, loss):
            self.seen.append(loss.item())

    def trainer(*callbacks):
        with xpnn.use(backend):
            model = nn.Sequential(nn.Dense(784, 300, activation="relu"), nn.Dense(300, 10))
        model[0].w.assign(t["w1"])
        model[1].w.assign(t["w2"])
        return xpnn.Trainer(model, optim.Adam(lr=1e-3), callbacks=callbacks)

    losses = Losses()
    first = Dataset(t["x"][: CHECKED * BATCH], t["y"][: CHECKED * BATCH], scale=1 / 255, classes=10)
    trainer(losses).fit(first, 1, BATCH, shuffle=False, progress=False)
    timed = trainer()
    history = timed.fit(Dataset(t["x"], t["y"], scale=1 / 255, classes=10), epochs + 1, BATCH, progress=False)
    return {"losses": losses.seen, "epoch_s": history["seconds"][1:]}


def run_torch(form: str, t: dict[str, np.ndarray], epochs: int) -> dict[str, list[float]]:
    import torch

    x, y = torch.from_numpy(t["x"]).float() / 255, torch.from_numpy(t["y"].astype(np.int64))

    def setup():
        model = torch.nn.Sequential(torch.nn.Linear(784, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
        with torch.no_grad():
            for layer, name in ((model[0], "w1"), (model[2], "w2")):
                layer.weight.copy_(torch.from_numpy(t[name].T))
                layer.bias.zero_()
        adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True if form != "torch" else None)
        criterion = torch.nn.CrossEntropyLoss()

        def objective(xb, yb):
            return criterion(model(xb), yb)

        return adam, torch.compile(objective) if form == "torch-compiled" else objective

    def step(adam, objective, rows):
        loss = objective(x[rows], y[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss

    adam, objective = setup()
    losses = [step(adam, objective, torch.arange(i * BATCH, (i + 1) * BATCH)).item() for i in range(CHECKED)]
    adam, objective = setup()
    seconds = []
    for _ in range(epochs + 1):
        start = time.perf_counter()
        for rows in torch.randperm(N).split(BATCH):
            step(adam, objective, rows)
        seconds.append(time.perf_counter() - start)
    return {"losses": losses, "epoch_s": seconds[1:]}


def run_objects(t: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Pure Python, sigmoid, a sample at a time; a few stand for the epoch, and its losses are not compared."""
    from xpnn.baseline import Network

    network = Network([784, 300, 10])
    samples = (t["x"][:OBJECT_SAMPLES] / 255.0).tolist()
    labels = np.where(np.eye(10)[t["y"][:OBJECT_SAMPLES]] > 0, 0.9, 0.1).tolist()
    start = time.perf_counter()
    for label, sample in zip(labels, samples, strict=True):
        network.train_one_sample(label, sample, 0.1)
    return {"losses": [], "epoch_s": [(time.perf_counter() - start) / OBJECT_SAMPLES * N]}


def worker(rung: str, folder: Path, epochs: int) -> None:
    with np.load(folder / "task.npz") as file:
        t = dict(file)
    if rung == "objects":
        result = run_objects(t)
    elif rung.startswith("torch"):
        result = run_torch(rung, t, epochs)
    else:
        result = run_xpnn(rung, t, epochs)
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs a process, after one of warming up")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has PyTorch and NumPy")
    parser.add_argument("--only", nargs="*", default=list(RUNGS), choices=RUNGS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.folder, args.epochs)
        return
    with tempfile.TemporaryDirectory() as folder:
        task(Path(folder))
        seconds: dict[str, list[float]] = {rung: [] for rung in args.only}
        for round_ in range(args.rounds):
            for rung in args.only:
                if rung == "objects" and round_:
                    continue
                python = args.torch_python if rung.startswith("torch") else sys.executable
                command = [python, __file__, "--worker", rung, "--folder", folder, "--epochs", str(args.epochs)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(f"{rung}: left out ({done.stderr.strip().splitlines()[-1]})", file=sys.stderr)
                    continue
                result = json.loads(done.stdout.splitlines()[-1])
                if round_ == 0:
                    check(rung, result["losses"])
                seconds[rung] += result["epoch_s"]
        report({rung: times for rung, times in seconds.items() if times})


REFERENCE: dict[str, list[float]] = {}


def check(rung: str, losses: list[float]) -> None:
    """The first losses of every rung agree with those of the first rung, or there is nothing to compare."""
    if not losses:
        return
    first = REFERENCE.setdefault("losses", losses)
    worst = max(abs(a - b) / abs(b) for a, b in zip(losses, first, strict=True))
    if worst > 1e-4:
        sys.exit(f"{rung}: its losses differ by {worst:.1e} from those of the first rung; nothing was timed")


def report(seconds: dict[str, list[float]]) -> None:
    ours = statistics.median(seconds["numba"]) if "numba" in seconds else None
    print(f"{'rung':<16}{'epoch, s':>10}{'min':>9}{'max':>9}{'its time / numba':>19}")
    for rung, times in seconds.items():
        middle = statistics.median(times)
        ratio = f"{middle / ours:>19.2f}" if ours else ""
        mark = f"  ({OBJECT_SAMPLES} samples, extrapolated)" if rung == "objects" else ""
        print(f"{rung:<16}{middle:>10.3f}{min(times):>9.3f}{max(times):>9.3f}{ratio}{mark}")


if __name__ == "__main__":
    main()
