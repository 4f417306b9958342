"""A run of the benchmark suite, as it would be written: small, and with numbers that are easy to reckon with."""

from __future__ import annotations

import pytest

STEADY = {"median_s": 1e-4, "spread": 0.02}


def row(name, median, spread=0.02, first_s=None, **told):
    times = {"median": median, "q1": median * (1 - spread / 2), "q3": median * (1 + spread / 2)}
    told["first_s"] = median if first_s is None else first_s
    return {"name": name, "extra_info": told, "stats": times | {"iqr_outliers": 2, "rounds": 40}}


def rung(title, backend, batch, median, **more):
    told = {"suite": "ladder", "network": "mlp", "title": "MLP", "rung": title, "backend": backend, "batch": batch}
    seen = {"to_device": 0, "to_host": 0, "waits": 0}
    return row(
        f"test_rung[mlp, {title}]", median, **told, loss_gap=2e-16, transfers=seen | more.pop("seen", {}), **more
    )


def op(name, phase, backend, median, flops, nbytes, **more):
    told = {"suite": "ops", "op": name, "title": f"{name} 8x8", "phase": phase, "backend": backend}
    return row(f"test_op[{backend}, {name} 8x8, {phase}]", median, **told, flops=flops, nbytes=nbytes, **more)


def batch(backend, size, median):
    told = {"suite": "crossover", "title": "dense", "batch": size, "backend": backend}
    return row(f"test_batch[{backend}, dense, {size}]", median, **told)


@pytest.fixture
def run():
    """The dict of a run. Ceilings: 100 GFLOP/s, 10 GB/s on the host."""
    host = {"gflops": 100.0, "gbytes": 10.0}
    rows = [
        rung("objects", "", 1, 0.1, spread=0.5),
        rung("numpy, mini-batches", "numpy", 64, 0.064),
        rung("numba, recorded", "numba", 64, 0.0016, seen={"to_device": 2, "waits": 1}),
        op("matmul", "forward", "numpy", 2e-3, 10**8, 10**5),
        op("matmul", "forward", "numba", 4e-3, 10**8, 10**5, first_s=0.7),
        op("relu", "backward", "numpy", 1e-3, 10**6, 5 * 10**6, spread=0.3),
        op("relu", "backward", "numba", 5e-4, 10**6, 5 * 10**6),
        op("flip", "forward", "numba", 1e-6, 0, 0),
        *[batch("numpy", size, 1e-5 * size) for size in (1, 64, 4096)],
        *[batch("numba", size, 1e-5 * (size * 64) ** 0.5) for size in (1, 64, 4096)],
    ]
    about = {
        "schema": 1,
        "quick": False,
        "backends": ["numpy", "numba"],
        "machine": {
            "cpu": "A <CPU> [1]",
            "cpus": 2,
            "memory_gb": 8.0,
            "gpu": {},
            "system": "Linux 6",
            "python": "3.11.7",
            "versions": {"xpnn": "0.1.0", "numpy": "2.4.6"},
            "threads": {"xpnn": 2, "blas": None},
            "load": 0.1,
        },
        "ceilings": {"numpy": host, "numba": host},
        "noise": {"before": STEADY, "after": STEADY, "drift": 1.0, "spread": 0.02, "noisy": ""},
    }
    return {"benchmarks": rows, "datetime": "2026-01-02T03:04:05.6+00:00", "xpnn": about}


@pytest.fixture
def peers():
    """Rows as `xpnn_benchmarks.peers.table.row` makes them."""
    told = (("xpnn", "recorded", "", {}), ("torch", "compiled", "", {"eager": "too old"}), ("jax", "", "y differs", {}))
    lanes = [dict(zip(("side", "variant", "why_not", "failed"), lane, strict=True)) for lane in told]
    ratios = {"torch": {"ms": 3.0, "ratio": 1.5, "least": 1.25, "most": 2.0}}
    found = {"work": "softmax, 64x10", "lanes": lanes, "peers": ratios, "ms": 2.0}
    return [
        found | {"unit": "gbytes", "rate": 5.0, "of_ceiling": 0.5},
        {"work": "none", "lanes": lanes[:1], "peers": {}},
    ]
