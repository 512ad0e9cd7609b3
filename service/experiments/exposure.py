"""The record of every answer: JSON lines, appended by a thread of its own."""

import errno
import fcntl
import logging
import math
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypedDict

import orjson

from service.core.errors import ConfigurationError
from service.experiments.line_file import LineFile

AssignedBy = Literal["experiment", "request", "default"]

_log = logging.getLogger(__name__)

_INTERVAL: Final = 0.1
"""Seconds between writes: what a crash of the process may cost, against a wake-up of the thread an answer."""

_PATIENCE: Final = 5.0
"""Seconds that a reader who does not read may hold up the end of the process."""

_WAITING_AT_MOST: Final = 100_000
"""Lines that wait where they cannot be written: some 50 MB."""

_SAID_EVERY: Final = 10.0
"""Seconds in which the log says once that exposures cannot be written."""

_HELD_UP: Final = "writing is held up"
_NOBODY_READS: Final = "nobody reads the pipe"


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
    """Appends exposures to a `LineFile` without holding up whoever adds one.

    Those that cannot be written wait and are tried again. Lost are those that find too many waiting, and those that
    wait when the log is closed.
    """

    def __init__(self, target: str, on_lost: Callable[[int], None], waiting_at_most: int = _WAITING_AT_MOST) -> None:
        """Open `target`, "-" being standard output; `on_lost` is told how many lines could not be written."""
        self._file = LineFile(target)
        self._on_lost = on_lost
        self._waiting_at_most = waiting_at_most
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._why = _HELD_UP
        self._silent_until = -math.inf
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
        self._thread.start()

    def add(self, exposure: Exposure) -> None:
        """Have an exposure written soon; it is lost where too many wait already, or the log is closed."""
        if len(self._waiting) < self._waiting_at_most and not self._closing.is_set():
            self._waiting.append(orjson.dumps(exposure, option=orjson.OPT_APPEND_NEWLINE))
        else:
            self._lose(1)
            self._complain()

    def close(self) -> None:
        """Write what is waiting, if that can be done soon, and close the file."""
        self._closing.set()
        self._thread.join(_PATIENCE)
        self._given_up.set()
        if waiting := len(self._waiting):
            self._lose(waiting)
            _log.error("%d exposures that wait are lost: %s", waiting, self._why)
        if self._lost:
            _log.error("%d exposures are lost in all", self._lost)
        if not self._thread.is_alive():
            self._file.close()

    def _run(self) -> None:
        while not self._closing.wait(_INTERVAL):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write what waits; a line is let go of when it is written."""
        while self._waiting and not self._given_up.is_set():
            written, error = self._file.append(self._waiting)
            if self._given_up.is_set():
                return
            for _ in range(written):
                self._waiting.popleft()
            if error is not None:
                self._why = _NOBODY_READS if error.errno in {errno.ENXIO, errno.EPIPE} else error.strerror or str(error)
                self._complain()
                return
            self._why = _HELD_UP

    def _lose(self, count: int) -> None:
        self._lost += count
        self._on_lost(count)

    def _complain(self) -> None:
        """Say that exposures cannot be written, unless that was said a moment ago."""
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _SAID_EVERY
            _log.error(
                "exposures cannot be written: %s; %d wait, %d are lost", self._why, len(self._waiting), self._lost
            )


def check_target(target: str) -> None:
    """Refuse a target of an `ExposureLog` that cannot be appended to, and leave no trace there."""
    if target == "-":
        _check_standard_output()
        return
    path = Path(target)
    try:
        if not path.parent.is_dir():
            raise ConfigurationError(f"SERVICE_EXPOSURES: there is no folder {str(path.parent)!r}")
        if path.is_dir():
            raise ConfigurationError(f"SERVICE_EXPOSURES: {target!r} is a folder, not a file")
        if path.is_fifo():  # its reader would take our closing it for the end
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        elif path.exists():  # what os.access() would say does not hold for root
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
        else:
            tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ConfigurationError(f"SERVICE_EXPOSURES: {target!r} cannot be written: {error.strerror}") from error


def _check_standard_output() -> None:
    """Refuse a standard output that is closed or open for reading only."""
    if sys.__stdout__ is None:  # so Python found it at its start; since then its number may be another file's
        raise ConfigurationError("SERVICE_EXPOSURES: standard output is closed, and '-' writes to it; name a file")
    try:
        access = fcntl.fcntl(1, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise ConfigurationError(f"SERVICE_EXPOSURES: standard output cannot be written: {error.strerror}") from error
    if access == os.O_RDONLY:
        raise ConfigurationError("SERVICE_EXPOSURES: standard output cannot be written: it is open for reading only")
