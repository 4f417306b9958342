"""kill -9 at twenty random moments: what comes out at the end is what an undisturbed run gives."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("training_to_kill.py")
EPOCHS, KILLS = 30, 20


def start(path, backend):
    command = [sys.executable, str(SCRIPT), str(path), backend, str(EPOCHS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(path, backend):
    process = start(path, backend)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_resume_after_kill(tmp_path, backend):
    whole = finish(tmp_path / "whole", backend)
    assert whole.startswith(f"done {45 * EPOCHS} ")
    moments = random.Random(5)
    path, kills, steps_seen = tmp_path / "killed", 0, 0
    while kills < KILLS:
        process = start(path, backend)
        assert process.stdout is not None
        # A random step of this process's own, then a random part of a step (saving takes most of one).
        wait = moments.randint(1, 60)
        lines = [line for line in (process.stdout.readline() for _ in range(wait)) if line]
        time.sleep(moments.uniform(0, 0.01))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert "done" not in rest, "the run is too short for so many kills"
        kills += 1
        steps_seen += len(lines)
    assert steps_seen > KILLS
    assert finish(path, backend) == whole
