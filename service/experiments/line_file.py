"""A file, pipe or standard output to which several processes append whole lines, and which follows its path."""

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from select import PIPE_BUF
from typing import Final

_AT_ONCE: Final = 1 << 20
"""Bytes written to a file at once: what others who append to it wait for."""

_AT_ONCE_IN_A_PIPE: Final = PIPE_BUF - 1
"""What the system keeps together, less the line end that may have to come first."""


class LineFile:
    """Appends lines to what a path names at that time; "-" is standard output, wherever that may go.

    Every write is of whole lines and appended, so the lines of several processes stay whole in a file. In a pipe that
    they share the system keeps together what is written at once up to `PIPE_BUF`, 4 KiB.
    """

    def __init__(self, target: str) -> None:
        self._path = None if target == "-" else target
        self._opened: _Opened | None = None
        with suppress(OSError):  # what is wrong is said when there is something to write
            self._open()

    def append(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Append the first of the lines; return how many, and why no more could be where that is so.

        A line that fails half-way is not among them: what there is of it stays, on a line of its own.
        """
        try:
            if self._opened is not None and self._moved(self._opened):
                self.close()
            opened = self._opened or self._open()
        except OSError as error:
            return 0, error
        return opened.append(lines)

    def close(self) -> None:
        """Close what is open; to append opens it again."""
        opened, self._opened = self._opened, None  # closed even where that fails, as a network's file system may
        if opened is not None:
            opened.close()

    def _open(self) -> "_Opened":
        """Open the path, and never wait: a pipe that nobody reads is an OSError, ENXIO."""
        if self._path is None:
            descriptor = os.dup(1)
        else:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o644)
            os.set_blocking(descriptor, True)
        self._opened = _Opened(descriptor)
        return self._opened

    def _moved(self, opened: "_Opened") -> bool:
        """Return whether the path names something else by now, as after a rotation.

        A pipe without a name goes on until another has it: closing it would lose what its reader has still to read.
        """
        if self._path is None:
            return False
        try:
            return not os.path.samestat(opened.status, os.stat(self._path))
        except OSError as error:
            return error.errno in {errno.ENOENT, errno.ENOTDIR} and stat.S_ISREG(opened.status.st_mode)


class _Opened:
    """What is open under the path; the end of a file is looked at, and held, for as long as it is written to."""

    def __init__(self, descriptor: int) -> None:
        self.status = os.fstat(descriptor)
        self._descriptor = descriptor
        self._at_once = _AT_ONCE_IN_A_PIPE if stat.S_ISFIFO(self.status.st_mode) else _AT_ONCE
        self._broken = False
        """Whether a write of our own ended within a line."""
        self._reading: int | None = None
        """A file, opened for itself: workers share standard output, and with it they would share its lock."""
        if stat.S_ISREG(self.status.st_mode):
            with suppress(OSError):  # a file that may be written only; then our own writes are all we know of it
                self._reading = os.open(f"/dev/fd/{descriptor}", os.O_RDONLY)

    def append(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Append the first of the lines, as `LineFile` does."""
        if self._reading is None:
            return self._append(lines, b"\n" if self._broken else b"")
        with suppress(OSError):  # a network's file system may know no locks
            fcntl.flock(self._reading, fcntl.LOCK_EX)
        try:
            return self._append(lines, b"\n" if _ends_within_a_line(self._reading) else b"")
        finally:
            with suppress(OSError):
                fcntl.flock(self._reading, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
        if self._reading is not None:
            os.close(self._reading)

    def _append(self, lines: Sequence[bytes], line_end: bytes) -> tuple[int, OSError | None]:
        content, written, failure = line_end + _first(lines, self._at_once), 0, None
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError as error:
            failure = error
        if not written:
            return 0, failure
        self._broken = not content.endswith(b"\n", 0, written)
        # a line that lacks nothing but its end is written: whoever appends next begins with that
        return content.count(b"\n", len(line_end), written + 1), failure


def _ends_within_a_line(descriptor: int) -> bool:
    """Return whether a file's last line is broken, by whomever: a full disk, a crash, a power cut."""
    try:
        size = os.fstat(descriptor).st_size
        return size > 0 and os.pread(descriptor, 1, size - 1) not in {b"\n", b""}
    except OSError:
        return False


def _first(lines: Sequence[bytes], at_most: int) -> bytes:
    """Return the first lines, as many as fit in `at_most` bytes, at least one; more may be added meanwhile."""
    first = [lines[0]]
    size = len(lines[0])
    while len(first) < len(lines):
        line = lines[len(first)]
        size += len(line)
        if size > at_most:
            break
        first.append(line)
    return b"".join(first)
