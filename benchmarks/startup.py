"""What a process costs before it trains: `import xpnn`, and the first MLP step on Numba, cold and warm.

    python -m xpnn_benchmarks.startup [--rounds 5]

Every figure is that of whole processes, from start to exit, but for the import, which is timed inside. Cold means an
empty folder for Numba's compiled kernels, warm that they are there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

IMPORT = """
import time
start = time.perf_counter()
import numpy
numpy_s = time.perf_counter() - start
import xpnn
print(numpy_s, time.perf_counter() - start)
"""
FIRST_STEP = """
import numpy as np, xpnn
from xpnn import nn, optim
xpnn.use("numba")
model = nn.Sequential(nn.Flatten(), nn.Dense(784, 300, activation="relu"), nn.Dense(300, 10))
batch = xpnn.data.Dataset(np.full((64, 28, 28, 1), 7, np.uint8), np.arange(64) % 10, scale=1 / 255)
xpnn.Trainer(model, optim.Adam(lr=1e-3)).fit(batch, epochs=1, progress=False)
"""


def run(code: str, kernels: str | None = None) -> tuple[float, str]:
    """(seconds of the process, what it printed)."""
    env = {**os.environ, **({"NUMBA_CACHE_DIR": kernels} if kernels else {})}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {"import numpy": [], "import xpnn, NumPy included": [], "cold": [], "warm": []}
    run(IMPORT)  # writes the byte code
    for _ in range(rounds):
        numpy_s, both_s = map(float, run(IMPORT)[1].split())
        seconds["import numpy"].append(numpy_s)
        seconds["import xpnn, NumPy included"].append(both_s)
        with tempfile.TemporaryDirectory() as kernels:
            seconds["cold"].append(run(FIRST_STEP, kernels)[0])
            seconds["warm"] += [run(FIRST_STEP, kernels)[0] for _ in range(3)]
    print(f"{'seconds':<32}{'median':>9}{'min':>9}{'max':>9}")
    for name, values in seconds.items():
        label = f"first MLP step on numba, {name}" if name in ("cold", "warm") else name
        print(f"{label:<32}{statistics.median(values):>9.3f}{min(values):>9.3f}{max(values):>9.3f}")


if __name__ == "__main__":
    main()
