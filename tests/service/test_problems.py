import json
import math
from collections.abc import AsyncIterator

import httpx
import pytest

from service.api.headers import EXPOSED, SENT
from service.api.problems import KINDS, ProblemCode
from service.app import create_app
from service.settings import Settings
from tests.documentation import ROOT, field_codes
from tests.service.worlds import running, serving

JSON = {"Content-Type": "application/json"}
MARK = "do-not-echo-me"
FIELD_CODES = field_codes()


async def test_a_problem_has_all_that_rfc_9457_asks_for(client: httpx.AsyncClient) -> None:
    response = await client.post("/recommendations/group", json={"user_ids": ["ann"], "limit": 0})

    request_id = response.headers["x-request-id"]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "/problems/validation-failed",
        "title": "The request does not say what is expected",
        "status": 422,
        "detail": "/limit: Input should be greater than or equal to 1",
        "instance": f"/requests/{request_id}",
        "code": "validation_failed",
        "request_id": request_id,
        "errors": [
            {"pointer": "/limit", "detail": "Input should be greater than or equal to 1", "code": "greater_than_equal"}
        ],
    }


@pytest.mark.parametrize("code", ProblemCode)
async def test_every_code_has_a_page_at_its_type(client: httpx.AsyncClient, code: ProblemCode) -> None:
    page = await client.get(f"/problems/{code.replace('_', '-')}")

    assert page.status_code == 200
    assert code in page.text
    assert KINDS[code].title in page.text


