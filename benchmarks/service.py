"""CPU time and latency of group requests beside a naive service: 22,000 tracks, dim 32, groups of 5.

    python -m benchmarks.service [--seconds 4] [--rounds 3]

Both servers run at once, one process and one torch thread each; a process of its own loads them in turn, several
times. What counts is the server's CPU time (user + system) a request, since it depends least on what else the
machine does; of the figures and of their ratios to the naive service in the same round, the medians are kept.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil

from benchmarks.world import publish

RESULTS = Path(__file__).parent / "results" / "service.json"
USERS, TRACKS, DIM, MEMBERS = 5_000, 22_000, 32, 5
CONNECTIONS = 64
Row = dict[str, float]


@contextmanager
def server(command: list[str], path: str, environment: dict[str, str]) -> Iterator[tuple[psutil.Process, int]]:
    """Yield the process that `command PORT` starts and its port, once `path` answers 200."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", *command, "--port", str(port)], env=os.environ | environment)
    try:
        while not answers(f"http://127.0.0.1:{port}{path}"):
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            time.sleep(0.1)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    """Return whether an address answers with 200."""
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310, an address of ours
            return True
    except (urllib.error.URLError, OSError):
        return False


def load(process: psutil.Process, port: int, connections: int, seconds: float, bodies: Path) -> Row:
    """Load a server and return what a request cost it."""
    before = process.cpu_times()
    command = [sys.executable, "-m", "benchmarks.load", str(port), str(connections), str(seconds)]
    with bodies.open("rb") as file:
        done = json.loads(subprocess.run(command, check=True, stdin=file, stdout=subprocess.PIPE).stdout)
    after = process.cpu_times()
    assert done["failures"] == 0
    cpu = after.user - before.user + after.system - before.system
    return {"cpu_us": 1e6 * cpu / done["requests"], "p50_ms": done["p50_ms"], "p99_ms": done["p99_ms"]}


def write_bodies(path: Path, **more: object) -> Path:
    """Write a thousand requests for random groups."""
    draw = random.Random(0)  # noqa: S311, repeatable
    groups = ([f"u{draw.randrange(USERS)}" for _ in range(MEMBERS)] for _ in range(1000))
    path.write_text("".join(json.dumps({"user_ids": group, **more}) + "\n" for group in groups))
    return path


def measure(folder: Path, seconds: float, rounds: int) -> list[dict[str, str | float]]:
    """Return one row a service and number of connections."""
    models = folder / "models"
    publish(models, "wmf", USERS, TRACKS, DIM)
    bodies = {
        "naive": write_bodies(folder / "naive"),
        "average": write_bodies(folder / "average", strategy="average"),
        "fair_share": write_bodies(folder / "fair_share", strategy="fair_share"),
    }
    ours = {"SERVICE_REQUIRED_MODELS": "wmf", "SERVICE_FALLBACK_MODEL": "wmf", "SERVICE_SIMILAR_MODEL": "wmf"}
    naive = ["uvicorn", "benchmarks.naive_service:application", "--factory", "--no-access-log", "--log-level", "error"]
    with (
        server(
            ["service", "--models", str(models), "--device", "cpu"],
            "/health/ready",
            ours | {"SERVICE_EXPOSURES": str(folder / "exposures.jsonl")},
        ) as tutti,
        server(naive, "/docs", {"MODELS": str(models)}) as plain,
    ):
        servers = {"naive": plain, "average": tutti, "fair_share": tutti}
        found: dict[tuple[str, int], list[Row]] = {}
        for _ in range(rounds + 1):
            for connections in (1, CONNECTIONS):
                for name, (process, port) in servers.items():
                    row = load(process, port, connections, seconds, bodies[name])
                    found.setdefault((name, connections), []).append(row)
    return [
        {"service": name, "connections": connections, **medians(rows[1:], found["naive", connections][1:])}
        for (name, connections), rows in found.items()  # the first round warms up
    ]


def medians(rows: list[Row], naive: list[Row]) -> Row:
    """Return the median of each figure over the rounds, and of its ratio to the naive service's in the same round."""
    ratios = [
        {key: row[key] / plain[key] for key in ("cpu_us", "p50_ms")} for row, plain in zip(rows, naive, strict=True)
    ]
    return {key: median(row[key] for row in rows) for key in rows[0]} | {
        f"{key}_ratio": median(ratio[key] for ratio in ratios) for key in ratios[0]
    }


def main() -> None:
    """Print the ratios to the naive service and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.seconds, arguments.rounds)
    for row in rows:
        print(
            "  ".join(
                f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
