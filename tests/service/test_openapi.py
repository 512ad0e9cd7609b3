"""What a client that is generated from /openapi.json takes for granted is true."""

import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from service.core.strategies import STRATEGIES
from tests.documentation import ROOT
from tests.service.worlds import FULL_REQUEST

PATH = "/recommendations/group"
SIMILAR = "/similar-tracks/{track_id}"


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


def fits(document: dict[str, Any], schema: str, value: object) -> bool:
    """Whether a value is what a schema of the document says."""
    root = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    return Draft202012Validator(root).is_valid(value)


async def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


async def test_no_field_of_a_request_is_always_there(document: dict[str, Any]) -> None:
    for schema in ("GroupRequest", "MemberRequest", "Filters"):
        for field in document["components"]["schemas"][schema]["properties"].values():
            assert "default" not in field, "a generated client would ask for it"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"user_ids": ["101", "102"], "limit": 5}, 200),
        ({"user_ids": [101], "group_id": None, "model": None, "seed": None, "strategy": None}, 200),
        ({"members": [{}]}, 200),
        (FULL_REQUEST, 200),
        ({name: value for name, value in FULL_REQUEST.items() if name != "limit"} | {"n": 5}, 200),
        ({}, 422),
        ({"user_ids": []}, 422),
        ({"user_ids": ["ann"], "members": [{}]}, 422),
        ({"user_ids": ["ann"], "limit": 5, "n": 5}, 422),
        ({"user_ids": ["ann"], "limit": 0}, 422),
        ({"user_ids": ["ann"], "filters": {"explicit": False}}, 422),
        ({"user_ids": ["ann"], "strategy": "random"}, 422),
        ({"user_ids": ["ann"], "model": "lstm"}, 422),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_the_schemas_say_of_requests_and_answers_what_the_service_does(
    client: httpx.AsyncClient, document: dict[str, Any], body: dict[str, Any], status: int
) -> None:
    response = await client.post(PATH, json=body)

    assert response.status_code == status
    assert fits(document, "GroupRequest", body) is (status == 200)
    assert fits(document, "GroupAnswer" if status == 200 else "Problem", response.json())


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/similar-tracks/rock-1?limit=2", "SimilarTracksAnswer"),
        ("/similar-tracks/pop-1?offset=50", "SimilarTracksAnswer"),
        ("/similar-tracks/nope", "Problem"),
        ("/models", "Models"),
        ("/health/live", "Health"),
        ("/health/ready", "Health"),
    ],
)
async def test_answers_to_get_are_what_the_schemas_say(
    client: httpx.AsyncClient, document: dict[str, Any], path: str, schema: str
) -> None:
    assert fits(document, schema, (await client.get(path)).json())


async def test_operations_are_called_by_what_they_do(document: dict[str, Any]) -> None:
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]

    assert operations == ["recommend_group", "similar_tracks", "live", "ready", "models", "metrics"]


async def test_every_header_that_is_declared_is_sent(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    paths = document["paths"]
    playlist = await client.post(PATH, json={"user_ids": ["ann"]})
    similar = await client.get("/similar-tracks/rock-1")
    unchanged = await client.get("/similar-tracks/rock-1", headers={"If-None-Match": similar.headers["etag"]})
    answers = [(PATH, "post", playlist), (SIMILAR, "get", similar), (SIMILAR, "get", unchanged)]

    for path, method, response in answers:
        declared = paths[path][method]["responses"][str(response.status_code)]["headers"]
        assert {name.lower() for name in declared} - {"x-experiment"} <= set(response.headers)
    assert paths[PATH]["post"]["responses"]["503"]["headers"].keys() == {"Retry-After", "X-Request-Id"}
    assert [each["name"] for each in paths[SIMILAR]["get"]["parameters"] if each["in"] == "header"] == ["If-None-Match"]


async def test_every_answer_declares_its_request_id(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            assert all("X-Request-Id" in response["headers"] for response in operation["responses"].values())


async def test_what_can_be_listed_is(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert schemas["GroupAnswer"]["properties"]["strategy"]["enum"] == sorted(STRATEGIES)
    assert schemas["ModelDescription"]["properties"]["default_strategy"]["enum"] == sorted(STRATEGIES)
    assert schemas["Health"]["properties"]["status"]["enum"] == ["live", "ready"]
    assert "errors" in schemas["Problem"]["required"]


async def test_pages_of_the_api_list_what_belongs_together(document: dict[str, Any]) -> None:
    tags = {path: operation["tags"] for path, methods in document["paths"].items() for operation in methods.values()}

    assert {path for path, names in tags.items() if names == ["Operations"]} == {
        "/health/live",
        "/health/ready",
        "/models",
        "/metrics",
    }
    assert tags[PATH] == ["Playlists"]


async def test_the_documentation_has_exactly_the_warnings_that_there_are(document: dict[str, Any]) -> None:
    section = (ROOT / "docs/api.md").read_text(encoding="utf-8").split("`warnings` says")[1].split("`assignment`")[0]

    codes = document["components"]["schemas"]["PlaylistWarning"]["properties"]["code"]["enum"]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == codes


async def test_whatever_is_sent_or_answered_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    parts = {f"{name}.{field}": part for name in schemas for field, part in schemas[name].get("properties", {}).items()}
    for operations in document["paths"].values():
        for operation in operations.values():
            parts |= {parameter["name"]: parameter for parameter in operation.get("parameters", [])}

    assert len(parts) > 100
    for name, part in parts.items():
        what = schemas.get(part.get("$ref", "").rpartition("/")[2], {})  # says it already where both are the same
        assert part.get("description", what.get("description")), name


async def test_the_example_is_answered_whoever_is_known(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    (example,) = document["components"]["schemas"]["GroupRequest"]["examples"]

    response = await client.post(PATH, json=example)

    assert response.status_code == 200
    assert {member["status"] for member in response.json()["members"]} == {"cold"}
