"""Several workers: replaced, renewed, more and fewer of them, and their end, by real signals."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service import server, supervisor
from service.core.errors import ConfigurationError
from service.settings import Settings
from service.sockets import bound
from tests.service.processes import ENVIRONMENT, PATIENCE, log_of, served, told, wait_for, workers_of
from tests.service.worlds import EXPERIMENTS, publish, serving

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system has no /proc")


@contextmanager
def two_workers(models: Path, tmp_path: Path, **settings: str) -> Iterator[tuple[subprocess.Popen, str]]:
    with served(models, tmp_path, "--workers", "2", **{"drain_seconds": "0"} | settings) as (process, address):
        wait_until(lambda: metric(address, "tutti_workers") == 2)
        yield process, address
        process.terminate()
        process.wait(PATIENCE)


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def metric(address: str, name: str) -> float | None:
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), None)


def asked(address: str) -> httpx.Response:
    """An answer over a connection of its own, so that either worker may give it."""
    return httpx.post(f"{address}/recommendations/group", json={"user_ids": ["ann"]})


def versions_served(address: str) -> set[str]:
    """Versions of the default model in so many answers that both workers have given some."""
    answers = [asked(address) for _ in range(40)]
    assert {(answer.status_code, answer.json().get("degraded")) for answer in answers} == {(200, False)}
    return {answer.json()["model"]["version"] for answer in answers}


class Held:
    """A file of a model that cannot be read before it is let go of: whoever loads the model waits."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept = file.rename(file.with_suffix(".kept"))
        os.mkfifo(file)

    def wait_for_reader(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                self._end = os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.05)
            else:
                return
        pytest.fail("nobody loads the model")

    def let_go(self) -> None:
        """Whoever waits finds the file empty, and whoever comes later as it was."""
        self._kept.rename(self._file)
        os.close(self._end)


def test_a_worker_lets_nobody_in_before_its_models_are_loaded_or_have_failed(models: Path, tmp_path: Path) -> None:
    with two_workers(models, tmp_path) as (process, address):
        held = Held(models / "wmf/v1/tracks.txt")
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        held.wait_for_reader()
        versions_served(address)  # fails for an answer that is degraded, or none
        ready = {httpx.get(f"{address}/health/ready").status_code for _ in range(40)}
        held.let_go()

        wait_until(lambda: "wmf: its artifact" in httpx.get(f"{address}/health/ready").text)

    assert ready == {200}


def test_sigterm_does_not_wait_for_workers_that_load(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "SERVICE_DRAIN_SECONDS", "600")
    held = Held(models / "wmf/v1/tracks.txt")
    command = [sys.executable, "-m", "service", "--models", models, "--port", "0", "--workers", "2"]
    with told(command, "softmax v1 is ready") as process:
        held.wait_for_reader()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 0


def test_a_rolling_restart_brings_new_versions_and_fails_nothing(models: Path, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    ready: list[int] = []
    done = threading.Event()

    def ask(address: str) -> None:
        while not done.is_set():
            answers.append(asked(address))
            ready.append(httpx.get(f"{address}/health/ready").status_code)

    with two_workers(models, tmp_path, drain_seconds="0.5") as (process, address):
        old = set(workers_of(process.pid))
        publish(models, "wmf", "factors", "v2")
        asking = threading.Thread(target=ask, args=[address])
        asking.start()
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: not old & set(workers_of(process.pid)) and metric(address, "tutti_workers") == 2)
        done.set()
        asking.join()
        versions = versions_served(address)
        metrics = httpx.get(f"{address}/metrics").text

    assert {(answer.status_code, answer.json()["degraded"]) for answer in answers} == {(200, False)}
    assert set(ready) == {200}
    assert versions == {"v2"}
    assert 'version="v2"' in metrics
    assert 'name="wmf",version="v1"' not in metrics
    counted = [line for line in metrics.splitlines() if 'route="/recommendations/group",status="200"' in line]
    assert float(counted[0].split()[-1]) == len(answers) + 40  # those of the old workers too
    assert "tutti_worker_deaths_total 0.0" in metrics


def test_a_restart_that_cannot_work_is_refused_with_one_line(models: Path, tmp_path: Path) -> None:
    experiments = tmp_path / "experiments.toml"
    experiments.write_text(EXPERIMENTS)
    with two_workers(models, tmp_path, experiments=str(experiments)) as (process, _):
        old = set(workers_of(process.pid))
        experiments.write_text("[[")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: any(line["level"] == "error" for line in log_of(tmp_path)))

        assert set(workers_of(process.pid)) == old

    (line,) = [line for line in log_of(tmp_path) if line["level"] == "error"]
    assert str(experiments) in line["message"]


def test_a_worker_in_place_of_a_dead_one_serves_what_the_others_do(models: Path, tmp_path: Path) -> None:
    with two_workers(models, tmp_path) as (process, address):
        publish(models, "wmf", "factors", "v2")
        publish(models, "later", "factors")
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        wait_until(lambda: metric(address, "tutti_worker_deaths_total") == 1)
        wait_until(lambda: metric(address, "tutti_workers") == 2)

        assert versions_served(address) == {"v1"}
        assert "later" not in httpx.get(f"{address}/metrics").text

    (line,) = [line for line in log_of(tmp_path) if line["level"] == "error"]
    assert "died of SIGKILL" in line["message"]


