"""The real thing: a process of its own, real sockets, real signals."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service.processes import ENVIRONMENT, PATIENCE, children_of, log_of, served, told, wait_for, workers_of


def head(length: int) -> bytes:
    """What comes before a body of so many bytes."""
    lines = ["POST /recommendations/group HTTP/1.1", "Host: t", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def test_sigterm_fails_readiness_first_then_finishes_and_exits_0(published: Path, tmp_path: Path) -> None:
    with (
        served(published, tmp_path, drain_seconds="1.5") as (process, address),
        httpx.Client(base_url=address) as client,
    ):
        wait_for(process, address, "/health/ready")
        process.send_signal(signal.SIGTERM)
        while client.get("/health/ready").status_code == 200:
            pass

        draining = client.get("/health/ready")
        answer = client.post("/recommendations/group", json={"user_ids": ["ann"]})
        code = process.wait(timeout=10)

    assert draining.json()["detail"] == "service: shutting down"
    assert answer.status_code == 200
    assert code == 0
    exposures = (tmp_path / "stdout").read_text().splitlines()
    assert [json.loads(line)["recommendation_id"] for line in exposures] == [answer.json()["recommendation_id"]]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_readers_of_a_pipe_come_and_go_and_every_exposure_is_read(
    published: Path, tmp_path: Path, workers: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        reader_of(pipe) as first,
        served(published, tmp_path, "--workers", workers, exposures=str(pipe), drain_seconds="0") as (process, address),
    ):
        wait_for(process, address, "/health/ready")
        shown = ask(address, 10)
        read = lines_of(first, 10)
        first.kill()
        first.wait()
        shown += ask(address, 10)
        with reader_of(pipe) as second:
            read += lines_of(second, 10)
            shown += ask(address, 10)
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=10)
            read += second.communicate()[0]

    assert code == 0
    assert sorted(json.loads(line)["recommendation_id"] for line in read.splitlines()) == sorted(shown)


@contextmanager
def reader_of(pipe: Path) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process: subprocess.Popen, count: int) -> bytes:
    assert process.stdout is not None
    return b"".join(process.stdout.readline() for _ in range(count))


def test_a_pipe_that_nobody_reads_does_not_keep_it_from_serving_and_ending(published: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with served(published, tmp_path, exposures=str(tmp_path / "pipe"), drain_seconds="0") as (process, address):
        wait_for(process, address, "/health/ready")
        ask(address, 3)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=10)

    assert code == 0
    assert "3 exposures are lost in all" in [line["message"] for line in log_of(tmp_path)]


def test_exposures_of_two_workers_follow_a_file_that_is_moved_away(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exposures"
    folder.mkdir()
    shown = []
    with served(published, tmp_path, "--workers", "2", exposures=str(folder / "log"), drain_seconds="0") as (
        process,
        address,
    ):
        wait_for(process, address, "/health/ready")
        for turn in range(3):
            shown += ask(address, 20)
            (folder / "log").rename(folder / f"log.{turn}")
            shown += ask(address, 20)
            time.sleep(0.3)
        lost = httpx.get(f"{address}/metrics").text.split("tutti_exposures_lost_total ")[-1].splitlines()[0]
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=15)

    lines = [line for file in folder.iterdir() for line in file.read_text().splitlines()]
    assert code == 0
    assert float(lost) == 0
    assert sorted(json.loads(line)["recommendation_id"] for line in lines) == sorted(shown)


def ask(address: str, times: int) -> list[str]:
    """Ask for playlists, each on a connection of its own, and return their ids."""
    shown: list[str] = []
    while len(shown) < times:  # a worker that still loads answers 503
        answer = httpx.post(f"{address}/recommendations/group", json={"user_ids": ["ann"]})
        if answer.status_code == 200:
            shown.append(answer.json()["recommendation_id"])
    return shown


@pytest.mark.parametrize("redirection", [">&-", "1</dev/null"], ids=["closed", "read-only"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_standard_output_that_cannot_be_written_stops_the_start(
    published: Path, workers: str, redirection: str
) -> None:
    command = f'exec "$@" {redirection}'
    service = [sys.executable, "-m", "service", "--models", published, "--port", "0", "--workers", workers]
    done = subprocess.run(
        ["sh", "-c", command, "sh", *service],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("SERVICE_EXPOSURES: standard output ")


def test_a_request_in_flight_when_the_door_closes_is_answered(published: Path, tmp_path: Path) -> None:
    body = b'{"user_ids": ["ann"]}'
    with served(published, tmp_path, drain_seconds="0") as (process, address):
        wait_for(process, address, "/health/ready")
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head(len(body)) + body[:5])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(body[5:])
            answer = connection.recv(65536)
        code = process.wait(timeout=10)

    assert answer.startswith(b"HTTP/1.1 200")
    assert code == 0


def test_head_has_the_headers_of_get_and_no_body(published: Path, tmp_path: Path) -> None:
    with served(published, tmp_path) as (_, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"HEAD /health/live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        length = len(httpx.get(f"{address}/health/live").content)

    assert answer.startswith(b"HTTP/1.1 200")
    assert f"content-length: {length}".encode() in answer
    assert answer.endswith(b"\r\n\r\n")


def test_ctrl_c_exits_0(published: Path, tmp_path: Path) -> None:
    with served(published, tmp_path, drain_seconds="0") as (process, _):
        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=10) == 0


FIRST_OF_A_CONTAINER = ("unshare", "--fork", "--pid", "--kill-child")

_may_unshare = pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*FIRST_OF_A_CONTAINER, "true"], capture_output=True).returncode != 0,
    reason="only root can make a namespace of process ids",
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize(
    "wrapper", [(), pytest.param(FIRST_OF_A_CONTAINER, marks=_may_unshare)], ids=["process", "container"]
)
def test_a_signal_ends_it_at_once_while_it_imports(
    published: Path, wrapper: tuple[str, ...], number: signal.Signals
) -> None:
    command = [sys.executable, "-v", "-m", "service", "--models", published, "--port", "0"]  # -v tells of imports
    with told([*wrapper, *command], "torch") as process:
        os.kill(children_of(process.pid)[0] if wrapper else process.pid, number)
        _, rest = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "uvloop" not in rest  # it never came to serve


def test_workers_that_still_import_do_not_hold_up_the_end(published: Path) -> None:
    command = [sys.executable, "-v", "-m", "service", "--models", published, "--port", "0", "--workers", "2"]
    with told(command, "Started parent process", "import 'torch._C'") as process:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "Started server process" not in rest


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system has no /proc")
@pytest.mark.parametrize("after", [0, 0.1], ids=["at-once", "a-little-later"])
def test_ctrl_c_reaches_workers_that_have_just_begun_by_their_parent_alone(published: Path, after: float) -> None:
    """A terminal sends it to all of them; a worker that had not come to hear it would end with a traceback."""
    command = [sys.executable, "-m", "service", "--models", published, "--port", "0", "--workers", "2"]
    with told(command, "Started parent process") as process:
        while len(workers_of(process.pid)) < 2:
            time.sleep(0.001)
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "Received SIGINT" in rest


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system has no /proc")
def test_a_worker_that_dies_while_it_imports_does_not_hold_up_the_end(published: Path) -> None:
    command = [sys.executable, "-m", "service", "--models", published, "--port", "0", "--workers", "2"]
    with told(command, "Started parent process") as process:
        while len(workers := workers_of(process.pid)) < 2:
            time.sleep(0.01)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        time.sleep(1)  # its supervisor asks the first how it is after half a second
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 0


def test_two_workers_share_a_port_and_count_together(published: Path, tmp_path: Path) -> None:
    with served(published, tmp_path, "--workers", "2", drain_seconds="0") as (process, address):
        wait_for(process, address, "/health/ready")
        for _ in range(20):  # each on a connection of its own, so that both workers get some
            assert httpx.get(f"{address}/health/live").status_code == 200
        counted = [
            float(line.split()[-1])
            for line in httpx.get(f"{address}/metrics").text.splitlines()
            if line.startswith('tutti_requests_total{method="GET",route="/health/live"')
        ]
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=15)

    assert sum(counted) >= 20
    assert code == 0
    assert len({line["message"] for line in log_of(tmp_path) if "Started server process" in line["message"]}) == 2


def test_nobody_is_let_in_who_would_not_be_answered(published: Path, tmp_path: Path) -> None:
    body = b'{"user_ids": ["ann"]}'
    with served(published, tmp_path, "--workers", "2", drain_seconds="0") as (process, address):
        wait_for(process, address, "/health/ready")
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:  # its request keeps the service from its end
            connection.sendall(head(len(body)) + body[:5])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            while len([line for line in log_of(tmp_path) if line["message"] == "Shutting down"]) < 2:
                time.sleep(0.05)
            time.sleep(0.5)

            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)))

            connection.sendall(body[5:])
            answer = connection.recv(65536)
        code = process.wait(timeout=10)

    assert answer.startswith(b"HTTP/1.1 200")
    assert code == 0


def test_a_damaged_model_leaves_a_live_process_and_a_line_in_the_log(models: Path, tmp_path: Path) -> None:
    arrays = models / "wmf/v1/arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-8])

    with served(models, tmp_path) as (_, address):
        while "wmf: its artifact" not in (ready := httpx.get(f"{address}/health/ready")).text:
            time.sleep(0.05)
        live = httpx.get(f"{address}/health/live")

    assert (live.status_code, ready.status_code) == (200, 503)
    (line,) = [line for line in log_of(tmp_path) if line["level"] == "error"]
    assert str(arrays) in line["message"]
    assert json.loads((models / "wmf/v1/manifest.json").read_text())["sha256"]["arrays.safetensors"] in line["message"]


def test_a_body_too_long_is_refused_before_it_is_sent(published: Path, tmp_path: Path) -> None:
    with served(published, tmp_path) as (_, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head(99_999_999))
            answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_said(published: Path, workers: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = refused(published, "--port", port, "--workers", workers)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"--port: cannot listen on port {port} of 127.0.0.1 (Address already in use)")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"], ids=["name", "address"])
def test_a_host_that_is_not_this_machine_is_said(published: Path, host: str, workers: str) -> None:
    done = refused(published, "--port", "0", "--workers", workers, SERVICE_HOST=host)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("SERVICE_HOST: ")
    assert host in line


def refused(models: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "service", "--models", models, *arguments]
    return subprocess.run(command, env=ENVIRONMENT | settings, capture_output=True, text=True, check=False)


def test_schemathesis_finds_nothing(published: Path, tmp_path: Path) -> None:
    with served(published, tmp_path) as (process, address):
        wait_for(process, address, "/health/ready")
        command = [Path(sys.executable).parent / "schemathesis", "run", f"{address}/openapi.json"]
        options = ["--checks", "all", "--max-examples", "40", "--generation-deterministic", "--no-color"]

        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
