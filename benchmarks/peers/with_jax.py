"""JAX's side, for the MLP: a jitted step with an Adam of its own, batch by batch or scanned over the epoch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def objective(p: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    logits = jax.nn.relu(x @ p[0] + p[1]) @ p[2] + p[3]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def advance(state: Any, batch: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
    """One step of Adam: state (weights, m, v, steps done)."""
    p, m, v, t = state
    loss, g = jax.value_and_grad(objective)(p, *batch)
    t = t + 1
    m = [BETA1 * a + (1 - BETA1) * b for a, b in zip(m, g, strict=True)]
    v = [BETA2 * a + (1 - BETA2) * b * b for a, b in zip(v, g, strict=True)]
    rate, scale = LR / (1 - BETA1**t), 1 / (1 - BETA2**t)
    p = [a - rate * b / (jnp.sqrt(c * scale) + EPS) for a, b, c in zip(p, m, v, strict=True)]
    return (p, m, v, t), loss


def training(w: Work, a: Arrays, scanned: bool) -> worker.Run:
    batch, steps = w.sizes["batch"], w.sizes["steps"]
    x = jnp.asarray(a["x"].reshape(len(a["x"]), -1), jnp.float32) / 255
    y = jnp.asarray(a["y"], jnp.int32)

    def begin() -> Any:
        p = [jnp.asarray(a[f"p{i}"]) for i in range(4)]
        return p, [jnp.zeros_like(q) for q in p], [jnp.zeros_like(q) for q in p], jnp.float32(0)

    one = jax.jit(lambda state, rows: advance(state, (x[rows], y[rows])), donate_argnums=0)
    every = jax.jit(lambda state, order: jax.lax.scan(lambda s, rows: advance(s, (x[rows], y[rows])), state, order))
    rng, held = np.random.default_rng(0), [begin()]

    def run() -> None:
        order = rng.permutation(len(x)).astype(np.int32).reshape(steps, batch)
        if scanned:
            held[0], _ = every(held[0], order)
        else:
            for rows in order:
                held[0], _ = one(held[0], rows)
        jax.block_until_ready(held[0])

    state, losses = begin(), []
    for rows in np.arange(10 * batch, dtype=np.int32).reshape(10, batch):
        state, loss = one(state, rows)
        losses.append(float(loss))
    return worker.Run(run, {"losses": np.array(losses)})


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.sizes.get("model") == "mlp":
        yield "jit, a step", partial(training, w, a, False)
        yield "jit, scan", partial(training, w, a, True)


if __name__ == "__main__":
    worker.serve(sys.modules["__main__"])
