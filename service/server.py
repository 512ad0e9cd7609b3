"""Processes, sockets and signals: the application under uvicorn."""

import asyncio
import ctypes
import logging.config
import os
import signal
import tempfile
from functools import partial
from multiprocessing import resource_tracker
from types import FrameType
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.http_protocol import HttpProtocol
from service.settings import Settings
from service.signals import ctrl_c_held_back, ended_at_once
from service.telemetry import LOGGING, MULTIPROCESS_FOLDER

if TYPE_CHECKING:  # a worker imports this module before it can answer its supervisor, and torch takes seconds
    from fastapi import FastAPI

    from service.runtime import Runtime

_PATIENCE: Final = 120
"""Seconds in which a worker must answer its supervisor; loading torch from a slow disk, it cannot for a while."""


_KEPT_BYTES: Final = 256 << 20
"""Freed memory that a process may keep: far more than a batch of scores takes."""

_MALLOPT: Final = {-1: _KEPT_BYTES, -3: _KEPT_BYTES, -8: 1}
"""M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of mallopt(3)."""


def serve(settings: Settings) -> int:
    """Serve until a signal; return the exit code, 0 when there was a server that has stopped in order."""
    logging.config.dictConfig(LOGGING)
    config = uvicorn.Config(
        partial(_application, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
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
    if settings.workers > 1:
        return _serve_with_workers(config)
    try:
        uvicorn.Server(config).run()
    except SystemExit:  # uvicorn has logged why
        return 1
    return 0


def _serve_with_workers(config: uvicorn.Config) -> int:
    try:
        supervisor = _Supervisor(config, sockets=[config.bind_socket()])
    except SystemExit:  # uvicorn has logged why
        return 1
    with tempfile.TemporaryDirectory(prefix="tutti-metrics-") as folder:
        os.environ[MULTIPROCESS_FOLDER] = folder
        supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


class _Supervisor(Multiprocess):
    """uvicorn's, but one that keeps no end of what is its workers', neither of their pipes nor of the door.

    And Ctrl-C is for it alone: it ends its workers by SIGTERM.
    """

    def init_processes(self) -> None:
        """Start the workers."""
        resource_tracker.ensure_running()  # to start that with the first of them would let Ctrl-C through again
        with ctrl_c_held_back():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Replace the dead; a pipe still open here would not tell of a death, and signals would wait as long as it."""
        for process in self.processes:
            process.child_conn.close()
        with ctrl_c_held_back():
            super().keep_subprocess_alive()

    def handle_ttin(self) -> None:
        """Start one worker more."""
        with ctrl_c_held_back():
            super().handle_ttin()

    def restart_all(self) -> None:
        """Replace all, one after the other."""
        with ctrl_c_held_back():
            super().restart_all()

    def terminate_all(self) -> None:
        """Stop the workers; a socket still open here would take connections that nobody answers."""
        super().terminate_all()
        for socket in self.sockets:
            socket.close()


def _application(settings: Settings) -> "FastAPI":
    """Return the application of one worker; uvicorn calls this in the process and the loop that serve it."""
    logging.config.dictConfig(LOGGING)
    with ended_at_once():  # here a worker imports torch
        from service.app import create_app
    _keep_freed_memory()
    app = create_app(settings)
    _drain_on_sigterm(app.state.runtime, settings.drain_seconds)
    return app


def _keep_freed_memory() -> None:
    """Have glibc reuse the megabytes that a batch of scores takes.

    By default it gives them back after each batch and the kernel hands them out again page by page: measured 58 page
    faults and 120 microseconds of system time a group. Other C libraries have other defaults, and no mallopt.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, value in _MALLOPT.items():
            library.mallopt(option, value)


def _drain_on_sigterm(runtime: "Runtime", seconds: float) -> None:
    """Fail readiness on SIGTERM and go on serving for a while before uvicorn closes the door.

    A load balancer sends requests until it notices; a second SIGTERM does not wait for it.
    """
    close = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def drain(number: int, frame: FrameType | None) -> None:
        if not callable(close):
            return
        if runtime.draining:
            close(number, frame)
            return
        runtime.draining = True
        loop.call_soon_threadsafe(loop.call_later, seconds, close, number, frame)

    signal.signal(signal.SIGTERM, drain)
