import json
import os
import threading
import time
from pathlib import Path

import pytest

from service.experiments.exposure import Exposure, ExposureLog
from tests.service.test_line_file import full_at


def exposure(number: int) -> Exposure:
    return Exposure(
        timestamp="2025-01-02T03:04:05+00:00",
        recommendation_id=f"rec_{number}",
        unit="group:käthe's",
        experiment=None,
        variant=None,
        model="wmf",
        model_version="v1",
        strategy="average",
        seed=number,
        track_ids=[f"t{track}" for track in range(200)],
        assigned_by="default",
        degraded=False,
    )


def test_all_that_waits_is_written_on_closing(tmp_path: Path) -> None:
    log = ExposureLog(str(tmp_path / "log"), on_lost=pytest.fail)
    for number in range(500):
        log.add(exposure(number))
    log.close()

    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["seed"] for line in lines] == list(range(500))


def test_lines_of_several_logs_on_one_file_stay_whole(tmp_path: Path) -> None:
    def write() -> None:
        log = ExposureLog(str(tmp_path / "log"), on_lost=pytest.fail)
        for number in range(300):
            log.add(exposure(number))
        log.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert len([json.loads(line) for line in lines]) == 1200


def test_lines_of_several_logs_on_one_pipe_stay_whole() -> None:
    reader, writer = os.pipe()

    def write() -> None:
        log = ExposureLog(f"/dev/fd/{writer}", on_lost=pytest.fail)
        for number in range(300):
            log.add(exposure(number))
        log.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    with open(reader, "rb") as pipe:
        lines = [pipe.readline() for _ in range(1200)]
    for thread in threads:
        thread.join()
    os.close(writer)

    assert sorted(json.loads(line)["seed"] for line in lines) == sorted([*range(300)] * 4)


def test_a_reader_who_does_not_read_costs_lines_and_no_memory() -> None:
    reader, writer = os.pipe()
    lost: list[int] = []
    log = ExposureLog(f"/dev/fd/{writer}", on_lost=lost.append, waiting_at_most=10)
    os.close(writer)
    for number in range(500):  # 1.6 KB each, and a pipe holds 64
        log.add(exposure(number))
    closing = threading.Thread(target=log.close)
    closing.start()
    with open(reader, "rb") as pipe:
        written = [json.loads(line)["seed"] for line in pipe]
    closing.join()

    assert sum(lost) > 0
    assert len(written) == 500 - sum(lost)


def test_what_a_full_disk_loses_is_counted() -> None:
    lost: list[int] = []
    log = ExposureLog("/dev/full", on_lost=lost.append)
    log.add(exposure(1))
    log.add(exposure(2))
    log.close()

    assert sum(lost) == 2


def test_a_disk_that_was_full_for_a_while_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (1 << 20) + b"\n")  # whatever else this process writes is far shorter
    logs = [ExposureLog(str(path), on_lost=pytest.fail) for _ in range(3)]
    with full_at(path.stat().st_size + 20_000):  # a dozen lines of 1.6 KB
        for number in range(90):
            logs[number % 3].add(exposure(number))
        while path.stat().st_size < (1 << 20) + 20_000:
            time.sleep(0.01)
        time.sleep(0.3)
    for log in logs:
        log.close()

    written = [line for line in path.read_text(encoding="utf-8").splitlines()[1:] if is_json(line)]
    assert sorted(json.loads(line)["seed"] for line in written) == list(range(90))
    assert b"}{" not in path.read_bytes()


def is_json(line: str) -> bool:
    try:
        return bool(json.loads(line))
    except ValueError:
        return False


def test_a_file_that_is_moved_away_again_and_again_loses_nothing(tmp_path: Path) -> None:
    logs = [ExposureLog(str(tmp_path / "log"), on_lost=pytest.fail) for _ in range(2)]
    for number in range(1000):
        logs[number % 2].add(exposure(number))
        if number % 100 == 50:
            time.sleep(0.15)
            (tmp_path / "log").rename(tmp_path / f"log.{number}")
    for log in logs:
        log.close()

    lines = [line for file in tmp_path.iterdir() for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(list(tmp_path.iterdir())) == 11
    assert sorted(json.loads(line)["seed"] for line in lines) == list(range(1000))


def test_exposures_wait_for_who_reads_the_pipe_and_for_the_next(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    log = ExposureLog(str(tmp_path / "pipe"), on_lost=pytest.fail)
    seen = []
    for turn in range(3):
        log.add(exposure(turn))
        time.sleep(0.3)  # while nobody reads
        with (tmp_path / "pipe").open() as pipe:
            seen.append(json.loads(pipe.readline())["seed"])
    log.close()

    assert seen == [0, 1, 2]


def test_a_pipe_that_nobody_reads_does_not_hold_up_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe")
    lost: list[int] = []
    log = ExposureLog(str(tmp_path / "pipe"), on_lost=lost.append)
    for number in range(3):
        log.add(exposure(number))
    log.close()

    assert sum(lost) == 3
    assert "3 exposures that wait are lost: nobody reads the pipe" in caplog.messages


def test_a_reader_who_stands_still_to_the_end_costs_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.experiments.exposure._PATIENCE", 0.5)
    reader, writer = os.pipe()
    lost: list[int] = []
    log = ExposureLog(f"/dev/fd/{writer}", on_lost=lost.append)
    os.close(writer)
    for number in range(100):  # 1.6 KB each, and a pipe holds 64
        log.add(exposure(number))
    log.close()
    os.set_blocking(reader, False)
    written = os.read(reader, 1 << 20).count(b"\n")
    os.close(reader)

    assert written > 0
    assert written + sum(lost) == 100


def test_losses_are_counted_one_by_one_and_said_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[int] = []
    log = ExposureLog("/dev/full", on_lost=lost.append, waiting_at_most=10)
    for number in range(25):
        log.add(exposure(number))
        time.sleep(0.02)  # several flushes

    assert sum(lost) == 15
    assert len([line for line in caplog.messages if "cannot be written" in line]) == 1
    log.close()
    assert sum(lost) == 25
    assert caplog.messages[-1] == "25 exposures are lost in all"


def test_an_exposure_that_comes_after_the_end_is_counted(tmp_path: Path) -> None:
    lost: list[int] = []
    log = ExposureLog(str(tmp_path / "log"), on_lost=lost.append)
    log.close()
    log.add(exposure(1))

    assert lost == [1]


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    log = ExposureLog("-", on_lost=pytest.fail)
    log.add(exposure(7))
    log.close()

    assert json.loads(capfd.readouterr().out)["recommendation_id"] == "rec_7"
    os.fstat(1)  # and it is still open
