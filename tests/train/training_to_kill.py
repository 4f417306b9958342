"""A training that saves every few steps and goes on from what was saved; test_kill.py kills it.

usage: training_to_kill.py CHECKPOINT BACKEND EPOCHS; prints a line a step, and a digest of the weights at the end.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import xpnn
from xpnn import data, nn, optim
from xpnn.train import Callback, Checkpoint


class Say(Callback):
    def on_step_end(self, trainer, loss):
        print(trainer.step, flush=True)


def main(path: Path, backend: str, epochs: int) -> None:
    train, _ = data.digits()
    xpnn.use(backend)
    xpnn.seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Dense(64, 24, activation="relu"), nn.Dropout(0.3), nn.Dense(24, 10))
    trainer = xpnn.Trainer(
        model,
        optim.Adam(lr=1e-3),
        callbacks=[Checkpoint(path, every_steps=3), Say()],
        schedule=optim.schedule.Cosine(5),
    )
    resume = path if path.exists() else None
    trainer.fit(train, epochs=epochs, batch_size=32, progress=False, resume=resume)
    weights = b"".join(a.tobytes() for a in model.state().values())
    print("done", trainer.step, hashlib.sha256(weights).hexdigest(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
