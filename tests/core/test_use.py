"""use: the backend for the process, or for a block of one thread."""

from __future__ import annotations

import threading

import pytest

import xpnn
from xpnn.errors import BackendError

pytestmark = pytest.mark.usefixtures("default_restored")


def test_use_for_the_process(elsewhere):
    assert xpnn.current_backend().name == "numpy"
    xpnn.use("elsewhere")
    assert xpnn.tensor([1.0]).backend is elsewhere
    xpnn.use("numpy")
    assert xpnn.tensor([1.0]).backend.name == "numpy"


def test_use_for_a_block(elsewhere):
    with xpnn.use("elsewhere") as inside:
        assert inside is elsewhere
        assert xpnn.current_backend() is elsewhere
        with xpnn.use("numpy"):
            assert xpnn.current_backend().name == "numpy"
        assert xpnn.current_backend() is elsewhere
    assert xpnn.current_backend().name == "numpy"


def test_use_ends_with_an_error_too(elsewhere):
    with pytest.raises(KeyError), xpnn.use("elsewhere"):
        raise KeyError
    assert xpnn.current_backend().name == "numpy"


def test_use_of_a_wrong_name_changes_nothing():
    with pytest.raises(BackendError):
        xpnn.use("nowhere")
    assert xpnn.current_backend().name == "numpy"


def test_use_inside_a_block_lasts_beyond_it(elsewhere):
    with xpnn.use("numpy"):
        xpnn.use("elsewhere")  # for the process, and the block goes first
        assert xpnn.current_backend().name == "numpy"
    assert xpnn.current_backend() is elsewhere


def test_a_block_is_for_its_thread(elsewhere):
    seen = []
    with xpnn.use("elsewhere"):
        thread = threading.Thread(target=lambda: seen.append(xpnn.current_backend().name))
        thread.start()
        thread.join()
    assert seen == ["numpy"]


def test_blocks_of_two_threads_that_overlap(elsewhere):
    """Both blocks are made before either is entered; afterwards the process is where it was."""
    first = xpnn.use("elsewhere")
    second = xpnn.use("elsewhere")
    with first:
        pass
    with second:
        pass
    assert xpnn.current_backend().name == "numpy"


def test_one_block_entered_twice(elsewhere):
    block = xpnn.use("elsewhere")
    with block, block:
        assert xpnn.current_backend() is elsewhere
    assert xpnn.current_backend().name == "numpy"


def test_tensors_stay_where_they_are(elsewhere):
    x = xpnn.tensor([1.0])
    with xpnn.use("elsewhere"):
        assert (x * 2).backend.name == "numpy"
