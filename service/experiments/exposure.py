"""The record of every answer: JSON lines, appended by a thread of its own."""

import errno
import logging
import os
import stat
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from select import PIPE_BUF
from typing import Final, Literal, TypedDict

import orjson

from service.core.errors import ConfigurationError

AssignedBy = Literal["experiment", "request", "default"]

_log = logging.getLogger(__name__)

_INTERVAL: Final = 0.1
"""Seconds between writes: what a crash of the process may cost, against a wake-up of the thread an answer."""


_PATIENCE: Final = 5.0
"""Seconds that a reader who does not read may hold up the end of the process."""


_WAITING_AT_MOST: Final = 100_000
"""Lines that wait for a reader who does not read: some 50 MB."""


class Exposure(TypedDict):
    """What one group was shown, and why."""

    timestamp: str
    recommendation_id: str
    unit: str
    experiment: str | None
    variant: str | None
    model: str
    """That answered; the variant's own unless `degraded`."""
    model_version: str
    strategy: str
    seed: int
    track_ids: list[str]
    """In the order shown."""
    assigned_by: AssignedBy
    degraded: bool


class ExposureLog:
    """Appends exposures to a file or standard output without holding up whoever adds one.

    Every write is of whole lines and appended, so the lines of several workers stay whole in a file. In a pipe that
    they share the system keeps together what is written at once up to `PIPE_BUF`, 4 KiB: some 200 tracks in a line.
    """

    def __init__(self, target: str, on_lost: Callable[[int], None], waiting_at_most: int = _WAITING_AT_MOST) -> None:
        """Open `target`, "-" being standard output; `on_lost` is told how many lines could not be written."""
        self._descriptor = (
            os.dup(1) if target == "-" else os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        )
        self._at_once = PIPE_BUF if stat.S_ISFIFO(os.fstat(self._descriptor).st_mode) else sys.maxsize
        self._on_lost = on_lost
        self._waiting_at_most = waiting_at_most
        self._waiting: deque[bytes] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
        self._thread.start()

    def add(self, exposure: Exposure) -> None:
        """Have an exposure written soon; it is lost where too many wait already."""
        if len(self._waiting) < self._waiting_at_most:
            self._waiting.append(orjson.dumps(exposure, option=orjson.OPT_APPEND_NEWLINE))
        else:
            self._on_lost(1)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._closing.set()
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            _log.error("nobody reads the exposures; %d are lost", len(self._waiting))
            return
        os.close(self._descriptor)

    def _run(self) -> None:
        while not self._closing.wait(_INTERVAL):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        for content in _packed(lines, self._at_once):
            try:
                while content:
                    content = content[os.write(self._descriptor, content) :]
            except OSError as error:
                lost = content.count(b"\n")
                _log.error("%d exposures are lost: %s", lost, error)
                self._on_lost(lost)


def check_target(target: str) -> None:
    """Refuse a target of an `ExposureLog` that cannot be appended to, without making it."""
    path = Path(target)
    if target == "-":
        return
    if not path.parent.is_dir():
        raise ConfigurationError(f"SERVICE_EXPOSURES: there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise ConfigurationError(f"SERVICE_EXPOSURES: {target!r} is a folder, not a file")
    try:  # what os.access() would say does not hold for root
        if path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
        else:
            tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        if error.errno != errno.ENXIO or not path.is_fifo():  # a pipe that nobody reads yet
            raise ConfigurationError(f"SERVICE_EXPOSURES: {target!r} cannot be written: {error.strerror}") from error


def _packed(lines: Sequence[bytes], at_most: int) -> Iterator[bytes]:
    """Yield the lines in order, as many at a time as fit in `at_most` bytes, at least one."""
    together: list[bytes] = []
    size = 0
    for line in lines:
        if together and size + len(line) > at_most:
            yield b"".join(together)
            together, size = [], 0
        together.append(line)
        size += len(line)
    if together:
        yield b"".join(together)