async def test_a_problem_without_a_page_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/problems/toothache")).status_code == 404


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (("POST", "/recommendations/group", b"{", JSON), 400, "unreadable_body"),
        (("POST", "/recommendations/group", b"", JSON), 400, "unreadable_body"),
        (("POST", "/recommendations/group", b'{"user_ids": ["\\ud800"]}', JSON), 400, "unreadable_body"),
        (("POST", "/recommendations/group", b"[" * 100_000, JSON), 400, "unreadable_body"),
        (("GET", "/nowhere", b"", {}), 404, "not_found"),
        (("GET", "/models/", b"", {}), 404, "not_found"),
        (("DELETE", "/models", b"", {}), 405, "method_not_allowed"),
        (("GET", "/recommendations/group", b"", {}), 405, "method_not_allowed"),
        (("POST", "/recommendations/group", b"{}", {}), 415, "unsupported_media_type"),
        (("POST", "/recommendations/group", b"{}", {"Content-Type": "text/plain"}), 415, "unsupported_media_type"),
        (("POST", "/recommendations/group", b'{"user_ids": ["ann"], "limit": NaN}', JSON), 422, "validation_failed"),
        (("POST", "/recommendations/group", b'{"members": [{"weight": 1e400}]}', JSON), 422, "validation_failed"),
        (("POST", "/recommendations/group", b'{"user_ids": [' + b"9" * 1000 + b"]}", JSON), 422, "validation_failed"),
        (("POST", "/recommendations/group", b'{"user_ids": [' + b"9" * 5000 + b"]}", JSON), 400, "unreadable_body"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_each_mistake_has_its_status(
    client: httpx.AsyncClient, request_: tuple[str, str, bytes, dict], status: int, code: str
) -> None:
    method, path, content, headers = request_

    response = await client.request(method, path, content=content, headers=headers)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["status"] == status


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/ld+json"])
async def test_json_by_any_of_its_names_is_read(client: httpx.AsyncClient, content_type: str) -> None:
    body = b'{"user_ids": ["ann"]}'

    response = await client.post("/recommendations/group", content=body, headers={"Content-Type": content_type})

    assert response.status_code == 200


async def test_a_byte_order_mark_before_a_body_is_ignored(client: httpx.AsyncClient) -> None:
    mark = b"\xef\xbb\xbf"

    read = await client.post("/recommendations/group", content=mark + b'{"user_ids": ["ann"]}', headers=JSON)
    twice = await client.post("/recommendations/group", content=mark + mark + b"{}", headers=JSON)

    assert (read.status_code, twice.status_code) == (200, 400)


async def test_a_body_that_says_it_is_too_long_is_not_read(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    response = await client.post(
        "/recommendations/group", content=body(), headers={**JSON, "Content-Length": str((1 << 20) + 1)}
    )

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


async def test_a_chunked_body_is_read_up_to_the_limit_and_no_further(client: httpx.AsyncClient) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1
            yield b" " * (1 << 16)

    response = await client.post("/recommendations/group", content=body(), headers=JSON)

    assert response.status_code == 413
    assert sent == 17  # 16 chunks of 64 KiB are 1 MiB


async def test_a_wish_in_the_query_is_refused_not_ignored(client: httpx.AsyncClient) -> None:
    body = {"user_ids": ["ann"]}

    refused = await client.post("/recommendations/group?limit=5&%FF=1", json=body)
    empty = await client.post("/recommendations/group?", json=body)
    health = await client.get("/health/live?cache=no")

    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/query/limit", "/query/\ufffd"]
    assert (empty.status_code, health.status_code) == (200, 200)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"user_ids": ["ann"] * 65}, "/user_ids: Input should have at most 64 items"),
        ({"user_ids": [""]}, "/user_ids/0: Input must not be empty"),
        ({"user_ids": ["x" * 257]}, "/user_ids/0: Input should have at most 256 characters"),
        ({"user_ids": [10**300]}, "/user_ids/0: Input should have at most 256 characters"),
        ({"members": [{"label": "x" * 101}]}, "/members/0/label: Input should have at most 100 characters"),
        ({"user_ids": "ann"}, "/user_ids: Input should be a valid array"),
        ({"members": ["ann"]}, "/members/0: Input should be an object"),
        ({}, "Give either user_ids or members"),
        ([], "Input should be an object"),
        ({"": 1}, "/: Extra inputs are not permitted"),
    ],
)
async def test_a_fault_is_told_in_words_of_json(client: httpx.AsyncClient, body: object, detail: str) -> None:
    response = await client.post("/recommendations/group", json=body)

    assert response.json()["detail"] == detail


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"user_ids": "ann"}, "array_type"),
        ({"user_ids": ["ann"], "explain": 1}, "boolean_type"),
        ({"user_ids": ["ann"], "limit": "5"}, "integer_type"),
        ({"members": [{"weight": "heavy"}]}, "number_type"),
        ({"members": ["ann"]}, "object_type"),
        ([], "object_type"),
        ({"user_ids": [None]}, "string_type"),
        ({"user_ids": [""]}, "too_short"),
        ({"user_ids": ["ann"] * 65}, "too_long"),
        ({"members": [{"label": "x" * 101}]}, "too_long"),
        ({"user_ids": ["ann"], "limit": 0}, "greater_than_equal"),
        ({"user_ids": ["ann"], "limit": 201}, "less_than_equal"),
        ({"user_ids": ["ann"], "seed": 1 << 53}, "less_than"),
        ({"members": [{"weight": math.inf}]}, "finite_number"),
        ({"user_ids": ["ann"], "limitt": 5}, "extra_forbidden"),
        ({}, "members"),
        ({"user_ids": ["ann"], "limit": 5, "n": 5}, "limit"),
        ({"user_ids": ["ann"], "strategy": "random"}, "unknown_strategy"),
        ({"user_ids": ["ann"], "model": "gpt"}, "unknown_model"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_each_fault_has_a_code_that_is_documented(client: httpx.AsyncClient, body: object, code: str) -> None:
    response = await client.post("/recommendations/group", content=json.dumps(body), headers=JSON)

    assert [each["code"] for each in response.json()["errors"]] == [code]
    assert code in FIELD_CODES


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=ten", "integer_type"),
        ("limit=" + "9" * 5000, "integer_type"),
        ("exclude_same_artist=maybe", "boolean_type"),
        ("page=3", "extra_forbidden"),
        ("limit=2&limit=3", "repeated"),
    ],
    ids=lambda value: value[:40],
)
async def test_a_query_has_the_same_codes(client: httpx.AsyncClient, query: str, code: str) -> None:
    response = await client.get(f"/similar-tracks/rock-1?{query}")

    assert [each["code"] for each in response.json()["errors"]] == [code]
    assert code in FIELD_CODES


