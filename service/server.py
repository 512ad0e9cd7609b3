"""Processes, sockets and signals: the application under uvicorn."""

import asyncio
import ctypes
import logging.config
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.core.errors import ConfigurationError, TuttiError
from service.http_protocol import HttpProtocol
from service.settings import Settings
from service.signals import ended_at_once
from service.sockets import bound
from service.supervisor import LEAVE, Supervisor
from service.telemetry import LOGGING, MULTIPROCESS_FOLDER

if TYPE_CHECKING:  # a worker imports this module before it can answer its supervisor, and torch takes seconds
    from fastapi import FastAPI

    from service.runtime import Runtime

_log = logging.getLogger(__name__)

_PATIENCE: Final = 120
"""Seconds in which a worker must answer its supervisor; loading torch from a slow disk, it cannot for a while."""


_KEPT_BYTES: Final = 256 << 20
"""Freed memory that a process may keep: far more than a batch of scores takes."""

_MALLOPT: Final = {-1: _KEPT_BYTES, -3: _KEPT_BYTES, -8: 1}
"""M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of mallopt(3)."""


def serve(settings: Settings) -> int:
    """Serve until a signal; return the exit code, 0 when there was a server that has stopped in order.

    ConfigurationError for an address that cannot be listened on, and for workers that cannot count together.
    """
    logging.config.dictConfig(LOGGING)
    if settings.workers > 1:
        return _serve_with_workers(settings)
    sockets = bound(settings.host, settings.port)
    try:
        uvicorn.Server(_config(settings, pinned=None)).run(sockets)
    except SystemExit:  # the log says why
        return 1
    return 0


def _config(settings: Settings, pinned: Mapping[str, str | None] | None) -> uvicorn.Config:
    return uvicorn.Config(
        partial(_application, settings, pinned),
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=partial(HttpProtocol, request_seconds=settings.request_seconds),  # type: ignore[arg-type]  # only called
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.grace_seconds,
        timeout_worker_healthcheck=_PATIENCE,
    )


def _serve_with_workers(settings: Settings) -> int:
    from service.core.artifacts import ArtifactStore
    from service.runtime import Runtime

    def configure() -> uvicorn.Config:
        pinned = ArtifactStore(settings.models).current_versions()
        Runtime(settings, pinned)  # for its checks: workers would each fail by themselves
        return _config(settings, pinned)

    try:
        folder = tempfile.TemporaryDirectory(prefix="tutti-metrics-")
    except OSError as error:
        raise ConfigurationError(
            f"SERVICE_WORKERS: {settings.workers} workers count together in a temporary folder, and none can be made "
            f"({error}): set TMPDIR to a folder that can be written, or give a container --tmpfs /tmp"
        ) from error
    with folder:
        os.environ[MULTIPROCESS_FOLDER] = folder.name
        seconds = settings.drain_seconds + settings.grace_seconds
        return 0 if Supervisor(configure, bound(settings.host, settings.port), seconds).run() else 1


def _application(settings: Settings, pinned: Mapping[str, str | None] | None) -> "FastAPI":
    """Return the application of one worker; uvicorn calls this in the process and the loop that serve it."""
    logging.config.dictConfig(LOGGING)
    if settings.workers > 1:
        _end_with_supervisor()
    else:
        _hear_no_hang_up()
    with ended_at_once():  # here a worker imports torch
        from service.app import create_app

        _keep_freed_memory()
        try:
            app = create_app(settings, pinned)
        except TuttiError as error:
            _log.error("%s", error)
            sys.exit(STARTUP_FAILURE)
    _end_on_signals(app.state.runtime, settings)
    return app


def _end_with_supervisor() -> None:
    """End as on SIGTERM when the supervisor is killed: nobody else would, and the port would stay taken."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return

    def end() -> None:
        supervisor.join()
        _log.error("the supervisor was killed, so that this worker ends")
        shutil.rmtree(os.environ[MULTIPROCESS_FOLDER], ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, name="supervisor", daemon=True).start()


def _hear_no_hang_up() -> None:
    """Have SIGHUP do nothing but tell: one worker cannot be replaced while it serves."""
    loop = asyncio.get_running_loop()
    said = "SIGHUP does nothing with one worker; with more (SERVICE_WORKERS) it replaces them one by one"
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(_log.warning, said))


def _keep_freed_memory() -> None:
    """Have glibc reuse the megabytes that a batch of scores takes.

    By default it gives them back after each batch and the kernel hands them out again page by page: measured 58 page
    faults and 120 microseconds of system time a group. Other C libraries have other defaults, and no mallopt.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, value in _MALLOPT.items():
            library.mallopt(option, value)


def _end_on_signals(runtime: "Runtime", settings: Settings) -> None:
    """Fail readiness on SIGTERM and go on serving for a while before uvicorn closes the door.

    A load balancer sends requests until it notices; a second SIGTERM does not wait for it. Nor does one of several
    workers that leaves alone, and one that still loads has accepted nothing and ends at once.
    """
    close = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def drain(number: int, frame: FrameType | None) -> None:
        if not callable(close):
            return
        if settings.workers > 1 and not runtime.settled:
            os._exit(0)
        if runtime.draining or number == LEAVE:
            close(signal.SIGTERM, frame)
            return
        runtime.draining = True
        loop.call_soon_threadsafe(loop.call_later, settings.drain_seconds, close, number, frame)

    signal.signal(signal.SIGTERM, drain)
    if settings.workers > 1:
        signal.signal(LEAVE, drain)
