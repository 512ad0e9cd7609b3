import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from service.telemetry import MULTIPROCESS_FOLDER

WORKER = """
from service.telemetry import Metrics

metrics = Metrics()
metrics.queue_length.labels("wmf").set(int(input()))
print(metrics.exposition().decode(), flush=True)
input()
"""


def worker(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env=os.environ | {MULTIPROCESS_FOLDER: str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def total_with(process: subprocess.Popen, waiting: int) -> float:
    """What all workers together count when so many wait in this one."""
    process.stdin.write(f"{waiting}\n")
    process.stdin.flush()
    line = next(line for line in process.stdout if line.startswith('tutti_queue_length{queue="wmf"}'))
    return float(line.split()[-1])


def test_what_waited_in_a_worker_that_died_waits_no_more(tmp_path: Path) -> None:
    with worker(tmp_path) as first, worker(tmp_path) as second:
        counted = [total_with(first, 3), total_with(second, 4)]
        second.kill()
        second.wait()
        mark_process_dead(second.pid, str(tmp_path))  # as the supervisor does
        with worker(tmp_path) as replacement:
            counted.append(total_with(replacement, 1))
            replacement.kill()
        first.kill()

    assert counted == [3, 7, 4]