async def test_nothing_that_was_sent_is_echoed(client: httpx.AsyncClient) -> None:
    wrong = [
        {"user_ids": [MARK], "limit": MARK},
        {"user_ids": [MARK], "model": MARK},
        {"user_ids": [MARK], "strategy": MARK},
        {"user_ids": [MARK], "filters": MARK},
    ]
    responses = [await client.post("/recommendations/group", json=body) for body in wrong]
    responses += [await client.get(f"/similar-tracks/{MARK}"), await client.get(f"/similar-tracks/rock-1?limit={MARK}")]

    assert {response.status_code for response in responses} == {404, 422}
    assert not any(MARK in response.text for response in responses)


async def test_a_thousand_mistakes_make_a_short_answer(client: httpx.AsyncClient) -> None:
    body = {"user_ids": ["ann"]} | {"x" * 1000 + str(number): 1 for number in range(500)}

    response = await client.post("/recommendations/group", json=body)

    assert response.status_code == 422
    assert len(response.content) < 10_000


async def test_a_bug_of_ours_is_a_problem_too(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(settings)
    app.state.runtime.plan = None  # a bug
    async with running(app) as client:
        response = await client.post("/recommendations/group", json={"user_ids": ["ann"]})

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "NoneType" not in response.text
    assert response.headers["x-request-id"] in caplog.text


async def test_a_request_id_comes_back(client: httpx.AsyncClient) -> None:
    response = await client.get("/health/live", headers={"X-Request-Id": "trace-1.2:3"})

    assert response.headers.get_list("x-request-id") == ["trace-1.2:3"]


@pytest.mark.parametrize("unfit", ["", ".a", "a b", "x" * 129, "<script>", "é"])
async def test_an_unfit_request_id_is_replaced(client: httpx.AsyncClient, unfit: str) -> None:
    headers = {"X-Request-Id": unfit.encode()}
    first, second = [await client.get("/health/live", headers=headers) for _ in range(2)]

    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_answers_say_which_version_and_what_it_took(client: httpx.AsyncClient) -> None:
    response = await client.post("/recommendations/group", json={"user_ids": ["ann"]})

    assert response.headers["x-model-version"] == "v1"
    queue, score = response.headers["server-timing"].split(", ")
    assert queue.startswith("queue;dur=")
    assert float(score.removeprefix("score;dur=")) > 0


async def test_pages_of_configured_origins_may_call_and_read_our_headers(settings: Settings) -> None:
    async with serving(settings.model_copy(update={"cors_origins": ("https://app.example",)})) as client:
        ours = await client.get("/health/live", headers={"Origin": "https://app.example"})
        theirs = await client.get("/health/live", headers={"Origin": "https://evil.example"})
        group = await client.post(
            "/recommendations/group", json={"user_ids": ["ann"]}, headers={"Origin": "https://app.example"}
        )

    assert group.headers["access-control-allow-origin"] == "https://app.example"
    assert ours.headers["access-control-allow-origin"] == "https://app.example"
    assert ours.headers["access-control-expose-headers"] == ", ".join(EXPOSED)
    assert "access-control-allow-origin" not in theirs.headers


async def preflight(settings: Settings, origin: str) -> httpx.Response:
    """What a browser asks before a page of this origin may send a request with a token."""
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    async with serving(settings) as client:
        return await client.options("/recommendations/group", headers={"Origin": origin, **asks})


async def test_pages_may_send_a_token_to_the_gateway(settings: Settings) -> None:
    open_to_one = settings.model_copy(update={"cors_origins": ("https://app.example",)})

    ours = await preflight(open_to_one, "https://app.example")
    theirs = await preflight(open_to_one, "https://evil.example")
    by_default = await preflight(settings, "https://app.example")

    assert (ours.status_code, theirs.status_code, by_default.status_code) == (200, 400, 405)
    assert set(SENT) <= set(ours.headers["access-control-allow-headers"].split(", "))


@pytest.mark.parametrize("code", ProblemCode)
def test_the_documentation_has_every_code_with_its_status(code: ProblemCode) -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")

    assert f"| `{code}` | {KINDS[code].status} |" in page


def test_the_documentation_has_every_header_that_pages_may_read_or_send() -> None:
    section = (ROOT / "docs/api.md").read_text(encoding="utf-8").split("## Headers")[1]

    assert [header for header in (*EXPOSED, *SENT) if f"`{header}`" not in section] == []
