"""What a guest likes and nobody has played yet speaks for them all the same."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.service.test_recommendations import ask, track_ids
from tests.service.worlds import publish, serving

COLD = ["rock-8", "rock-9", "jazz-9"]
"""In the catalogue, and so known to the model of similar tracks alone; the most similar track to each is number 1."""


@pytest.fixture
async def client(settings: Settings, models: Path) -> AsyncIterator[httpx.AsyncClient]:
    publish(models, "similar", "factors", cold=COLD)
    async with serving(settings.model_copy(update={"models": models})) as client:
        yield client


def codes(answer: dict) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


async def test_a_guest_who_likes_what_nobody_has_played_gets_their_taste(client: httpx.AsyncClient) -> None:
    fan = await ask(client, members=[{"liked_track_ids": ["jazz-9"]}], limit=3)
    same = await ask(client, members=[{"liked_track_ids": ["jazz-1"]}], limit=3)

    assert fan["members"] == [{"member": 0, "status": "folded_in"}]
    assert track_ids(fan) == track_ids(same) == ["jazz-1", "jazz-2", "jazz-3"]


async def test_the_answer_says_for_how_many_tracks_others_stand(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"liked_track_ids": ["rock-3", "jazz-9", "nope"]}])

    assert answer["warnings"][:2] == [
        {
            "code": "stand_in_track",
            "detail": "/members/0/liked_track_ids: 1 of 3 are not tracks that the model knows; "
            "the most similar that it knows stand in",
            "member": 0,
            "track_ids": ["jazz-9"],
        },
        {
            "code": "unknown_track",
            "detail": "/members/0/liked_track_ids: 1 of 3 are not tracks that the model knows",
            "member": 0,
            "track_ids": ["nope"],
        },
    ]


async def test_a_stand_in_is_new_to_the_guest(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"liked_track_ids": ["jazz-9", "jazz-2"]}], filters={"only_new": True})

    assert "jazz-1" in track_ids(answer)
    assert "jazz-2" not in track_ids(answer)


async def test_reasons_name_the_track_that_the_guest_likes(client: httpx.AsyncClient) -> None:
    members = [{"liked_track_ids": ["jazz-9"]}, {"liked_track_ids": ["jazz-1"]}]

    answer = await ask(client, members=members, limit=2, explain=True)

    first, second = (track["explanation"] for track in answer["tracks"])
    assert [each["reason"] for each in first] == ["similar_to", "liked"]
    assert [each["because_of"] for each in (first[0], *second)] == ["jazz-9", "jazz-9", "jazz-1"]


async def test_two_tracks_with_one_stand_in_are_one_taste(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"liked_track_ids": ["rock-8", "rock-9", "rock-1"]}], limit=1, explain=True)

    assert answer["warnings"][0]["detail"].startswith("/members/0/liked_track_ids: 2 of 3")
    assert answer["tracks"][0]["explanation"][0]["reason"] == "liked"


async def test_without_a_model_that_knows_it_a_track_is_unknown(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = await ask(client, members=[{"liked_track_ids": ["jazz-9"]}])

    assert answer["members"][0]["status"] == "cold"
    assert codes(answer)[:2] == ["unknown_track", "all_members_cold"]


async def test_look_ups_are_bounded(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"liked_track_ids": [*["nope"] * 200, "jazz-9"]}])

    assert codes(answer)[:2] == ["unknown_track", "all_members_cold"]
