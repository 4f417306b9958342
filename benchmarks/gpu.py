"""Everything that is to hold on a GPU, in one command and under 8 minutes: one table, and a JSON file.

    python benchmarks/gpu.py [--json FILE] [--quick] [--data FOLDER] [--budget SECONDS] [--no-tests] [--only PATTERN]

so from a checkout that is not installed: the packages are then those of this checkout, here and in every process that
is started. Where xpnn is installed, `python -m xpnn_benchmarks.gpu` is the same. It needs a GPU, CuPy, and what xpnn
itself depends on; PyTorch is the peer, nvmath-python the library of large products, and what is missing is said.

Numbers are checked before anything is timed. Every row runs in a process of its own making: one that fails, or that
takes too long, costs the others nothing. The JSON file is whole after every row. The exit status is 1 if a test, a
check or a row failed; a time that falls short is shown and is no failure of the run.
"""

from __future__ import annotations

import argparse
import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

NEEDED = ("numpy", "numba", "threadpoolctl", "array-api-compat", "safetensors", "rich")
PACKAGES = {"xpnn": "xpnn", "xpnn_kernels": "kernels", "xpnn_benchmarks": "benchmarks"}


def use_checkout() -> None:
    """`import xpnn` finds the checkout around this file, in this process and those that it starts."""
    root = Path(__file__).resolve().parent.parent
    links = tempfile.mkdtemp(prefix="xpnn-checkout-")
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    for name, folder in PACKAGES.items():
        Path(links, name).symlink_to(root / folder, target_is_directory=True)
    sys.path[0] = links  # was this file's folder
    os.environ["PYTHONPATH"] = os.pathsep.join([links, *filter(None, [os.environ.get("PYTHONPATH")])])


def missing() -> list[str]:
    """What xpnn itself depends on and is not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name.replace("-", "_")) is None]


def main(arguments: list[str] | None = None) -> int:
    if absent := missing():
        print(f"gpu.py: {', '.join(absent)} are not installed; pip install {' '.join(absent)}", file=sys.stderr)
        return 2
    from xpnn.errors import XpnnError
    from xpnn_benchmarks.on_gpu import session

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write everything there, after every row")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, nothing compiled by PyTorch")
    parser.add_argument("--data", help="the folder with MNIST; else XPNN_DATA")
    parser.add_argument("--budget", type=float, default=450, help="seconds after which no row is begun")
    parser.add_argument("--no-tests", dest="tests", action="store_false", help="leave out the tests on the GPU")
    parser.add_argument("--only", default="", help="rows whose name matches this regular expression")
    args = parser.parse_args(arguments)
    if args.data:
        os.environ["XPNN_DATA"] = args.data
    try:
        return session.run(args)
    except XpnnError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    if not __package__:
        use_checkout()
    sys.exit(main())
