"""Opening what other people wrote: raw or gzip bytes, every failure a DataError naming file and byte."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from xpnn.errors import DataError

AnyPath = str | os.PathLike[str]

GZIP_MAGIC = b"\x1f\x8b"
# DEFLATE spends at least one bit-pair per 258-byte match: no stream expands further (zlib's own
# documentation).
DEFLATE_MAX_RATIO = 1032
CHUNK_BYTES = 1 << 20


def reason(error: OSError) -> str:
    """The operating system's word for it, without the errno and path that `str(error)` repeats."""
    return (error.strerror or str(error) or type(error).__name__).lower()


class Source:
    """A data file opened for reading, decompressed on the way when its first two bytes say gzip.

    The name decides nothing: people rename files. `offset` counts the bytes delivered so far (decompressed
    ones for gzip), `size_bytes` is the size on disk. Raises DataError for a missing, unreadable, empty or
    special file, and later from `read` for a damaged stream. Use as a context manager.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = os.fspath(path)
        self.offset = 0
        try:
            # A FIFO would block in open() and a device never ends: ask before opening.
            mode = os.stat(self.path).st_mode
            if not stat.S_ISREG(mode):
                kind = "a folder" if stat.S_ISDIR(mode) else "a special file"
                raise DataError(f"{self.path}: expected a regular file; this is {kind}")
            self._raw: BinaryIO = open(self.path, "rb")  # noqa: SIM115 - closed by __exit__
            try:
                self.size_bytes = os.fstat(self._raw.fileno()).st_size
                self.gzipped = self._raw.read(2) == GZIP_MAGIC
                self._raw.seek(0)
            except BaseException:
                self._raw.close()
                raise
        except (OSError, ValueError) as error:  # ValueError: a NUL inside the name
            if isinstance(error, DataError):
                raise
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise DataError(f"{self.path!s}: cannot be read: {why}") from error
        if self.size_bytes == 0:
            self._raw.close()
            raise DataError(f"{self.path}: the file is empty (0 bytes)")
        self._stream = gzip.GzipFile(fileobj=self._raw) if self.gzipped else self._raw

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()
        self._raw.close()

    @property
    def most_bytes(self) -> int:
        """The most content this file can hold: its size, or for gzip the size times DEFLATE's best ratio."""
        return self.size_bytes * DEFLATE_MAX_RATIO if self.gzipped else self.size_bytes

    @property
    def where(self) -> str:
        """`byte 123`, saying of which stream, for error messages."""
        return f"byte {self.offset}" + (" of the decompressed data" if self.gzipped else "")

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end of the file, where gzip has its CRC checked."""
        pieces = []
        try:
            while count > 0 and (piece := self._stream.read(min(count, CHUNK_BYTES))):
                pieces.append(piece)
                self.offset += len(piece)
                count -= len(piece)
        except EOFError as error:
            raise DataError(f"{self.path}: truncated gzip stream after {self.where}") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{self.path}: damaged gzip stream after {self.where}: {error}") from error
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read at {self.where}: {reason(error)}") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_exactly(self, count: int, what: str) -> bytearray:
        """`count` bytes or DataError. Memory grows with what arrives, never with what a header promised."""
        content = bytearray()
        while len(content) < count:
            piece = self.read(min(count - len(content), CHUNK_BYTES))
            if not piece:
                raise DataError(
                    f"{self.path}: truncated: {what} needs {count} bytes, the file ends at {self.where}, "
                    f"{count - len(content)} short"
                )
            try:
                content += piece
            except MemoryError as error:
                raise DataError(f"{self.path}: {what} needs {count} bytes, more than the free memory") from error
        return content

    def expect_end(self, what: str) -> None:
        """DataError when content follows where `what` should have ended."""
        end = self.where
        if self.read(1):
            raise DataError(f"{self.path}: oversized: {what} ends at {end}, but more bytes follow")


_writing: dict[str, object] = {}
"""The temporary names that this process writes to now. Touched by single dict operations only, which are atomic: a lock
could be held by the very thread that a signal handler, saving a checkpoint, interrupts."""


def _claim(target: Path) -> Path:
    """A temporary neighbour of `target` that nothing else in this process writes to: `.NAME.PID[-N].tmp`."""
    mine, n = object(), 0
    while _writing.setdefault(name := f".{target.name}.{os.getpid()}{f'-{n}' if n else ''}.tmp", mine) is not mine:
        n += 1
    return target.with_name(name)


def _sweep(target: Path) -> None:
    """Remove what processes that were killed while writing `target` left behind."""
    left_behind = re.compile(rf"\.{re.escape(target.name)}\.(\d+)(-\d+)?\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            if (match := left_behind.fullmatch(name)) and _is_dead(int(match[1])):
                with contextlib.suppress(OSError):
                    target.with_name(name).unlink()


def _is_dead(pid: int) -> bool:
    """True only when it is certain: this process, another user's and what is no process id count as alive."""
    if os.name != "posix":
        return False  # os.kill would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@contextlib.contextmanager
def replacing(path: AnyPath) -> Iterator[BinaryIO]:
    """A file that appears under `path` complete or not at all: temporary neighbour, fsync, rename.

    Any failure (full disk, no permission, an exception in the body) removes the temporary file and leaves
    what was under `path` before; an OSError comes out as DataError. What a killed process left behind is
    removed by the next one that writes to the same path.
    """
    target = Path(path)
    if not target.name or "\0" in str(target):
        raise DataError(f"{str(target)!r}: cannot be written: expected the name of a file")
    _sweep(target)
    temporary = _claim(target)
    try:
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except OSError as error:
            raise DataError(f"{target}: cannot be written: {reason(error)}") from error
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    finally:
        _writing.pop(temporary.name, None)


def write_whole(path: AnyPath, pieces: Iterable[bytes | memoryview]) -> None:
    """Write `pieces` one after another to `path`, all or nothing (see `replacing`)."""
    with replacing(path) as file:
        for piece in pieces:
            file.write(piece)
