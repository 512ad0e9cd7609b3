import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest

from tests.prepare.worlds import event, run, scores, write_json
from training.prepare.database import open_database

ENDLESS = "SELECT sum(a.range * b.range) FROM range(10_000_000) AS a, range(10_000_000) AS b"


def test_ctrl_c_stops_every_query_that_runs(tmp_path: Path) -> None:
    with open_database("100MB", 2, tmp_path) as database:
        beside = database.cursor()
        Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

        with pytest.raises(KeyboardInterrupt):
            database.run(lambda: beside.execute(ENDLESS))

        assert database.run(lambda: beside.execute("SELECT 7").fetchall()) == [(7,)]


def test_ctrl_c_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    run(tmp_path / "out", write_json(tmp_path / "small.jsonl", [event("u", "a")]))
    (tmp_path / "log.jsonl").write_bytes(b'{"user_id": "v", "track_id": "b"}\n' * 2_000_000)
    command = [sys.executable, "-m", "training", "prepare", "--events", "log.jsonl", "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob(".out.preparing-*/work")):
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)

    assert process.communicate()[1] == "prepare: interrupted\n"
    assert process.returncode == 130
    assert scores(tmp_path / "out") == {("u", "a"): 1.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "out", "small.jsonl"]
