"""The service as processes of their own, for tests to start, watch and signal."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

PATIENCE = 60.0
"""Seconds after which something is broken, not slow."""

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}


@contextmanager
def served(models: Path, tmp_path: Path, *arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A process that serves, and its address, once it is live."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "stderr").open("w") as stderr, (tmp_path / "stdout").open("w") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "--models", models, "--port", str(port), "--device", "cpu", *arguments],
            env=ENVIRONMENT | {f"SERVICE_{name.upper()}": value for name, value in settings.items()},
            stderr=stderr,
            stdout=stdout,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(process, address, "/health/live")
        yield process, address
    finally:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen, address: str, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(address + path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail(f"{path} does not answer 200, exit code {process.poll()}")


def log_of(tmp_path: Path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines()]


@contextmanager
def told(command: list[str | Path], *signs: str) -> Iterator[subprocess.Popen]:
    """A process, first of a group, that has written lines with these signs, one after the other."""
    with subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stderr is not None
            for sign in signs:
                while sign not in (line := process.stderr.readline()):
                    assert line, f"it ended without {sign!r}"
            yield process
        finally:
            process.kill()


def children_of(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def workers_of(parent: int) -> list[int]:
    return [child for child in children_of(parent) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
