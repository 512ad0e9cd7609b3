"""Both images, built and run for real: the trainer fills a volume, the service answers from it and stops when told.

They run as docker-compose.yml says, in a project of their own and on a free port.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.documentation import ROOT, blocks, commands

LARGEST_IMAGES = {"CPU": 1_200_000_000, "CUDA": 5_700_000_000}
"""Bytes of the service image with either build of PyTorch; README.md says how large it is."""

pytestmark = pytest.mark.container


class Compose:
    """`docker compose` in one project."""

    def __init__(self) -> None:
        self.project = f"tutti-test-{uuid4().hex[:8]}"

    def __call__(self, *arguments: str) -> str:
        """Run a command and return what it prints; its complaints are part of the failure."""
        command = ["docker", "compose", "--project-name", self.project, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PORT": "0"}, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def service(self, script: str) -> str:
        """Run a shell script inside the service's container."""
        return self("exec", "-T", "service", "sh", "-c", script)


def docker(*arguments: str) -> str:
    """Run a command of the engine and return what it prints."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    try:
        subprocess.run(["docker", "info"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NOT TESTED: the images, because no container engine runs here (`docker info` fails)")
    compose = Compose()
    try:
        compose("build")
        compose("up", "--detach", "--wait", "service")
        yield compose
    finally:
        print(compose("logs", "--no-color", "--tail", "100"))
        compose("down", "--volumes")


def test_a_group_gets_a_playlist_over_http(compose: Compose) -> None:
    members = compose.service("head -n 3 /models/wmf/$(cat /models/wmf/CURRENT)/users.txt").splitlines()
    url = f"http://{compose('port', 'service', '8000')}/recommendations/group"

    answer = httpx.post(url, json={"user_ids": members, "limit": 10}).raise_for_status().json()

    assert len(answer["tracks"]) == 10
    assert [member["status"] for member in answer["members"]] == ["known"] * 3


def test_the_readmes_requests_are_answered(compose: Compose) -> None:
    """On the sample data, where the images and `make run` train the same models."""
    base = f"http://{compose('port', 'service', '8000')}"
    requests = [words for words in commands(ROOT / "README.md") if words[0] == "curl"]
    answers = []
    for words in requests:
        url = next(word for word in words if word.startswith("http")).replace("http://127.0.0.1:8000", base)
        body = words[words.index("-d") + 1] if "-d" in words else None
        headers = {"Content-Type": "application/json"}
        answer = httpx.request("GET" if body is None else "POST", url, content=body, headers=headers)
        answers.append(answer.raise_for_status().json())

    promised = json.loads(blocks(ROOT / "README.md", "json")[0])
    assert answers[0].keys() == promised.keys()
    assert answers[0]["members"] == promised["members"]
    assert set(answers[0]["tracks"][0]) == set(promised["tracks"][0])
    titles = [{track["title"] for track in answer["tracks"]} for answer in (answers[0], promised)]
    assert len(titles[0] & titles[1]) >= 3, titles  # of five; processors round differently, so near-ties may swap


def test_the_service_is_not_root_and_gains_no_rights(compose: Compose) -> None:
    status = compose.service("cat /proc/self/status")

    assert compose.service("id -u") == "10001"
    assert "NoNewPrivs:\t1" in status
    assert "CapBnd:\t0000000000000000" in status


def test_neither_the_code_nor_the_models_can_be_written(compose: Compose) -> None:
    for folder in ("/app", "/models", "/venv"):
        assert "Read-only" in compose.service(f"touch {folder}/x 2>&1 || true")


def test_the_service_image_has_no_training_code_and_no_compiler(compose: Compose) -> None:
    for name in ("training", "duckdb", "pandas", "numba", "scipy", "matplotlib"):
        assert "ModuleNotFoundError" in compose.service(f"python -c 'import {name}' 2>&1 || true")
    assert compose.service("command -v cc gcc clang make || echo none") == "none"


def test_the_images_rank_by_compiled_code(compose: Compose) -> None:
    metrics = httpx.get(f"http://{compose('port', 'service', '8000')}/metrics").text

    assert "tutti_compiled 1.0" in metrics.splitlines()


def test_the_service_image_is_no_larger_than_the_readme_says(compose: Compose) -> None:
    build = compose.service("""python -c 'import torch; print("CUDA" if torch.version.cuda else "CPU")'""")

    assert int(docker("image", "inspect", "--format", "{{.Size}}", "tutti-service")) <= LARGEST_IMAGES[build]


def test_cuda_is_refused_with_one_line_where_no_gpu_is_given(compose: Compose) -> None:
    (line,) = compose.service("python -m service --device cuda 2>&1 || true").splitlines()

    assert line.startswith("--device: 'cuda' is wanted, but ")


def test_training_stops_when_it_is_told(compose: Compose) -> None:
    container = compose("run", "--detach", "--volume", "/models", "training")  # a volume without models
    try:
        docker("stop", container)  # with a signal 9 after ten seconds
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "143"
    finally:
        docker("rm", "--force", "--volumes", container)


def test_the_service_stops_within_its_grace_period(compose: Compose) -> None:
    container = compose("ps", "--quiet", "service")

    compose("stop", "service")

    exit_code = docker("inspect", "--format", "{{.State.ExitCode}}", container)
    assert exit_code == "0"  # 137 had it been killed at the end of the grace period
