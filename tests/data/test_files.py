"""Files that appear whole or not at all, and what killed writers leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from xpnn.data import files
from xpnn.errors import DataError

KILLED = """
import os, signal, sys
from xpnn.data.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def dead():
    """The id of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "a.b[c]"
    path.write_bytes(b"old")
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert path.read_bytes() == b"old"
        assert len(os.listdir(tmp_path)) == 2  # the second removed what the first had left
    files.write_whole(path, [b"new"])
    assert os.listdir(tmp_path) == [path.name]


def test_only_what_is_surely_nobodys_is_removed(tmp_path):
    gone = dead()
    mine = {f".a.{gone}.tmp", f".a.{gone}-3.tmp"}
    others = {
        *(f".a.{os.getpid()}-7.tmp", f".a.{os.getppid()}.tmp", ".a.1.tmp", f".a.{2**70}.tmp", ".a.0.tmp", ".a.tmp"),
        *(f".b.{gone}.tmp", f".aa.{gone}.tmp", f".a.b.{gone}.tmp", f".a.5.{gone}-1.tmp", f"a.{gone}.tmp"),
        *(f".a.{gone}.tmp.bak", f".a.x{gone}.tmp", f".a.-{gone}.tmp"),
    }
    for name in mine | others:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / f".a.{gone}-9.tmp").mkdir()  # cannot be unlinked: no reason to fail
    files.write_whole(tmp_path / "a", [b"new"])
    assert set(os.listdir(tmp_path)) == others | {"a", f".a.{gone}-9.tmp"}


def test_a_process_of_another_user_is_alive(tmp_path, monkeypatch):
    (tmp_path / ".a.77.tmp").write_bytes(b"")

    def forbidden(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    files.write_whole(tmp_path / "a", [b"new"])
    assert sorted(os.listdir(tmp_path)) == [".a.77.tmp", "a"]


def test_two_threads_write_the_same_path_and_both_are_whole(tmp_path):
    path, both, seen, errors = tmp_path / "a", threading.Barrier(2), [], []

    def write(content):
        try:
            with files.replacing(path) as file:
                both.wait(10)
                file.write(content)
                both.wait(10)
            seen.append(path.read_bytes())
        except Exception as error:
            errors.append(error)
            both.abort()

    contents = [b"1" * 100_000, b"2" * 50_000]
    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all(content in contents for content in seen)
    assert os.listdir(tmp_path) == ["a"]


def test_a_signal_handler_saves_while_its_thread_saves(tmp_path):
    """The inner file is whole at once, and the outer one replaces it: neither writes into the other."""
    path = tmp_path / "a"
    with files.replacing(path) as outer:
        outer.write(b"out")
        files.write_whole(path, [b"inner"])
        assert path.read_bytes() == b"inner"
        outer.write(b"er")
    assert path.read_bytes() == b"outer"
    assert os.listdir(tmp_path) == ["a"]
    assert not files._writing


def test_a_failure_gives_its_name_back(tmp_path):
    with pytest.raises(KeyError), files.replacing(tmp_path / "a"):
        raise KeyError
    assert not os.listdir(tmp_path)
    assert not files._writing


@pytest.mark.parametrize("path", ["", ".", "/", "a\0b"])
def test_names_that_no_file_can_have(path):
    with pytest.raises(DataError, match="cannot be written: expected the name of a file"):
        files.write_whole(path, [b""])
