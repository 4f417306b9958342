"""Every reference under `array_api_strict`, which has what the standard promises and nothing else."""

from __future__ import annotations

import array_api_strict
import pytest

from xpnn import check


@pytest.mark.filterwarnings("ignore::UserWarning")  # array_api_strict on its own draft features
def test_strict(op, case):
    check.strict(op, case, array_api_strict)
