"""What happens to requests that have to wait: some are refused, some leave."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.service.worlds import running

BODY = {"user_ids": ["ann"], "model": "wmf"}


@asynccontextmanager
async def busy(app: FastAPI) -> AsyncIterator[None]:
    """Keep the one thread of the model busy meanwhile."""
    release = threading.Event()
    app.state.runtime.models["wmf"].executor.submit(release.wait)
    try:
        yield
    finally:
        release.set()


async def waiting(app: FastAPI, requests: int) -> None:
    """Return when so many requests wait for the model, beside those in the batch that has begun."""
    while app.state.runtime.models["wmf"].groups.waiting < requests:  # noqa: ASYNC110, the queue tells nobody
        await asyncio.sleep(0.001)


async def test_a_full_queue_answers_503_and_when_to_try_again(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"queue_capacity": 1}))
    async with running(app) as client:
        async with busy(app):
            first = asyncio.create_task(client.post("/recommendations/group", json=BODY))
            await asyncio.sleep(0.05)  # it is in the batch that has begun
            second = asyncio.create_task(client.post("/recommendations/group", json=BODY))
            await waiting(app, 1)
            refused = await client.post("/recommendations/group", json=BODY)
            meanwhile = (await client.get("/metrics")).text.splitlines()
            other_model = await client.post("/recommendations/group", json=BODY | {"model": "basic"})
        answered: list[httpx.Response] = await asyncio.gather(first, second)
        later = (await client.get("/metrics")).text.splitlines()

    assert 'tutti_queue_length{queue="wmf"} 1.0' in meanwhile
    assert 'tutti_queue_length{queue="wmf"} 0.0' in later
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert other_model.status_code == 200
    assert [each.status_code for each in answered] == [200, 200]


async def test_a_client_that_hangs_up_while_it_waits_is_not_scored(settings: Settings) -> None:
    app = create_app(settings)
    hung_up = False
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if hung_up:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b'{"user_ids": ["ann"], "model": "wmf"}', "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/recommendations/group",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    async with running(app) as client:
        async with busy(app):
            first = asyncio.create_task(client.post("/recommendations/group", json=BODY))
            await asyncio.sleep(0.05)
            leaving = asyncio.create_task(app(scope, receive, send))
            await waiting(app, 1)
            hung_up = True
        await asyncio.gather(first, leaving)
        metrics = (await client.get("/metrics")).text.splitlines()

    assert sent == []
    assert 'tutti_requests_total{method="POST",route="/recommendations/group",status="499"} 1.0' in metrics
    assert 'tutti_queue_seconds_count{queue="wmf"} 1.0' in metrics  # the one who stayed
