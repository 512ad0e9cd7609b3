"""Serve the models of a folder and, once they are ready, say where and with which request to begin."""

import argparse
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HOST = "127.0.0.1"
GROUP = 4
"""Members of the group that the first request asks for."""


def main() -> int:
    """Run the service until it stops, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    base = f"http://{HOST}:{arguments.port}"
    command = [sys.executable, "-m", "service", "--models", str(arguments.models), "--host", HOST]
    service = subprocess.Popen([*command, "--port", str(arguments.port)])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the service too, and it stops by itself
    signal.signal(signal.SIGTERM, lambda *_: service.terminate())
    while service.poll() is None and not is_ready(base):
        time.sleep(0.1)
    if service.poll() is None:
        print(invitation(base, user_ids(arguments.models)), flush=True)
    return service.wait()


def is_ready(base: str) -> bool:
    """Return whether every model is loaded and answers."""
    try:
        with urllib.request.urlopen(f"{base}/health/ready", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def user_ids(models: Path) -> list[str]:
    """Return some users of a model, those with the shortest ids."""
    pointer = min(models.glob("*/CURRENT"))
    users = pointer.parent / pointer.read_text(encoding="utf-8").strip() / "users.txt"
    ids = users.read_text(encoding="utf-8").splitlines()
    return sorted(ids, key=lambda user_id: (len(user_id), user_id))[:GROUP]


def invitation(base: str, members: list[str]) -> str:
    """Return what a person reads when the service is ready."""
    body = json.dumps({"user_ids": members, "limit": 5})
    return f"""
Tutti is ready at {base}, its documentation at {base}/docs. Ask for a playlist:

    curl -s {base}/recommendations/group -H 'Content-Type: application/json' -d '{body}'

Ctrl-C stops it.
"""


if __name__ == "__main__":
    sys.exit(main())
