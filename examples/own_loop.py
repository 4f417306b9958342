"""A training loop of your own, and a model that changes its backend half-way.

python examples/own_loop.py
"""

from __future__ import annotations

import xpnn
from xpnn import losses, nn, optim
from xpnn.data import Batches, digits


def main() -> None:
    train, test = digits()
    xpnn.seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dense(64, 48, activation="relu"), nn.Dense(48, 10))
    optimizer = optim.Momentum(model, lr=0.05)

    for epoch in range(10):
        if epoch == 5:
            model.to("numba")  # weights, gradients and the optimizer's momentum move along
        for x, y in Batches(train, 32, model.backend, shuffle=True).epoch(epoch):
            loss = losses.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1:2} on {model.backend.device}: the last loss was {loss.item():.4f}")

    with xpnn.no_grad():
        (x, y), *_ = Batches(test, len(test), model.backend).epoch()
        right = (model.eval()(x).argmax(axis=1) == y).numpy().mean()
    print(f"right on the test digits: {right:.1%}")


if __name__ == "__main__":
    main()