async def test_what_is_current_is_served_where_the_version_of_the_others_is_gone(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(settings, {"basic": "v1", "softmax": None, "wmf": "v0"}) as client:
        answer = await client.post("/recommendations/group", json={"user_ids": ["ann"]})

    assert answer.json()["model"]["version"] == "v1"
    assert [f"wmf v0 is gone from {settings.models}" in line for line in caplog.messages].count(True) == 1


def test_workers_that_cannot_start_are_tried_again_after_pauses_and_say_why(models: Path, tmp_path: Path) -> None:
    experiments = tmp_path / "experiments.toml"
    experiments.write_text(EXPERIMENTS)
    with two_workers(models, tmp_path, experiments=str(experiments)) as (process, address):
        experiments.write_text("[[")
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        wait_until(lambda: "next start in 2 s" in (tmp_path / "stderr").read_text())
        alone = metric(address, "tutti_workers")
        experiments.write_text(EXPERIMENTS)
        wait_until(lambda: metric(address, "tutti_workers") == 2)
        deaths = metric(address, "tutti_worker_deaths_total")

    errors = [line["message"] for line in log_of(tmp_path) if line["level"] == "error"]  # each line is JSON
    assert "died of SIGKILL" in errors[0]
    assert str(experiments) in errors[1]
    assert "ended with 3 before it served; next start in 1 s" in errors[2]
    assert alone == 1
    assert deaths == 3


def test_a_worker_that_hangs_when_it_should_end_is_killed_in_the_end(published: Path, tmp_path: Path) -> None:
    with two_workers(published, tmp_path, grace_seconds="1") as (process, address):

        def renewed(old: set[int]) -> set[int]:
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: old.isdisjoint(now := workers_of(process.pid)) and len(now) == 2)
            return set(workers_of(process.pid))

        second = renewed(set(workers_of(process.pid)))  # of whom the supervisor knows that they serve
        stopped = min(second)
        os.kill(stopped, signal.SIGSTOP)
        renewed(second)
        assert asked(address).status_code == 200

    killed = [line["message"] for line in log_of(tmp_path) if "is killed" in line["message"]]
    assert killed == [f"worker {stopped} did not end in time and is killed"]


def test_a_death_is_told_whatever_the_signal() -> None:
    ends = [supervisor._how_it_ended(code) for code in (-signal.SIGKILL, -37, 3)]

    assert ends == ["died of SIGKILL", "died of signal 37", "ended with 3"]


def test_a_port_belongs_to_the_first_who_asks_from_then_on() -> None:
    (first,) = bound("127.0.0.1", 0)
    with first, pytest.raises(ConfigurationError, match=r"cannot listen on port .* \(Address already in use\)"):
        bound("127.0.0.1", first.getsockname()[1])


def test_a_pause_doubles_up_to_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    pause = supervisor.Pause()
    lengths = []
    for _ in range(7):
        pause.begin()
        pause.begin()  # another that dies meanwhile
        lengths.append(pause.left)
        now += pause.left
    pause.forget()
    pause.begin()

    assert lengths == [1, 2, 4, 8, 16, 30, 30]
    assert pause.left == 1


def test_sigttin_and_sigttou_change_how_many_there_are(published: Path, tmp_path: Path) -> None:
    with two_workers(published, tmp_path) as (process, address):
        process.send_signal(signal.SIGTTIN)
        wait_until(lambda: metric(address, "tutti_workers") == 3)
        for _ in range(3):  # the last stays
            process.send_signal(signal.SIGTTOU)
            time.sleep(0.5)
        wait_until(lambda: len(workers_of(process.pid)) == 1)
        live = metric(address, "tutti_workers")
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)

    assert live == 1
    assert code == 0
    assert any("one worker stays" in line["message"] for line in log_of(tmp_path))


def test_workers_end_with_their_supervisor_and_leave_nothing(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(temporary))
    with two_workers(published, tmp_path) as (process, address):
        workers = workers_of(process.pid)
        there = list(temporary.glob("tutti-metrics-*"))
        process.kill()
        process.wait()
        wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
            pass  # the port is free

    assert len(there) == 1
    assert list(temporary.glob("tutti-metrics-*")) == []
    ends = [line for line in log_of(tmp_path) if "Finished server process" in line["message"]]
    assert len(ends) == 2


def test_a_hang_up_of_the_terminal_does_not_kill_workers(published: Path, tmp_path: Path) -> None:
    with two_workers(published, tmp_path) as (process, address):
        for worker in workers_of(process.pid):
            os.kill(worker, signal.SIGHUP)
        time.sleep(1)

        assert metric(address, "tutti_worker_deaths_total") == 0


def test_one_worker_ignores_sighup_and_says_so(published: Path, tmp_path: Path) -> None:
    with served(published, tmp_path) as (process, address):
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: any("SIGHUP" in line["message"] for line in log_of(tmp_path)))

        wait_for(process, address, "/health/ready")


def test_workers_without_a_temporary_folder_are_refused_with_what_to_do(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path / "nowhere"))

    with pytest.raises(ConfigurationError, match=r"SERVICE_WORKERS: 2 workers .* set TMPDIR .* --tmpfs /tmp"):
        server.serve(settings.model_copy(update={"workers": 2}))
