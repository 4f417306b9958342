from __future__ import annotations

import errno
import http.server
import os
import threading

import pytest

from xpnn.data import download
from xpnn.errors import DataError

CONTENT = bytes(range(256)) * 1000


class Mirror(http.server.ThreadingHTTPServer):
    """A loopback mirror that can refuse ranges, break off, send wrong bytes, or fail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.break_after: list[int] = []  # bytes of each answer after which the connection drops
        self.status = 0
        self.asked: list[str | None] = []

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/file"

    def handle_error(self, request, client_address) -> None:
        """Broken pipes are part of the game."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_HEAD(self) -> None:
        self.send_response(self.server.status or 200)
        self.end_headers()

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if self.server.status or start >= len(self.server.content):
            self.send_response(self.server.status or 416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.server.content[start:]
        self.send_response(206 if wanted and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.break_after:
            body = body[: self.server.break_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        """Quiet."""


@pytest.fixture
def mirror():
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "file"


def verify(path):
    if path.read_bytes() != CONTENT:
        raise DataError(f"{path.name}: wrong content")
    return "verified"


def files(target) -> list[str]:
    return sorted(os.listdir(target.parent))


def test_a_plain_download(mirror, target):
    assert download.fetch([mirror.url()], target, verify) == "verified"
    assert target.read_bytes() == CONTENT
    assert files(target) == ["file"]
    assert mirror.asked == [None]


def test_with_a_progress_bar(mirror, target, capsys):
    download.fetch([mirror.url()], target, verify, show=True)
    assert capsys.readouterr().out == ""


def test_a_broken_connection_is_taken_up_where_it_broke(mirror, target):
    mirror.break_after = [131_072, 65_536]
    download.fetch([mirror.url()], target, verify)
    assert mirror.asked == [None, "bytes=131072-", "bytes=196608-"]
    assert target.read_bytes() == CONTENT


def test_an_earlier_run_is_continued(mirror, target):
    mirror.break_after = [131_072, 0]
    with pytest.raises(DataError, match=r"file could not be downloaded: 127\.0\.0\.1: "):
        download.fetch([mirror.url()], target, verify)
    assert files(target) == ["file.127.0.0.1.part"]
    mirror.asked.clear()
    download.fetch([mirror.url()], target, verify)
    assert mirror.asked == ["bytes=131072-"]
    assert files(target) == ["file"]


def test_a_server_that_ignores_ranges_starts_over(mirror, target):
    mirror.ranges = False
    mirror.break_after = [100_000]
    download.fetch([mirror.url()], target, verify)
    assert target.read_bytes() == CONTENT


def test_a_part_that_was_already_whole(mirror, target):
    target.parent.mkdir()
    target.with_name("file.127.0.0.1.part").write_bytes(CONTENT)
    download.fetch([mirror.url()], target, verify)
    assert files(target) == ["file"]


@pytest.mark.parametrize("junk", [b"junk" * 10, CONTENT + b"too much"])
def test_a_part_with_wrong_bytes_is_fetched_anew(mirror, target, junk):
    target.parent.mkdir()
    target.with_name("file.127.0.0.1.part").write_bytes(junk)
    download.fetch([mirror.url()], target, verify)
    assert mirror.asked == [f"bytes={len(junk)}-", None]
    assert target.read_bytes() == CONTENT


def test_wrong_content_sends_us_to_the_next_mirror(mirror, target):
    with Mirror() as bad:
        thread = threading.Thread(target=bad.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        bad.content = b"<html>please log in</html>"
        try:
            assert download.fetch([bad.url("localhost"), mirror.url()], target, verify) == "verified"
            target.unlink()
            with pytest.raises(DataError, match=r"localhost: .*wrong content"):
                download.fetch([bad.url("localhost")], target, verify)
        finally:
            bad.shutdown()
            thread.join()
    assert files(target) == []


@pytest.mark.parametrize("status", [404, 500])
def test_refusals_are_listed(mirror, target, status):
    mirror.status = status
    dead = "http://localhost:9/file"
    with pytest.raises(DataError, match=rf"localhost: ConnectionError; 127\.0\.0\.1: HTTP {status}") as error:
        download.fetch([dead, mirror.url()], target, verify)
    assert "\n" not in str(error.value)
    assert not target.exists()


def test_who_answers(mirror):
    dead = "http://127.0.0.1:9/file"
    assert download.reachable([dead, mirror.url()]) == [mirror.url()]
    mirror.status = 403
    assert download.reachable([mirror.url(), dead]) == [mirror.url()]


def test_a_cache_that_cannot_be_made(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match=r"cannot be written: (not a directory|file exists)"):
        download.fetch([mirror.url()], tmp_path / "file" / "deeper", verify)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("step", ["write", "open", "fsync", "replace"])
def test_disk_trouble_leaves_nothing_and_asks_no_second_mirror(mirror, target, monkeypatch, code, step):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    if step == "write":
        real = download._Part.__init__

        def with_full_disk(self, path, file, advance):
            class Full:
                write = staticmethod(fail)
                truncate = file.truncate

            real(self, path, Full(), advance)

        monkeypatch.setattr(download._Part, "__init__", with_full_disk)
    elif step == "open":
        monkeypatch.setattr("builtins.open", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(DataError, match=f"cannot be written: {os.strerror(code).lower()}") as error:
        download.fetch([mirror.url(), mirror.url("localhost")], target, verify)
    monkeypatch.undo()
    assert "\n" not in str(error.value)
    assert len(mirror.asked) <= 1
    assert not target.exists()
    if step != "replace":  # the verified content is kept there: the next run needs only the rename
        assert files(target) == []
