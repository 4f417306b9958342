"""The tests that tell the most on a GPU: every op against the reference, recorded, and at sizes that matter."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xpnn

LIMIT_S = 120
TESTS = ("tests/generated/test_parity.py", "tests/generated/test_plan.py", "tests/cuda_cpu/test_sizes.py")


def run(selected: Sequence[str] = TESTS, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """The generated tests on the GPU: {"passed", "failed", "skipped", "text", "red": names}; {"text"} without them."""
    root = Path(xpnn.__file__).resolve().parents[1]
    if not (root / "tests").is_dir():
        return {"text": "not run: this is no checkout", "failed": 0}
    if importlib.util.find_spec("pytest") is None:
        return {"text": "not run: pytest is missing", "failed": 0}
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={results}",
            "-k",
            "cuda",
        ]
        if importlib.util.find_spec("xdist") is not None:
            command += ["-n", str(min(8, os.cpu_count() or 1))]
        env = {**os.environ, "XPNN_TEST_GPU": "1"}
        try:
            done = subprocess.run(
                [*command, *selected], cwd=root, env=env, capture_output=True, text=True, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            return {"text": f"stopped after {limit_s:.0f} s", "failed": 1, "red": []}
        if not results.exists():
            lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
            return {"text": f"did not run: {lines[-1]}", "failed": 1, "red": []}
        return counted(ElementTree.parse(results).getroot())


def counted(tree: ElementTree.Element) -> dict[str, Any]:
    """What a JUnit file says."""
    cases = list(tree.iter("testcase"))
    red = [case.get("name", "") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    left = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(red) - left
    failed = max(len(red), 0 if passed else 1)  # no test that ran is no success
    text = f"{passed} passed, {len(red)} failed, {left} skipped"
    return {"passed": passed, "failed": failed, "skipped": left, "text": text, "red": red}
