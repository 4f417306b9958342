"""The set-up of the tutorials: sigmoid units, one sample at a time, targets 0.1 and 0.9, plain gradient descent.

First with the objects that one writes first, then with arrays, from the same weights: the same numbers come out. (On a
network this small, one sample at a time, arrays gain little; batches and larger layers are where they win.)

python examples/classic.py
"""

from __future__ import annotations

import copy
import time

import numpy as np

import xpnn
from xpnn import nn, optim
from xpnn.baseline import Network
from xpnn.data import digits

SAMPLES, RATE = 300, 0.3


def main() -> None:
    train, test = (part.one_hot(0.1, 0.9) for part in digits())
    few = train[:SAMPLES]
    x, targets = few.x.reshape(SAMPLES, 64) * few.scale, few.y

    objects = Network([64, 30, 10])
    with xpnn.use("numba"):
        model = nn.Sequential(
            nn.Flatten(), nn.Dense(64, 30, activation="sigmoid"), nn.Dense(30, 10, activation="sigmoid")
        )
    for layer, (w, b) in zip(list(model)[1:], objects.weights(), strict=True):
        layer.w.assign(np.asarray(w))
        layer.b.assign(np.asarray(b))
    trainer = xpnn.Trainer(model, optim.SGD(lr=RATE), loss="half_sum_of_squares", metrics=["accuracy"])
    compiled = xpnn.Trainer(copy.deepcopy(model), optim.SGD(lr=RATE), loss="half_sum_of_squares")
    compiled.fit(few[:2], epochs=1, batch_size=1, progress=False)  # so that the clock below sees no compiler

    start = time.perf_counter()
    objects.train(targets.tolist(), x.tolist(), RATE, epochs=1)
    objects_s = time.perf_counter() - start
    start = time.perf_counter()
    trainer.fit(few, epochs=1, batch_size=1, shuffle=False, progress=False)
    arrays_s = time.perf_counter() - start

    one = x[:1].reshape(1, 8, 8, 1)
    print("objects:", np.round(objects.predict(x[0].tolist()), 4))
    print("arrays: ", trainer.predict(one)[0].round(4))
    print(f"{SAMPLES} samples took {objects_s:.2f} s with objects and {arrays_s:.2f} s with arrays")

    trainer.fit(train, epochs=20, batch_size=1, progress=False)
    print(f"after 20 epochs of all {len(train)}: {trainer.evaluate(test)['accuracy']:.1%} right on the test digits")


if __name__ == "__main__":
    main()
