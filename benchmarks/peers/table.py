"""The comparison: every work of `works.py` on xpnn and on its peers, each in a process of its own, in turn.

    python -m xpnn_benchmarks.peers.table [--only PATTERN] [--rounds 5] [--peers torch jax] [--json FILE]

A ratio is the time of the peer divided by ours, in the same round: above 1 we are faster. Shown are the median over the
rounds, the smallest and the largest. Every side runs what is fastest there: PyTorch NCHW or channels_last, eager or
compiled; xpnn as it is called or recorded. Numbers that differ are named instead of timed. The ceiling is that of a
large matrix product or, for works that move bytes, of a large copy, measured before: what stays in a cache may pass it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from xpnn_benchmarks.peers.race import Lane, Side, race
from xpnn_benchmarks.peers.works import WORKS, Work, has_mnist

PEERS = ("torch", "jax", "sklearn", "numpy", "objects")


def row(work: Work, lanes: list[Lane], ceilings: dict[str, float]) -> dict[str, Any]:
    """Everything that was found out about a work, as plain data."""
    ours = lanes[0]
    found: dict[str, Any] = {"work": work.name, "lanes": [vars(lane) for lane in lanes], "peers": {}}
    if not ours.seconds:
        return found
    found["ms"] = 1e3 * median(ours.seconds) * work.parts
    for unit, amount in (("gflops", work.flops), ("gbytes", work.nbytes)):
        if amount:
            rate = 1e-9 * amount / (1e-3 * found["ms"])
            found |= {"unit": unit, "rate": rate, "of_ceiling": rate / ceilings[unit]}
    for lane in lanes[1:]:
        if lane.seconds:
            ratios = [theirs / mine for theirs, mine in zip(lane.seconds, ours.seconds, strict=True)]
            found["peers"][lane.side] = {
                "ms": 1e3 * median(lane.seconds) * work.parts,
                "ratio": median(ratios),
                "least": min(ratios),
                "most": max(ratios),
            }
    return found


def duration(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.3g} s"


def ratio(found: dict[str, Any], peer: str) -> str:
    if peer in found["peers"]:
        p = found["peers"][peer]
        return f"{p['ratio']:.2f} ({p['least']:.2f}-{p['most']:.2f})"
    lane = next(lane for lane in found["lanes"] if lane["side"] == peer)
    return "" if "does not know" in lane["why_not"] else "-"


def show(console: Console, rows: list[dict[str, Any]], peers: list[str], ceilings: dict[str, float]) -> None:
    table = Table(title=f"ceiling {ceilings['gflops']:.0f} GFLOP/s, {ceilings['gbytes']:.0f} GB/s copied")
    for name in ("work", "xpnn", *[f"{peer} / xpnn" for peer in peers], "achieved", "of ceiling"):
        table.add_column(name, justify="left" if name == "work" else "right", no_wrap=True)
    for found in rows:
        rate = f"{found['rate']:.0f} {'GFLOP/s' if found['unit'] == 'gflops' else 'GB/s'}" if "rate" in found else ""
        share = f"{100 * found['of_ceiling']:.0f} %" if "rate" in found else ""
        table.add_row(found["work"], duration(found.get("ms")), *[ratio(found, peer) for peer in peers], rate, share)
    console.print(table)
    for found in rows:
        known = [lane for lane in found["lanes"] if "does not know" not in lane["why_not"]]
        fastest = ", ".join(f"{lane['side']} {lane['variant']}" for lane in known if lane["seconds"])
        left_out = [f"{lane['side']}: {lane['why_not']}" for lane in known if lane["why_not"]]
        left_out += [f"{lane['side']} {form}: {why}" for lane in known for form, why in lane["failed"].items()]
        console.print(
            f"{found['work']}: fastest {fastest}" + "".join(f"; without {why}" for why in left_out), highlight=False
        )
    if any("MNIST" in found["work"] for found in rows) and not has_mnist():
        console.print("MNIST was not found (XPNN_DATA): its pixels are random, which takes the same time")


def present(peers: list[str]) -> list[str]:
    """The peers that can be imported; the others are named and left out."""
    found = []
    for peer in peers:
        library = {"sklearn": "sklearn", "torch": "torch", "jax": "jax"}.get(peer)
        if library and importlib.util.find_spec(library) is None:
            print(f"{peer}: not installed, left out (pip install 'xpnn[peers]')", file=sys.stderr)
        else:
            found.append(peer)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="works whose name matches this regular expression")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=["torch", "jax", "sklearn"], choices=PEERS)
    parser.add_argument("--json", type=Path, help="write everything there too")
    args = parser.parse_args()
    works = [work for work in WORKS if re.search(args.only, work.name)]
    if not works:
        parser.error("--only: expected part of the name of a work; they are\n" + "\n".join(work.name for work in WORKS))
    peers = present(args.peers)
    command = [sys.executable, "-m", "xpnn_benchmarks.ceiling"]  # not here: its threads would meet those of the sides
    ceilings = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    sides = [Side(name) for name in ("xpnn", *peers)]
    rows = []
    for work in works:
        rows.append(row(work, race(work, sides, args.rounds), ceilings))
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for side in sides:
        side.close()
    show(Console(width=None if sys.stdout.isatty() else 200), rows, peers, ceilings)
    if args.json:
        args.json.write_text(json.dumps({"ceilings": ceilings, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
