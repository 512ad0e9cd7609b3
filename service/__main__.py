"""python -m service: serve until SIGTERM or Ctrl-C, then finish what was begun and exit 0."""

import argparse
import asyncio
import logging.config
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.app import create_app
from service.core.errors import TuttiError
from service.runtime import Runtime
from service.settings import Settings
from service.telemetry import LOGGING, MULTIPROCESS_FOLDER


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 served and stopped, 1 cannot serve, 2 wrong usage."""
    try:
        settings = Settings(**_given(arguments))
    except ValidationError as error:
        complaints = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        print("; ".join(complaints), file=sys.stderr)
        return 2
    try:
        Runtime(settings)  # for its checks: workers would each fail by themselves, and be started again
    except TuttiError as error:
        print(error, file=sys.stderr)
        return 1
    return _serve(settings)


def _given(arguments: Sequence[str] | None) -> dict[str, Any]:  # Settings checks the values
    """Return the settings that the command line names; the environment has the others."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve group playlists and similar tracks over HTTP.",
        epilog="Every other setting is an environment variable: see docs/api.md.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--models", help="folder of the trained models (SERVICE_MODELS)")
    parser.add_argument("--host", help="address to listen on (SERVICE_HOST)")
    parser.add_argument("--port", help="port to listen on (SERVICE_PORT)")
    parser.add_argument("--workers", help="processes (SERVICE_WORKERS)")
    parser.add_argument("--device", help="auto, cpu or cuda (SERVICE_DEVICE)")
    return vars(parser.parse_args(arguments))


def _serve(settings: Settings) -> int:
    logging.config.dictConfig(LOGGING)
    config = uvicorn.Config(
        partial(_application, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.grace_seconds,
    )
    if settings.workers > 1:
        return _serve_with_workers(config)
    # When it has stopped, uvicorn raises the signal again that stopped it; it has been obeyed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 1


def _serve_with_workers(config: uvicorn.Config) -> int:
    with tempfile.TemporaryDirectory(prefix="tutti-metrics-") as folder:
        os.environ[MULTIPROCESS_FOLDER] = folder
        supervisor = Multiprocess(config, sockets=[config.bind_socket()])
        supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


def _application(settings: Settings) -> FastAPI:
    """Return the application of one worker; uvicorn calls this in the process and the loop that serve it."""
    logging.config.dictConfig(LOGGING)
    app = create_app(settings)
    _drain_on_sigterm(app.state.runtime, settings.drain_seconds)
    return app


def _drain_on_sigterm(runtime: Runtime, seconds: float) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
