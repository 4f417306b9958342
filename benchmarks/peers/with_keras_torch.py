"""Keras' side again, on PyTorch: its backend is chosen once in a process."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

from xpnn_benchmarks.peers import with_keras, worker

if __name__ == "__main__":
    worker.serve(with_keras)
