import json
import os
import threading
from pathlib import Path

import pytest

from service.experiments.exposure import Exposure, ExposureLog


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


def test_what_a_full_disk_loses_is_counted(tmp_path: Path) -> None:
    lost: list[int] = []
    log = ExposureLog("/dev/full", on_lost=lost.append)
    log.add(exposure(1))
    log.add(exposure(2))
    log.close()

    assert sum(lost) == 2


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    log = ExposureLog("-", on_lost=pytest.fail)
    log.add(exposure(7))
    log.close()

    assert json.loads(capfd.readouterr().out)["recommendation_id"] == "rec_7"
    os.fstat(1)  # and it is still open
