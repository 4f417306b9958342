"""The comparison: every work of `works.py` on xpnn and on its peers, each in a process of its own, in turn.

    python -m xpnn_benchmarks.peers.table [--only PATTERN] [--rounds 5] [--peers torch jax] [--json FILE]

A ratio is the time of the peer divided by ours, in the same round: above 1 we are faster. Shown are the median over the
rounds, the smallest and the largest. Every side runs what is fastest there: PyTorch NCHW or channels_last, eager or
compiled; JAX step by step or scanned; xpnn as it is called or recorded. Numbers that differ are named instead of timed,
and so are libraries that are absent; what a side does not know is left empty. The ceiling is that of a large matrix
product or, for works that move bytes, of a large copy, measured before: what stays in a cache may pass it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from xpnn.errors import ConfigError
from xpnn_benchmarks import peers
from xpnn_benchmarks.peers.rows import Row, measured_ceilings
from xpnn_benchmarks.peers.works import has_mnist
from xpnn_benchmarks.report.units import duration, number, percent

LIBRARIES = ["torch", "jax", "keras", "sklearn", "tinygrad"]
UNTOLD = ("does not know", "not installed")
"""Why a side has no time, where that is said by its empty field or once below the table."""


def ratio(found: dict[str, Any], peer: str) -> str:
    if peer in found["peers"]:
        p = found["peers"][peer]
        return f"{p['ratio']:.2f} ({p['least']:.2f}-{p['most']:.2f})"
    lane = next(lane for lane in found["lanes"] if lane["side"] == peer)
    return "-" if told(lane) else ""


def told(lane: dict[str, Any]) -> bool:
    return not any(why in lane["why_not"] for why in UNTOLD)


def show(console: Console, rows: list[Row], names: list[str], ceilings: dict[str, float]) -> None:
    table = Table(title=f"ceiling {ceilings['gflops']:.0f} GFLOP/s, {ceilings['gbytes']:.0f} GB/s copied")
    for name in ("work", "xpnn", *[f"{peer} / xpnn" for peer in names], "achieved", "of ceiling"):
        table.add_column(name, justify="left" if name == "work" else "right", no_wrap=True)
    for found in rows:
        ours = duration(1e-3 * found["ms"]) if "ms" in found else "-"
        rate = (
            f"{number(found['rate'])} {'GFLOP/s' if found['unit'] == 'gflops' else 'GB/s'}" if "rate" in found else ""
        )
        share = percent(found["of_ceiling"]) if "rate" in found else ""
        table.add_row(found["work"], ours, *[ratio(found, peer) for peer in names], rate, share)
    console.print(table)
    for found in rows:
        known = [lane for lane in found["lanes"] if told(lane)]
        fastest = ", ".join(f"{lane['side']} {lane['variant']}" for lane in known if lane["seconds"])
        left_out = [f"{lane['side']}: {lane['why_not']}" for lane in known if lane["why_not"]]
        left_out += [f"{lane['side']} {form}: {why}" for lane in known for form, why in lane["failed"].items()]
        console.print(
            f"{found['work']}: fastest {fastest}" + "".join(f"; without {why}" for why in left_out), highlight=False
        )
    for lane in rows[0]["lanes"] if rows else ():
        if "not installed" in lane["why_not"]:
            console.print(f"{lane['side']}: {lane['why_not']} (pip install 'xpnn[peers]')", highlight=False)
    if any("MNIST" in found["work"] for found in rows) and not has_mnist():
        console.print("MNIST was not found (XPNN_DATA): its pixels are random, which takes the same time")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="works whose name matches this regular expression")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=LIBRARIES, choices=peers.PEERS)
    parser.add_argument("--json", type=Path, help="write everything there too")
    args = parser.parse_args()
    ceilings, found = measured_ceilings(), []

    def keep(row: Row) -> None:
        found.append(row)
        print(".", end="", file=sys.stderr, flush=True)

    try:
        peers.run(args.peers, args.rounds, args.only, keep, ceilings)
    except ConfigError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted: what was measured so far", file=sys.stderr)
    print(file=sys.stderr)
    show(Console(width=None if sys.stdout.isatty() else 200), found, args.peers, ceilings)
    if args.json:
        args.json.write_text(json.dumps({"ceilings": ceilings, "rows": found}, indent=1))


if __name__ == "__main__":
    main()
