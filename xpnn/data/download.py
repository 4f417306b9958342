"""One file from the first mirror that has it: resumed where it stopped, kept only when its content is right."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from xpnn.data.files import reason
from xpnn.errors import DataError

CONNECT_S = 3.0  # for a mirror to answer at all, asked of all of them at once
READ_S = 20.0  # without a single byte, before a transfer counts as stalled
T = TypeVar("T")


def reachable(urls: Sequence[str], timeout_s: float = CONNECT_S) -> list[str]:
    """Those of `urls` whose server answers within `timeout_s`, in the order given.

    All are asked at once and from daemon threads: a resolver without a network can hang far longer than any
    timeout that Python lets one set, and nobody should wait for it mirror by mirror.
    """
    answers: queue.Queue[tuple[str, bool]] = queue.Queue()
    for url in urls:
        threading.Thread(target=lambda url=url: answers.put((url, _answers(url, timeout_s))), daemon=True).start()
    alive: set[str] = set()
    deadline = time.monotonic() + timeout_s
    for _ in urls:
        try:
            url, ok = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if ok:
            alive.add(url)
    return [url for url in urls if url in alive]


def _answers(url: str, timeout_s: float) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout_s):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True  # a server that refuses is a server; whether it has the file is seen when it is asked for it
    except Exception:
        return False


def fetch(urls: Sequence[str], target: Path, verify: Callable[[Path], T], show: bool = False) -> T:
    """Download `target` from the first of `urls` that delivers what `verify` accepts.

    Args:
        urls: the same file on several mirrors.
        target: where it goes; it appears there only complete, verified and synced.
        verify: called with the finished temporary file; raises DataError for wrong content. Its result is
            returned.
        show: a progress bar on standard error.

    An interrupted transfer stays as `<name>.<host>.part` and is continued next time (one per mirror, since
    gzip wrappers differ between copies). Wrong content is deleted. A full disk deletes the partial file as
    well: what it fills is needed. Raises DataError, listing each mirror's failure, when none worked.
    """
    failures = []
    for url in urls:
        part = target.with_name(f"{target.name}.{urlsplit(url).hostname}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            resumed = part.exists()
            try:
                _transfer(url, part, show)
                result = verify(part)
            except DataError:
                part.unlink(missing_ok=True)
                if not resumed:
                    raise
                # The kept beginning may have been the wrong half: one more try, from nothing.
                _transfer(url, part, show)
                result = verify(part)
            os.replace(part, target)
        except _Network as error:
            failures.append(f"{urlsplit(url).hostname}: {error}")
            continue
        except _Disk as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise DataError(str(error)) from error
        except DataError as error:
            part.unlink(missing_ok=True)
            failures.append(f"{urlsplit(url).hostname}: {error}")
            continue
        except OSError as error:
            raise DataError(f"{target}: cannot be written: {reason(error)}") from error
        for leftover in target.parent.glob(f"{target.name}.*.part"):
            leftover.unlink(missing_ok=True)
        return result
    raise DataError(f"{target.name} could not be downloaded: " + "; ".join(failures))


class _Network(Exception):
    """The mirror's fault; another may do better."""


class _Disk(Exception):
    """Our side's fault; no mirror will help."""


class _Part:
    """The partial file as pooch sees it: something to write to, which tells disk failures from network ones."""

    def __init__(self, path: Path, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self.path, self.file, self.advance = path, file, advance
        self.response: Any = None

    def write(self, chunk: bytes) -> None:
        try:
            self.file.write(chunk)
        except OSError as error:  # requests' own errors are OSErrors too, so this one must not travel as one
            raise _Disk(f"{self.path}: cannot be written: {reason(error)}") from error
        self.advance(len(chunk))

    def flush(self) -> None:
        """Left to the end: pooch flushes after every chunk."""

    def begin(self, response: Any, **_: Any) -> None:
        """Called with the headers: a server that ignored the Range sends all of it, so start over."""
        self.response = response
        if response.status_code == 200:
            self.file.truncate(0)


def _transfer(url: str, part: Path, show: bool) -> None:
    """Bring `part` to its end, going on after each broken connection for as long as that gets any further."""
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _append(url, part, show)
        except _Network:
            if not part.exists() or part.stat().st_size <= before:
                raise


def _append(url: str, part: Path, show: bool) -> None:
    """Append what is missing of `url` to `part`. Raises _Network (part kept) or _Disk."""
    import pooch
    import requests

    try:
        file = open(part, "ab")  # noqa: SIM115 - closed below, where a failing flush is told apart
    except OSError as error:
        raise _Disk(f"{part}: cannot be written: {reason(error)}") from error
    start = file.tell()
    # identity: a server must not unwrap the gzip on the way, or bytes and ranges would no longer match.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with _progress(part.name.removesuffix(".part"), show) as advance:
            out = _Part(part, file, advance)
            download = pooch.HTTPDownloader(
                chunk_size=1 << 16,
                timeout=(CONNECT_S, READ_S),
                headers=headers,
                hooks={"response": out.begin},
            )
            try:
                download(url, out, None)
            finally:
                if out.response is not None:
                    out.response.close()  # pooch leaves the connection open when the transfer fails
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code == 416:
            return  # nothing after `start`: the part was complete, and verify will judge it
        raise _Network(f"HTTP {error.response.status_code if error.response is not None else 'error'}") from error
    except (requests.RequestException, OSError) as error:
        raise _Network(type(error).__name__) from error
    finally:
        try:
            with file:
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _Disk(f"{part}: cannot be written: {reason(error)}") from error


@contextlib.contextmanager
def _progress(label: str, show: bool) -> Iterator[Callable[[int], None]]:
    if not show:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("downloading {task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda count: bar.advance(task, count)
