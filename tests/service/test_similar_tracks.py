import shutil
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.service.worlds import genre_of, publish, serving


async def test_the_nearest_come_first_without_the_track_itself(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/similar-tracks/rock-2", params={"limit": 3})).json()

    assert answer["items"] == [  # dot products with .9
        {"track_id": "rock-1", "score": 0.9, "rank": 1, "title": "Rock-1", "artist": "The Stones"},
        {"track_id": "rock-3", "score": 0.72, "rank": 2, "title": "Rock-3", "artist": "The Stones"},
        {"track_id": "rock/4:a", "score": 0.63, "rank": 3, "title": "Rock/4:A", "artist": "The Stones"},
    ]
    assert answer["total"] == 11
    assert answer["model"]["name"] == "softmax"


async def test_ids_with_slashes_and_colons_work(client: httpx.AsyncClient) -> None:
    encoded = await client.get("/similar-tracks/rock%2F4%3Aa")
    plain = await client.get("/similar-tracks/rock/4:a")

    assert encoded.json()["track_id"] == "rock/4:a"
    assert plain.json() == encoded.json()


async def test_following_next_visits_every_neighbour_once(client: httpx.AsyncClient) -> None:
    address: str | None = "/similar-tracks/rock%2F4%3Aa?limit=4"
    items = []
    while address:
        page = (await client.get(address)).json()
        items += page["items"]
        address = page["next"]

    assert [item["rank"] for item in items] == list(range(1, 12))
    assert len({item["track_id"] for item in items}) == 11


async def test_a_page_past_the_end_is_empty(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/similar-tracks/rock-1?offset=50")).json()

    assert (answer["items"], answer["total"], answer["next"]) == ([], 11, None)


async def test_tracks_of_the_same_artist_can_stay_away(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/similar-tracks/rock-1?exclude_same_artist=true&limit=4")).json()

    assert "rock" not in {genre_of(item["track_id"]) for item in answer["items"]}
    assert answer["total"] == 8
    assert "exclude_same_artist=true" in answer["next"]


async def test_no_artist_is_not_an_artist(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/similar-tracks/pop-1?exclude_same_artist=true")).json()

    assert answer["items"][0]["track_id"] == "pop-2"  # nobody knows who made the pop


async def test_an_unchanged_answer_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/similar-tracks/rock-1")

    again = await client.get("/similar-tracks/rock-1", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})

    assert first.headers["cache-control"] == "public, max-age=3600, stale-while-revalidate=86400"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]


async def test_another_page_has_another_etag(client: httpx.AsyncClient) -> None:
    first = await client.get("/similar-tracks/rock-1")

    for query in ("limit=2", "offset=1", "exclude_same_artist=true"):
        assert (await client.get(f"/similar-tracks/rock-1?{query}")).headers["etag"] != first.headers["etag"]
    assert (await client.get("/similar-tracks/rock-2")).headers["etag"] != first.headers["etag"]


async def test_an_unknown_track_is_not_found(client: httpx.AsyncClient) -> None:
    response = await client.get("/similar-tracks/nope")

    assert response.status_code == 404
    assert response.json()["code"] == "unknown_track"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=ten", "offset=-1", "exclude_same_artist=2", "page=3"])
async def test_a_query_that_says_something_else_is_refused(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/similar-tracks/rock-1?{query}")

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


async def test_a_parameter_that_says_two_things_is_refused_not_guessed(client: httpx.AsyncClient) -> None:
    response = await client.get("/similar-tracks/rock-1?limit=2&offset=1&limit=3")

    assert response.status_code == 422
    assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [("/query/limit", "repeated")]


async def answering(settings: Settings) -> str:
    async with serving(settings) as client:
        name: str = (await client.get("/similar-tracks/rock-1")).json()["model"]["name"]
    return name


async def test_left_open_the_model_made_for_similar_tracks_answers(settings: Settings, models: Path) -> None:
    open_choice = settings.model_copy(update={"models": models})
    assert await answering(open_choice) == "softmax"  # before wmf, and the basic model knows none

    publish(models, "any-other", "factors")
    assert await answering(open_choice) == "softmax"

    publish(models, "similar", "factors")
    assert await answering(open_choice) == "similar"


async def test_left_open_a_damaged_model_is_passed_over(settings: Settings, models: Path) -> None:
    publish(models, "similar", "factors")
    next((models / "similar").glob("v*/arrays.safetensors")).write_bytes(b"")

    assert await answering(settings.model_copy(update={"models": models})) == "softmax"


async def test_where_no_model_knows_similar_tracks_the_answer_says_so(settings: Settings, models: Path) -> None:
    shutil.rmtree(models / "wmf")
    shutil.rmtree(models / "softmax")
    basic_alone = {"models": models, "required_models": ("basic",), "default_model": "basic"}

    async with serving(settings.model_copy(update=basic_alone)) as client:
        response = await client.get("/similar-tracks/rock-1")

    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")


async def test_which_model_answers_is_a_setting(settings: Settings) -> None:
    async with serving(settings.model_copy(update={"similar_model": "wmf"})) as client:
        answer = (await client.get("/similar-tracks/rock-1")).json()

    assert answer["model"]["name"] == "wmf"
