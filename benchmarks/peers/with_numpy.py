"""The readable reference: xpnn on its numpy backend."""

from __future__ import annotations

import xpnn
from xpnn_benchmarks.peers import with_xpnn, worker

if __name__ == "__main__":
    xpnn.use("numpy")
    worker.serve(with_xpnn)
