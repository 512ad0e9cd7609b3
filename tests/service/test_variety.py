"""How much of a playlist is new to its listeners, and how unlike its tracks are."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.core.catalogue import TrackInfo
from service.core.strategies import STRATEGIES
from service.settings import Settings
from tests.service.test_recommendations import ask, codes, track_ids
from tests.service.worlds import HEARD, TRACKS, genre_of, publish, serving

WMF = {"model": "wmf", "user_ids": ["ann", "bob"]}
HEARD_BY_BOTH = {*HEARD["ann"], *HEARD["bob"]}


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


@pytest.mark.parametrize("model", ["basic", "wmf"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("novelty", [0.3, 1])
async def test_a_share_of_the_list_is_new_to_everybody(
    client: httpx.AsyncClient, model: str, strategy: str, novelty: float
) -> None:
    asked = {"user_ids": ["ann", "bob"], "limit": 6, "model": model, "strategy": strategy, "seed": 3}

    answer = await ask(client, novelty=novelty, **asked)

    new = [track for track in track_ids(answer) if track not in HEARD_BY_BOTH]
    assert len(new) >= int(novelty * 6)
    assert len(answer["tracks"]) == 6
    assert "less_new_than_asked" not in codes(answer)


async def test_so_is_a_share_of_each_of_its_heads(client: httpx.AsyncClient) -> None:
    plain = await ask(client, limit=6, **WMF)
    half_new = await ask(client, limit=6, novelty=0.5, **WMF)

    assert {*track_ids(plain)[:4]} == HEARD_BY_BOTH
    assert [track in HEARD_BY_BOTH for track in track_ids(half_new)] == [True, False] * 3


async def test_novelty_counts_what_guests_like_and_leaves_the_pool_as_it_is(client: httpx.AsyncClient) -> None:
    members = [{"liked_track_ids": ["rock-1", "rock-2", "rock-3"]}]

    answer = await ask(client, members=members, model="wmf", limit=2, novelty=1)

    assert track_ids(answer)[0] == "rock/4:a"
    assert genre_of(track_ids(answer)[1]) != "rock"
    assert answer["pool"]["after_filters"] == 12


async def test_where_nothing_new_is_left_what_was_heard_comes_back(client: httpx.AsyncClient) -> None:
    all_but_three = {"exclude_track_ids": [track for track in TRACKS if track not in {"rock-1", "rock-2", "rock-3"}]}

    answer = await ask(client, user_ids=["ann"], model="wmf", limit=3, novelty=0.9, filters=all_but_three)

    assert track_ids(answer) == ["rock-1", "rock-3", "rock-2"]
    assert answer["warnings"] == [
        {
            "code": "less_new_than_asked",
            "detail": "only 1 of 3 tracks are new to everybody; no more are allowed that are",
        }
    ]


@pytest.mark.parametrize("model", ["basic", "wmf"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_no_track_resembles_one_before(client: httpx.AsyncClient, model: str, strategy: str) -> None:
    answer = await ask(client, user_ids=["ann", "bob"], limit=3, model=model, strategy=strategy, diversity=1)

    assert {genre_of(track) for track in track_ids(answer)} == {"rock", "jazz", "pop"}
    assert "less_diverse_than_asked" not in codes(answer)


async def test_what_resembles_a_track_is_the_first_page_of_its_similar_tracks(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann", "bob"], limit=4, model="wmf", diversity=0.75)

    listed, alike = track_ids(answer), 0
    for place, track in enumerate(listed):
        pages = [await client.get(f"/similar-tracks/{before.replace('/', '%2F')}") for before in listed[:place]]
        alike += any(track == item["track_id"] for page in pages for item in page.json()["items"] if item["score"] > 0)
    assert alike == 1
    assert len(listed) == 4


async def test_a_list_gets_less_diverse_before_it_gets_short(client: httpx.AsyncClient) -> None:
    answer = await ask(client, limit=12, diversity=0.5, **WMF)

    assert {*track_ids(answer)} == {*TRACKS}
    assert answer["warnings"][-1] == {
        "code": "less_diverse_than_asked",
        "detail": "9 of 12 tracks resemble one before them; no more are allowed that do not",
    }


async def test_without_a_model_of_similar_tracks_the_list_is_as_it_would_be(settings: Settings, tmp_path: Path) -> None:
    publish(tmp_path, "basic", "top_tracks")
    alone = {"models": tmp_path, "required_models": ["basic"], "default_model": "basic"}
    async with serving(settings.model_copy(update=alone)) as client:
        plain = await ask(client, user_ids=["ann"], limit=2, seed=1)
        answer = await ask(client, user_ids=["ann"], limit=2, seed=1, diversity=0.2)

    assert answer["tracks"] == plain["tracks"]
    assert answer["warnings"] == [
        {
            "code": "similarity_unknown",
            "detail": "no model here knows similar tracks; diversity could not be heeded",
        }
    ]


@pytest.mark.parametrize("wish", [{"novelty": None, "diversity": None}, {"novelty": 0, "diversity": 0.0}])
async def test_who_wishes_for_nothing_gets_the_list_as_it_is(client: httpx.AsyncClient, wish: dict) -> None:
    plain = await ask(client, limit=6, **WMF)

    answer = await ask(client, limit=6, **wish, **WMF)

    assert answer["tracks"] == plain["tracks"]
    assert answer["warnings"] == plain["warnings"]


async def test_a_list_that_lasts_keeps_to_what_it_has_to_where_popular_tracks_end_it(
    settings: Settings, models: Path
) -> None:
    publish(models, "basic", "top_tracks", version="v2", info=lambda track: TrackInfo(duration_ms=60_000))
    async with serving(settings.model_copy(update={"models": models})) as client:
        asked = {"user_ids": ["ann", "bob"], "model": "basic", "seed": 1, "novelty": 0.5}

        answer = await ask(client, filters={"target_duration_ms": 250_000}, **asked)
        longer = await ask(client, filters={"target_duration_ms": 720_000}, **asked)
        too_long = await ask(client, filters={"target_duration_ms": 2_000_000}, **asked)

    assert [track in HEARD_BY_BOTH for track in track_ids(answer)] == [True, True, False, False]
    assert codes(answer) == ["filled_with_popular"]
    assert {*track_ids(longer)} == {*track_ids(too_long)} == {*TRACKS}
    assert "shorter_than_asked" not in codes(longer)
    assert "shorter_than_asked" in codes(too_long)


async def test_strangers_get_what_is_popular_and_unlike(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{}], model="wmf", limit=3, novelty=1, diversity=0.01)

    assert len(answer["tracks"]) == 3
    assert codes(answer) == ["all_members_cold"]
