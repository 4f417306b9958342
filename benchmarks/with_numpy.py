"""The readable reference: xpnn on its numpy backend."""

from __future__ import annotations

import with_xpnn
import worker

import xpnn

if __name__ == "__main__":
    xpnn.use("numpy")
    worker.serve(with_xpnn)
