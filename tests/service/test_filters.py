"""Filters by what the catalogue says of tracks, each with whatever model and strategy answers."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.core.catalogue import TrackInfo
from service.core.strategies import STRATEGIES
from service.settings import Settings
from tests.service.test_recommendations import ask, codes, track_ids
from tests.service.worlds import TRACKS, genre_of, publish, serving

WMF = {"model": "wmf", "user_ids": ["ann", "bob"]}
EXPLICIT = ["rock-1", "jazz-3"]
MONK = ["jazz-3", "jazz-4"]


def info(track: str) -> TrackInfo:
    """All rock is by the Stones, jazz by two artists, one of them without a name; nothing is known of pop."""
    if genre_of(track) == "pop":
        return TrackInfo()
    told = {"explicit": track in EXPLICIT, "duration_ms": 60_000 if genre_of(track) == "rock" else 180_000}
    if genre_of(track) == "rock":
        return TrackInfo(artist="The Stones", artist_id="stones", **told)
    return TrackInfo(artist_id="monk" if track in MONK else "miles", **told)


@pytest.fixture
async def client(settings: Settings, models: Path) -> AsyncIterator[httpx.AsyncClient]:
    for name, kind in {"basic": "top_tracks", "wmf": "factors"}.items():
        publish(models, name, kind, version="v2", info=info)
    async with serving(settings.model_copy(update={"models": models, "similar_model": "wmf"})) as client:
        yield client


@pytest.mark.parametrize("model", ["basic", "wmf"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_explicit_tracks_stay_away_and_what_is_not_told_stays(
    client: httpx.AsyncClient, model: str, strategy: str
) -> None:
    asked = {"user_ids": ["ann", "bob", "cid"], "limit": 12, "model": model, "strategy": strategy}

    clean = await ask(client, filters={"explicit": "exclude"}, **asked)

    assert set(track_ids(clean)) == {*TRACKS} - {*EXPLICIT}
    assert clean["pool"] == {"candidates": 12, "after_filters": 10}


async def test_explicit_tracks_are_allowed_unless_excluded(client: httpx.AsyncClient) -> None:
    plain = await ask(client, limit=4, **WMF)
    allowed = await ask(client, limit=4, filters={"explicit": "allow"}, **WMF)

    assert track_ids(plain)[0] == "rock-1"
    assert allowed["tracks"] == plain["tracks"]
    assert allowed["warnings"] == []


async def test_who_wants_nothing_explicit_is_told_of_what_the_data_does_not_say(client: httpx.AsyncClient) -> None:
    filters = {"explicit": "exclude"}

    of_pop = await ask(client, user_ids=["cid"], model="wmf", limit=3, filters=filters)
    of_rock = await ask(client, user_ids=["ann"], model="wmf", limit=3, filters=filters)

    assert of_pop["warnings"] == [
        {"code": "explicit_unknown", "detail": "the data does not say of 3 tracks whether they are explicit"}
    ]
    assert of_rock["warnings"] == []


@pytest.mark.parametrize("model", ["basic", "wmf"])
async def test_tracks_of_excluded_artists_stay_away(client: httpx.AsyncClient, model: str) -> None:
    filters = {"exclude_artist_ids": ["stones", "monk"]}

    answer = await ask(client, user_ids=["ann", "bob"], model=model, limit=12, filters=filters)

    assert {genre_of(track) for track in track_ids(answer)} == {"jazz", "pop"}
    assert set(MONK).isdisjoint(track_ids(answer))
    assert answer["pool"] == {"candidates": 12, "after_filters": 6}
    assert codes(answer) == ["filled_with_popular", "fewer_tracks_than_asked"]


async def test_an_artist_in_an_answer_can_be_excluded_by_it(client: httpx.AsyncClient) -> None:
    first, *_ = (await ask(client, limit=4, **WMF))["tracks"]
    similar = await client.get("/similar-tracks/jazz-3", params={"limit": 1})

    assert (first["track_id"], first["artist_id"]) == ("rock-1", "stones")
    assert similar.json()["items"][0]["artist_id"] == "miles"
    without = await ask(client, limit=4, filters={"exclude_artist_ids": [first["artist_id"]]}, **WMF)
    assert "rock" not in {genre_of(track) for track in track_ids(without)}


async def test_artists_whom_the_data_does_not_know_are_named(client: httpx.AsyncClient) -> None:
    answer = await ask(client, limit=2, filters={"exclude_artist_ids": ["The Stones", 7, "stones", 7]}, **WMF)

    assert "rock-1" not in track_ids(answer)
    assert answer["warnings"] == [
        {
            "code": "unknown_artist",
            "detail": "/filters/exclude_artist_ids: 3 of 4 are not artists of any track that the model knows",
            "artist_ids": ["The Stones", "7"],  # one is a name
        }
    ]


async def test_strangers_and_sessions_are_filtered_too(client: httpx.AsyncClient) -> None:
    filters = {"explicit": "exclude", "exclude_artist_ids": ["miles"], "exclude_track_ids": ["rock-2"]}

    answer = await ask(client, members=[{}], already_played=["rock-3", "jazz-1"], limit=3, filters=filters)

    assert track_ids(answer)[:2] == ["pop-1", "pop-2"]  # of what anybody heard that is all that is left
    assert answer["pool"]["after_filters"] == 12 - len({*EXPLICIT, "jazz-1", "jazz-2", "rock-2", "rock-3"})


async def test_satisfaction_is_measured_by_what_filters_leave(client: httpx.AsyncClient) -> None:
    filters = {"explicit": "exclude", "exclude_artist_ids": ["monk"]}

    answer = await ask(client, user_ids=["ann"], limit=3, filters=filters, explain=True, model="wmf")

    assert track_ids(answer) == ["rock-2", "rock-3", "rock/4:a"]
    assert answer["members"][0]["satisfaction"] == 1.0


@pytest.mark.parametrize("model", ["basic", "wmf"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_an_artist_has_no_more_tracks_than_they_may(client: httpx.AsyncClient, model: str, strategy: str) -> None:
    asked = {"user_ids": ["ann", "bob"], "limit": 10, "model": model, "strategy": strategy, "seed": 3}

    answer = await ask(client, filters={"max_per_artist": 2}, **asked)
    again = await ask(client, filters={"max_per_artist": 2}, **asked)

    # two by each of the three artists, and all of pop, of which nothing is known
    genres = Counter(genre_of(track) for track in track_ids(answer))
    assert genres == {"rock": 2, "jazz": 4, "pop": 4}
    assert answer["pool"]["after_filters"] == 12  # a quota is of the list, not of the pool
    assert not {"more_per_artist_than_asked", "fewer_tracks_than_asked"} & {*codes(answer)}
    assert again["tracks"] == answer["tracks"]


async def test_an_artist_without_an_id_is_known_by_name(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = await ask(client, limit=4, filters={"max_per_artist": 1}, **WMF)

    assert track_ids(answer)[:2] == ["rock-1", "jazz-1"]  # by The Stones and by Miles
    assert {genre_of(track) for track in track_ids(answer)[2:]} == {"pop"}


async def test_a_list_gets_more_of_an_artist_before_it_gets_short(client: httpx.AsyncClient) -> None:
    kept = await ask(client, limit=10, filters={"max_per_artist": 2}, **WMF)
    longer = await ask(client, limit=12, filters={"max_per_artist": 2}, **WMF)

    assert set(track_ids(longer)) == {*TRACKS}
    assert track_ids(longer)[:6] == track_ids(kept)[:6]
    assert longer["warnings"][-1] == {
        "code": "more_per_artist_than_asked",
        "detail": "with at most 2 tracks of an artist the list would be shorter; there are up to 4",
    }


async def test_strangers_and_sessions_have_no_more_of_an_artist_than_they_may(client: httpx.AsyncClient) -> None:
    filters = {"max_per_artist": 1}

    strangers = await ask(client, members=[{}], limit=4, filters=filters)
    later = await ask(client, limit=1, already_played=["rock-1"], filters=filters, model="wmf", user_ids=["ann"])

    assert [genre_of(track) for track in track_ids(strangers)].count("rock") == 1
    assert track_ids(later) == ["rock-2"]  # what was played is not on the list


async def test_satisfaction_is_measured_by_lists_with_as_many_of_an_artist(client: httpx.AsyncClient) -> None:
    asked = {"user_ids": ["ann"], "limit": 2, "filters": {"max_per_artist": 1}, "model": "wmf", "explain": True}

    answer = await ask(client, **asked)

    assert track_ids(answer)[0] == "rock-1"
    assert answer["members"][0]["satisfaction"] == 1.0  # rock alone would be more, and is not to be had


def total(answer: dict) -> int:
    return sum(track["duration_ms"] for track in answer["tracks"])


@pytest.mark.parametrize(
    ("target", "lasts"),
    [(1, 60_000), (250_000, 240_000), (270_000, 240_000), (280_000, 300_000), (960_000, 960_000)],
)
async def test_a_list_lasts_as_nearly_as_it_can_what_was_asked_for(
    client: httpx.AsyncClient, target: int, lasts: int
) -> None:
    whole = await ask(client, limit=8, **WMF)

    answer = await ask(client, filters={"target_duration_ms": target}, **WMF)

    assert [total({"tracks": whole["tracks"][:n]}) for n in range(1, 6)] == [60_000, 240_000, 300_000, 480_000, 540_000]
    assert total(answer) == lasts
    assert answer["tracks"] == whole["tracks"][: len(answer["tracks"])]
    assert answer["warnings"] == []


async def test_a_long_list_may_have_more_tracks_than_by_default(settings: Settings, models: Path) -> None:
    more = [f"rock-9/{number}" for number in range(40)]
    publish(models, "wmf", "factors", version="v2", cold=more)
    async with serving(settings.model_copy(update={"models": models})) as client:
        default = await ask(client, user_ids=["ann"], model="wmf")
        lasting = await ask(client, user_ids=["ann"], model="wmf", filters={"target_duration_ms": 35 * 180_000})
        limited = await ask(
            client, user_ids=["ann"], model="wmf", limit=30, filters={"target_duration_ms": 35 * 180_000}
        )

    assert [len(answer["tracks"]) for answer in (default, lasting, limited)] == [30, 35, 30]
    assert [codes(answer) for answer in (default, lasting, limited)] == [[], [], ["shorter_than_asked"]]


async def test_a_limit_is_a_limit_however_long_the_list_should_last(client: httpx.AsyncClient) -> None:
    near = await ask(client, limit=3, filters={"target_duration_ms": 350_000}, **WMF)
    far = await ask(client, n=3, filters={"target_duration_ms": 480_000}, **WMF)

    assert total(near) == total(far) == 300_000
    assert near["warnings"] == []  # one more track of two minutes, the mean, would be further off
    assert far["warnings"] == [
        {
            "code": "shorter_than_asked",
            "detail": "all 3 tracks that there are, or that limit allows, are 180000 ms too short",
        }
    ]


async def test_tracks_whose_length_is_not_known_last_two_minutes_here(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["cid"], model="wmf", filters={"target_duration_ms": 370_000})

    assert track_ids(answer) == ["pop-1", "pop-2", "pop-3"]
    assert answer["warnings"] == []


async def test_what_is_left_may_be_too_short(client: httpx.AsyncClient) -> None:
    all_but_one = {"exclude_track_ids": TRACKS[1:], "target_duration_ms": 600_000}
    nothing = {"exclude_track_ids": TRACKS, "target_duration_ms": 1}

    assert codes(await ask(client, filters=all_but_one, **WMF)) == ["shorter_than_asked"]
    assert codes(await ask(client, filters=nothing, **WMF)) == ["shorter_than_asked"]


async def test_warnings_are_about_the_list_as_it_ends(client: httpx.AsyncClient) -> None:
    filters = {"target_duration_ms": 240_000, "max_per_artist": 1, "explicit": "exclude"}

    answer = await ask(client, filters=filters, explain=True, **WMF)

    assert track_ids(answer) == ["jazz-1", "rock-2"]
    assert answer["group"]["total_duration_ms"] == 240_000
    assert answer["warnings"] == []


async def test_a_catalogue_without_durations_leaves_it_to_the_limit(settings: Settings, models: Path) -> None:
    publish(models, "wmf", "factors", version="v2", info=lambda track: TrackInfo(title=track))
    async with serving(settings.model_copy(update={"models": models})) as client:
        answer = await ask(client, limit=4, filters={"target_duration_ms": 1}, **WMF)

    assert len(answer["tracks"]) == 4
    assert codes(answer) == ["duration_unknown"]


async def test_a_group_with_a_history_of_filters_explains_itself(client: httpx.AsyncClient) -> None:
    answer = await ask(client, group_id="trip", limit=2, filters={"explicit": "exclude"}, explain=True, **WMF)

    assert track_ids(answer) == ["jazz-1", "rock-2"]


async def test_a_catalogue_that_names_no_artists_knows_none(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = await ask(
            client, limit=2, filters={"exclude_artist_ids": ["The Stones"], "explicit": "exclude"}, **WMF
        )

    assert track_ids(answer) == ["rock-1", "jazz-1"]
    assert codes(answer) == ["unknown_artist", "explicit_unknown"]
