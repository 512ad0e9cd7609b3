"""Whatever a client sends, the service answers with a status that OpenAPI documents, and never with a 5xx."""

import json
import random
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.documentation import field_codes
from tests.service.worlds import FULL_REQUEST, running

PATH = "/recommendations/group"
BODIES = 10_000

ODD_VALUES = [
    b"null", b"true", b"-1", b"0", b"1e400", b"-1e400", b"NaN", b"Infinity", b"1.5", b"9007199254740993",
    b"9" * 400, b"9" * 5000, b'""', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\xff\xfe"', b'"\\u0000"',
    b'"' + b"x" * 5000 + b'"',
    b"[]", b"{}", b"[[]]", b'{"a": {}}', b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300,
    b'["a"' + b',"a"' * 20_000 + b"]", b"[0.5" + b",0.5" * 5000 + b"]", b"", b",", b'"', b"'a'", b"undefined",
]  # fmt: skip

CONTENT_TYPES = [
    *[b"application/json"] * 4, b"application/json; charset=latin-1",
    b"text/plain", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded", b"", b"\xff",
    b"application/xml",
]  # fmt: skip


def with_one_odd_value(draw: random.Random) -> bytes:
    """The valid request with something else in place of one of its values, somewhere."""
    body = json.loads(json.dumps(FULL_REQUEST))
    target = draw.choice([body, body["members"][0], body["members"][1], body["filters"]])
    target[draw.choice([*target, "novelty", "\ud800"])] = "@"
    return json.dumps(body).encode().replace(b'"@"', draw.choice(ODD_VALUES))


def with_odd_bytes(draw: random.Random) -> bytes:
    """The valid request with some bytes removed, doubled or changed."""
    body = bytearray(json.dumps(FULL_REQUEST).encode())
    for _ in range(draw.randint(1, 5)):
        place = draw.randrange(len(body))
        body[place : place + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
    return bytes(body)


def noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randint(0, 200))


def malformed(seed: int) -> Iterator[tuple[bytes, bytes]]:
    draw = random.Random(seed)  # noqa: S311, a fuzzer wants repeatable numbers, not secret ones
    for _ in range(BODIES):
        make = draw.choice([with_one_odd_value, with_one_odd_value, with_odd_bytes, noise])
        yield make(draw), draw.choice(CONTENT_TYPES)


async def post(app: FastAPI, body: bytes, content_type: bytes) -> tuple[int, bytes]:
    """Call the application as a server would; an HTTP client would take longer than what it calls."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "POST",
        "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"test"), (b"content-type", content_type)], "server": ("test", 80), "client": ("test", 1),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_10_000_malformed_bodies_are_answered_as_documented(settings: Settings) -> None:
    app = create_app(settings)
    documented = {int(status) for status in app.openapi()["paths"][PATH]["post"]["responses"]}
    codes = set(field_codes())
    seen: dict[int, int] = {}
    async with running(app):
        for body, content_type in malformed(seed=20):
            status, answer = await post(app, body, content_type)
            seen[status] = seen.get(status, 0) + 1
            assert status in documented - {500, 503}, (body, content_type)
            if status != 200:
                problem = json.loads(answer)
                assert problem["status"] == status
                assert {each["code"] for each in problem["errors"]} <= codes, body

    assert min(seen[400], seen[415], seen[422]) > 1000
