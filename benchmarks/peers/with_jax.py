"""JAX's side, for training: a jitted step with an Adam of its own, batch by batch or scanned over the epoch.

XLA's convolution is slow backward on a CPU, so that a product with the patches of the image is tried too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from xpnn_benchmarks.peers import worker
from xpnn_benchmarks.peers.works import Arrays, Work

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
Weights = list[jax.Array]
Conv = Callable[..., jax.Array]


def by_lax(x: jax.Array, w: jax.Array, b: jax.Array, padding: int = 0) -> jax.Array:
    around = [(padding, padding)] * 2
    return nn.relu(lax.conv_general_dilated(x, w, (1, 1), around, dimension_numbers=("NHWC", "HWIO", "NHWC")) + b)


def by_product(x: jax.Array, w: jax.Array, b: jax.Array, padding: int = 0) -> jax.Array:
    KH, KW, _, O = w.shape
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    H, W = x.shape[1] - KH + 1, x.shape[2] - KW + 1
    patches = [x[:, i : i + H, j : j + W] for i in range(KH) for j in range(KW)]
    return nn.relu(jnp.concatenate(patches, -1) @ w.reshape(-1, O) + b)


def pool(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def head(x: jax.Array, p: Weights) -> jax.Array:
    """The dense layers that a classifier ends with."""
    x = x.reshape(len(x), -1)
    for i in range(0, len(p) - 2, 2):
        x = nn.relu(x @ p[i] + p[i + 1])
    return x @ p[-2] + p[-1]


def cnn(conv: Conv, x: jax.Array, p: Weights) -> jax.Array:
    return head(pool(conv(conv(x, *p[:2]), *p[2:4])), p[4:])


def lenet5(conv: Conv, x: jax.Array, p: Weights) -> jax.Array:
    return head(pool(conv(pool(conv(x, *p[:2], 2)), *p[2:4])), p[4:])


def char_lstm(ids: jax.Array, p: Weights) -> jax.Array:
    embedding, w, u, b, *last = p

    def cell(state: Any, z: jax.Array) -> Any:
        h, c = state
        i, f, g, o = jnp.split(z + h @ u, 4, -1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((len(ids), len(u)))
    _, h = lax.scan(cell, (start, start), embedding[ids.T] @ w + b)
    return h.swapaxes(0, 1) @ last[0] + last[1]


CONVOLUTIONAL = {"cnn": cnn, "lenet5": lenet5}
FORWARD = {"mlp": head, "char_lstm": char_lstm}


def training(w: Work, a: Arrays, forward: Callable[..., jax.Array], scanned: bool) -> worker.Run:
    batch, steps = w.sizes["batch"], w.sizes["steps"]
    x, y = jnp.asarray(a["x"]), jnp.asarray(a["y"], jnp.int32)
    if a["x"].dtype == np.uint8:
        x = x.astype(jnp.float32) / 255

    def objective(p: Weights, rows: jax.Array) -> jax.Array:
        logs = nn.log_softmax(forward(x[rows], p))
        return -jnp.take_along_axis(logs, y[rows][..., None], -1).mean()

    def advance(state: Any, rows: jax.Array) -> tuple[Any, jax.Array]:
        """One step of Adam: state (weights, m, v, steps done)."""
        p, m, v, t = state
        loss, g = jax.value_and_grad(objective)(p, rows)
        t = t + 1
        m = [BETA1 * a + (1 - BETA1) * b for a, b in zip(m, g, strict=True)]
        v = [BETA2 * a + (1 - BETA2) * b * b for a, b in zip(v, g, strict=True)]
        rate, scale = LR / (1 - BETA1**t), 1 / (1 - BETA2**t)
        p = [a - rate * b / (jnp.sqrt(c * scale) + EPS) for a, b, c in zip(p, m, v, strict=True)]
        return (p, m, v, t), loss

    def begin() -> Any:
        p = [jnp.asarray(a[f"p{i}"]) for i in range(len(a) - 2)]
        return p, [jnp.zeros_like(q) for q in p], [jnp.zeros_like(q) for q in p], jnp.float32(0)

    one = jax.jit(advance, donate_argnums=0)
    every = jax.jit(partial(lax.scan, advance), donate_argnums=0)
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
    for rows in np.arange(len(x), dtype=np.int32).reshape(steps, batch)[:10]:
        state, loss = one(state, rows)
        losses.append(float(loss))
    return worker.Run(run, {"losses": np.array(losses)})


def variants(w: Work, a: Arrays) -> Iterator[tuple[str, Callable[[], worker.Run]]]:
    if w.kind != "training":
        return
    model = w.sizes["model"]
    if model in CONVOLUTIONAL:
        forms: dict[str, Any] = {
            f", {conv.__name__}": partial(CONVOLUTIONAL[model], conv) for conv in (by_lax, by_product)
        }
    else:
        forms = {"": FORWARD[model]}
    times: dict[str, Any] = {}
    for form, forward in forms.items():
        times[form] = yield f"jit, a step{form}", partial(training, w, a, forward, False)
    best = min(forms, key=lambda form: times[form] or float("inf"))
    yield f"jit, scan{best}", partial(training, w, a, forms[best], True)


if __name__ == "__main__":
    worker.serve(sys.modules["__main__"])
