import json
import logging
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx
import numpy as np
import pytest
import safetensors.numpy
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from service.app import create_app
from service.batching import BatchingScorer
from service.core import compiled
from service.core.group import GroupRanking
from service.core.query import GroupQuery
from service.settings import Settings
from tests.service.worlds import exposures, running, serving


async def test_it_is_live_before_it_is_ready(settings: Settings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            live, ready = await client.get("/health/live"), await client.get("/health/ready")
            early = await client.post("/recommendations/group", json={"user_ids": ["ann"]})
            await app.state.runtime.loaded()
            later = await client.get("/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert "wmf: loading" in ready.json()["detail"]
    assert (early.status_code, early.json()["code"]) == (503, "model_unavailable")
    assert early.headers["retry-after"] == "1"
    assert (later.status_code, later.json()) == (200, {"status": "ready"})


async def test_it_answers_below_a_path_of_another_application(settings: Settings) -> None:
    app, outer = create_app(settings), FastAPI()
    outer.mount("/tutti", app)
    async with app.router.lifespan_context(app):
        await app.state.runtime.loaded()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://test/tutti") as client:
            playlist = await client.post("/recommendations/group", json={"user_ids": ["ann"]})
            mistake = await client.post("/recommendations/group", json={"user_ids": []})

    assert playlist.json()["tracks"][0]["track_id"] == "rock-1"
    assert (mistake.status_code, mistake.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/models", "/metrics", "/similar-tracks/rock-1", "/similar-tracks/nope"]
)
async def test_head_is_answered_as_get_is(client: httpx.AsyncClient, path: str) -> None:
    get, head = await client.get(path), await client.head(path)

    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers.get("etag") == get.headers.get("etag")


async def test_a_route_names_the_methods_that_it_answers(client: httpx.AsyncClient) -> None:
    get, post = await client.post("/models"), await client.head("/recommendations/group")

    assert (get.status_code, get.headers["allow"]) == (405, "GET, HEAD")
    assert (post.status_code, post.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("below", ["", "/tutti"])
async def test_the_documentation_needs_nothing_from_elsewhere(settings: Settings, below: str) -> None:
    outer = Starlette(routes=[Mount(below, create_app(settings))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://test") as client:
        page = await client.get(f"{below}/docs")
        loaded = re.findall(r"""(?:href|src)="([^"]+)"|url: '([^']+)'""", page.text)
        parts = [await client.get(page.url.join(address or document)) for address, document in loaded]

    assert [part.url.path for part in parts] == [
        f"{below}/docs/swagger-ui.css",
        f"{below}/docs/favicon.png",
        f"{below}/docs/swagger-ui-bundle.js",
        f"{below}/openapi.json",
    ]
    assert [(part.url.host, part.status_code) for part in parts] == [("test", 200)] * 4


async def test_what_the_documentation_does_not_load_is_not_found(client: httpx.AsyncClient) -> None:
    for name in ("nothing.js", "..", "%00"):
        assert (await client.get(f"/docs/{name}")).status_code == 404


async def test_models_say_what_they_are_and_what_for(client: httpx.AsyncClient) -> None:
    basic, softmax, wmf = (await client.get("/models")).json()["models"]

    assert basic["roles"] == ["fallback"]
    assert softmax["roles"] == ["similar"]
    assert wmf == {
        "name": "wmf",
        "version": "v1",
        "algorithm": "wmf",
        "kind": "factors",
        "trained_at": "2025-01-02T00:00:00Z",
        "users": 3,
        "groups": 0,
        "tracks": 12,
        "default_strategy": "fair_share",
        "similar_tracks": True,
        "roles": ["default"],
        "metrics": {},
    }


async def test_metrics_count_what_happened(client: httpx.AsyncClient) -> None:
    await client.post("/recommendations/group", json={"user_ids": ["ann"]})
    await client.post("/recommendations/group", json={})
    await client.get("/similar-tracks/rock-1")
    await client.get("/nowhere")

    lines = (await client.get("/metrics")).text.splitlines()

    assert 'tutti_requests_total{method="POST",route="/recommendations/group",status="200"} 1.0' in lines
    assert 'tutti_requests_total{method="POST",route="/recommendations/group",status="422"} 1.0' in lines
    assert 'tutti_requests_total{method="GET",route="/similar-tracks/{track_id:path}",status="200"} 1.0' in lines
    assert 'tutti_requests_total{method="GET",route="none",status="404"} 1.0' in lines
    assert 'tutti_batch_size_count{queue="wmf"} 1.0' in lines
    assert 'tutti_queue_seconds_count{queue="softmax/similar"} 1.0' in lines
    assert 'tutti_exposures_total{experiment="",model="wmf",variant=""} 1.0' in lines
    assert f"tutti_compiled {float(compiled.BUILT)}" in lines
    assert 'tutti_model_info{algorithm="wmf",kind="factors",name="wmf",version="v1"} 1.0' in lines


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system has no /proc")
async def test_metrics_tell_of_the_process(client: httpx.AsyncClient) -> None:
    text = (await client.get("/metrics")).text

    for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds"):
        assert f"\nprocess_{name} " in text


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove])
@pytest.mark.parametrize("file", ["arrays.safetensors", "tracks.txt"])
async def test_a_damaged_artifact_is_named_in_the_log_and_the_others_answer(
    settings: Settings, models: Path, damage: Callable[[Path], None], file: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(models / "wmf" / "v1" / file)

    async with serving(settings.model_copy(update={"models": models})) as client:
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
        answer = (await client.post("/recommendations/group", json={"user_ids": ["ann"]})).json()
        named = await client.post("/recommendations/group", json={"user_ids": ["ann"], "model": "wmf"})

    digest = json.loads((models / "wmf/v1/manifest.json").read_text())["sha256"][file]
    (reason,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert file in reason
    assert digest in reason
    assert (live.status_code, ready.status_code) == (200, 503)
    assert ready.json()["errors"] == [
        {"pointer": "/wmf", "detail": "its artifact cannot be used; the log says why", "code": "not_ready"}
    ]
    assert answer["degraded"] is True
    assert (answer["model"]["name"], answer["strategy"]) == ("basic", "shared_first")
    assert [warning["code"] for warning in answer["warnings"]][-1] == "degraded"
    assert named.status_code == 503


async def test_a_model_with_nan_is_not_served(
    settings: Settings, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays_file, manifest_file = models / "wmf/v1/arrays.safetensors", models / "wmf/v1/manifest.json"
    arrays = safetensors.numpy.load_file(arrays_file)
    arrays["user_factors"][0, 0] = np.nan
    safetensors.numpy.save_file(arrays, arrays_file)
    manifest = json.loads(manifest_file.read_text())
    manifest["sha256"]["arrays.safetensors"] = sha256(arrays_file.read_bytes()).hexdigest()
    manifest_file.write_text(json.dumps(manifest))

    async with serving(settings.model_copy(update={"models": models})) as client:
        ready = await client.get("/health/ready")

    assert ready.status_code == 503
    assert "user_factors" in caplog.text
    assert "NaN" in caplog.text
    assert manifest["sha256"]["arrays.safetensors"] in caplog.text


@pytest.mark.parametrize("gone", ["wmf/CURRENT", "wmf/v1", "wmf"])
async def test_a_missing_artifact_keeps_the_service_from_ready_but_alive(
    settings: Settings, models: Path, gone: str
) -> None:
    path = models / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    async with serving(settings.model_copy(update={"models": models})) as client:
        live, ready = await client.get("/health/live"), await client.get("/health/ready")

    assert (live.status_code, ready.status_code) == (200, 503)
    assert "wmf" in ready.json()["detail"]


async def test_readiness_tells_a_model_that_is_missing_from_one_that_is_damaged(
    settings: Settings, models: Path
) -> None:
    shutil.rmtree(models / "wmf")
    remove(models / "softmax" / "v1" / "tracks.txt")

    async with serving(settings.model_copy(update={"models": models})) as client:
        ready = await client.get("/health/ready")

    assert ready.json()["detail"] == (
        "softmax: its artifact cannot be used; the log says why; "
        "wmf: it was not in the folder of models when the service started; start it again when it is"
    )


async def test_a_unit_keeps_its_variant_in_the_log_while_the_fallback_answers(
    with_experiment: Settings, models: Path
) -> None:
    shutil.rmtree(models / "wmf")
    ask = [{"user_ids": ["ann"], "group_id": f"group-{number}"} for number in range(20)]

    async with serving(with_experiment) as client:
        before = [(await client.post("/recommendations/group", json=body)).json() for body in ask]
    async with serving(with_experiment.model_copy(update={"models": models})) as client:
        after = [(await client.post("/recommendations/group", json=body)).json() for body in ask]

    assert [each["assignment"] for each in after] == [each["assignment"] for each in before]
    assert {each["model"]["name"] for each in after} == {"basic"}
    for line in exposures(with_experiment)[20:]:
        assert line["model"] == "basic"
        assert line["degraded"] is (line["variant"] == "advanced")


def break_groups(app: FastAPI, name: str) -> None:
    """Have a loaded model raise on every group."""

    def broken(queries: Sequence[GroupQuery]) -> list[GroupRanking]:
        raise RuntimeError("out of memory")

    models = app.state.runtime.models
    queue = BatchingScorer(broken, models[name].executor, capacity=8, batch_limit=8, report=lambda *_: None)
    models[name] = replace(models[name], groups=queue)


async def test_the_fallback_stands_in_for_a_model_that_fails_to_score(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)
    async with running(app) as client:
        break_groups(app, "wmf")
        answer = (await client.post("/recommendations/group", json={"user_ids": ["ann"]})).json()
        named = await client.post("/recommendations/group", json={"user_ids": ["ann"], "model": "wmf"})
        break_groups(app, "basic")
        metrics = (await client.get("/metrics")).text
        nobody = await client.post("/recommendations/group", json={"user_ids": ["ann"]})

    assert (answer["model"]["name"], answer["degraded"]) == ("basic", True)
    assert (named.status_code, named.json()["code"]) == (503, "model_unavailable")
    assert nobody.status_code == 503
    assert 'tutti_degraded_total{model="wmf"} 1.0' in metrics.splitlines()
    assert "out of memory" in caplog.text
    assert "out of memory" not in named.text
