"""The libraries whose start is compared: how each is imported, and a first step of training as one writes it there.

The step is one of Adam on a batch of 64, for the MLP 784-300-10.
"""

from __future__ import annotations

from typing import NamedTuple


class Library(NamedTuple):
    """distributions: what one installs to use it so; compiled: the environment variable that names the folder where it
    keeps what it compiles, "" where it keeps nothing."""

    name: str
    imports: str
    step: str
    distributions: tuple[str, ...]
    compiled: str = ""


NUMPY = Library("numpy", "import numpy as np", "", ("numpy",))
XPNN = Library(
    "xpnn",
    "import numpy as np, xpnn",
    """
from xpnn import nn, optim
xpnn.use("numba")
model = nn.Sequential(nn.Flatten(), nn.Dense(784, 300, activation="relu"), nn.Dense(300, 10))
batch = xpnn.data.Dataset(np.full((64, 28, 28, 1), 7, np.uint8), np.arange(64) % 10, scale=1 / 255)
xpnn.Trainer(model, optim.Adam(lr=1e-3)).fit(batch, epochs=1, progress=False)
""",
    ("xpnn",),
    "NUMBA_CACHE_DIR",
)
TORCH = Library(
    "torch",
    "import torch",
    """
from torch import nn
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))
adam = torch.optim.Adam(model.parameters(), lr=1e-3)
loss = nn.CrossEntropyLoss()(model(torch.full((64, 1, 28, 28), 7 / 255)), torch.arange(64) % 10)
loss.backward()
adam.step()
loss.item()
""",
    ("torch",),
)
JAX = Library(
    "jax",
    "import jax, jax.numpy as jnp",
    """
def objective(p, x, y):
    logits = jax.nn.relu(x @ p[0] + p[1]) @ p[2] + p[3]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

@jax.jit
def step(p, m, v, t, x, y):
    g = jax.grad(objective)(p, x, y)
    m = [0.9 * a + 0.1 * b for a, b in zip(m, g)]
    v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g)]
    rate, scale = 1e-3 / (1 - 0.9**t), 1 / (1 - 0.999**t)
    return [a - rate * b / (jnp.sqrt(c * scale) + 1e-8) for a, b, c in zip(p, m, v)], m, v, t + 1

keys = jax.random.split(jax.random.key(0))
p = [0.05 * jax.random.normal(keys[0], (784, 300)), jnp.zeros(300)]
p += [0.08 * jax.random.normal(keys[1], (300, 10)), jnp.zeros(10)]
zeros = [jnp.zeros_like(a) for a in p]
jax.block_until_ready(step(p, zeros, zeros, 1.0, jnp.full((64, 784), 7 / 255), jnp.arange(64) % 10))
""",
    ("jax",),
)
KERAS = Library(
    "keras",
    """
import os
os.environ["KERAS_BACKEND"] = "jax"
import keras, numpy as np
""",
    """
from keras import layers
model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(300, "relu"), layers.Dense(10)])
model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
float(model.train_on_batch(np.full((64, 28, 28, 1), 7 / 255, np.float32), np.arange(64) % 10))
""",
    ("keras", "jax"),
)
SKLEARN = Library(
    "sklearn",
    "import numpy as np\nfrom sklearn.neural_network import MLPClassifier",
    """
x = np.full((64, 784), 7 / 255, np.float32)
MLPClassifier((300,), batch_size=64).partial_fit(x, np.arange(64) % 10, classes=range(10))
""",
    ("scikit-learn",),
)
TINYGRAD = Library(
    "tinygrad",
    "from tinygrad import Context, Tensor, nn",
    """
hidden, last = nn.Linear(784, 300), nn.Linear(300, 10)
adam = nn.optim.Adam(nn.state.get_parameters([hidden, last]), lr=1e-3)
with Context(TRAINING=1):
    x = Tensor.full((64, 784), 7 / 255).contiguous()
    loss = last(hidden(x).relu()).sparse_categorical_crossentropy(Tensor.arange(64) % 10)
    loss.backward()
    loss.realize(*adam.schedule_step()).item()
""",
    ("tinygrad",),
    "XDG_CACHE_HOME",
)
LIBRARIES = {library.name: library for library in (NUMPY, XPNN, TORCH, JAX, KERAS, SKLEARN, TINYGRAD)}
