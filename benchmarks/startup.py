"""How long until the service is ready, and how much memory it holds: 20,000 users x 50,000 tracks, dim 64.

    python -m benchmarks.startup [--rounds 3]

`seconds` runs from the start of the process to the first 200 of /health/ready, the import of torch included;
`cpu_seconds` is what the process used until then, `resident_mb` its memory after some playlists.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import psutil

from benchmarks.service import answers
from benchmarks.world import publish

RESULTS = Path(__file__).parent / "results" / "startup.json"
USERS, TRACKS, DIM = 20_000, 50_000, 64
ONLY_ONE = {f"SERVICE_{role}": "wmf" for role in ("REQUIRED_MODELS", "FALLBACK_MODEL", "SIMILAR_MODEL")}


def start(models: Path) -> dict[str, float]:
    """Start the service once and return what that took."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "--models", str(models), "--port", str(port), "--device", "cpu"],
        env=os.environ | ONLY_ONE | {"SERVICE_EXPOSURES": os.devnull},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not answers(f"http://127.0.0.1:{port}/health/ready"):
            assert process.poll() is None, f"it ended with {process.returncode}"
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        used = psutil.Process(process.pid).cpu_times()
        for first in range(0, 100, 5):
            ask(port, [f"u{row}" for row in range(first, first + 5)])
        resident = psutil.Process(process.pid).memory_info().rss
        return {"seconds": seconds, "cpu_seconds": used.user + used.system, "resident_mb": resident / 1e6}
    finally:
        process.terminate()
        process.wait()


def ask(port: int, user_ids: list[str]) -> None:
    """Ask for a playlist."""
    address, headers = f"http://127.0.0.1:{port}/recommendations/group", {"Content-Type": "application/json"}
    body = json.dumps({"user_ids": user_ids}).encode()
    request = urllib.request.Request(address, body, headers)
    with urllib.request.urlopen(request) as response:  # noqa: S310
        assert response.status == 200


def main() -> None:
    """Print the medians and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        publish(Path(folder), "wmf", USERS, TRACKS, DIM)
        runs = [start(Path(folder)) for _ in range(rounds + 1)][1:]  # the first fills the page cache
    result = {"users": USERS, "tracks": TRACKS, "dim": DIM} | {key: median(run[key] for run in runs) for key in runs[0]}
    print("  ".join(f"{key} {value:.4g}" for key, value in result.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
