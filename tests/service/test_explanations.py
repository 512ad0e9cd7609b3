"""What answers say when they are asked why."""

import re
from pathlib import Path
from typing import get_args

import httpx
import pytest

from service.core.explanation import Reason
from service.core.strategies import STRATEGIES
from tests.service.test_recommendations import ask, track_ids
from tests.service.worlds import TRACKS

WMF = {"model": "wmf", "limit": 4, "explain": True}


def track(answer: dict, track_id: str) -> dict:
    return answer["tracks"][track_ids(answer).index(track_id)]


async def test_an_answer_says_why_only_to_who_asks(client: httpx.AsyncClient) -> None:
    plain = await ask(client, user_ids=["ann", "bob"], model="wmf", seed=1)
    told = await ask(client, user_ids=["ann", "bob"], model="wmf", seed=1, explain=True)

    assert told.keys() - plain.keys() == {"fairness", "group"}
    more = {"source_model", "picked_for", "why", "explanation"}
    assert told["tracks"][0].keys() - plain["tracks"][0].keys() == more
    assert told["members"][0].keys() - plain["members"][0].keys() == {"satisfaction", "share"}
    assert track_ids(told) == track_ids(plain)


async def test_a_header_says_how_long_the_explanation_took(client: httpx.AsyncClient) -> None:
    asked = {"user_ids": ["ann", "bob"], "explain": True}

    plain = await client.post("/recommendations/group", json=asked | {"explain": False})
    told = await client.post("/recommendations/group", json=asked)

    assert re.fullmatch(r"queue;dur=[\d.]+, score;dur=[\d.]+", plain.headers["Server-Timing"])
    assert re.fullmatch(r"queue;dur=[\d.]+, score;dur=[\d.]+, explain;dur=[\d.]+", told.headers["Server-Timing"])


async def test_every_track_says_whom_it_is_for_and_why(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"user_id": "ann"}, {"liked_track_ids": ["jazz-1"]}], **WMF)

    jazz = track(answer, "jazz-2")
    assert jazz["source_model"] == "wmf"
    assert jazz["picked_for"] == [1]
    assert jazz["explanation"] == [
        {"member": 0, "score": 0.0, "played": False, "reason": "lukewarm"},
        {"member": 1, "score": pytest.approx(10 / 11), "played": False, "reason": "similar_to", "because_of": "jazz-1"},
    ]
    assert track(answer, "jazz-1")["explanation"][1]["reason"] == "liked"
    assert track(answer, "rock-1")["explanation"][0] == {
        "member": 0,
        "score": 1.0,
        "played": True,
        "reason": "top_track",
    }


async def test_the_strategy_says_in_its_own_words_why_a_track_came(client: httpx.AsyncClient) -> None:
    guest = {"liked_track_ids": ["jazz-1"], "label": "{Joe}"}
    members = [{"user_id": "ann"}, {"user_id": "zoe"}, guest, {"liked_track_ids": ["jazz-2"]}]

    answer = await ask(client, members=members, strategy="round_robin", **WMF)

    assert [track["why"] for track in answer["tracks"][:3]] == ["ann's turn", "{Joe}'s turn", "member 3's turn"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_every_strategy_has_its_words(client: httpx.AsyncClient, strategy: str) -> None:
    together = await ask(client, user_ids=["ann", "bob"], strategy=strategy, **WMF)
    alone = await ask(client, user_ids=["ann", "zoe"], strategy=strategy, **WMF)

    assert any("why" in track for track in together["tracks"])
    assert not any("why" in track for track in alone["tracks"])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_the_documentation_says_who_has_no_words_for_a_single_track(
    client: httpx.AsyncClient, strategy: str
) -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")

    answer = await ask(client, user_ids=["ann", "bob"], strategy=strategy, **WMF | {"limit": 1})

    (row,) = re.findall(rf"^\| `{strategy}` \|.*$", page, re.MULTILINE)
    assert ("nothing of a single track" in row) == ("why" not in answer["tracks"][0])


async def test_what_fills_a_list_is_nothing_to_beat_head_to_head(client: httpx.AsyncClient) -> None:
    but_one = {"exclude_track_ids": [track for track in TRACKS if not track.startswith("pop") and track != "rock-1"]}

    answer = await ask(client, user_ids=["ann", "bob"], strategy="copeland", filters=but_one, **WMF)

    assert track_ids(answer)[0] == "rock-1"
    assert [track.get("source_model") for track in answer["tracks"]] == ["wmf", None, None, None]  # the rest fills
    assert not any("why" in track for track in answer["tracks"])


async def test_what_each_member_gets_is_measured_by_what_they_could_get_alone(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann", "bob", "zoe"], **WMF)

    # two of the four best of each: (1 + .9^3) / (1 + .9^3 + .8^3 + .7^3)
    got = pytest.approx(1.729 / 2.584, abs=1e-5)
    ann, bob, zoe = answer["members"]
    assert (ann["satisfaction"], ann["share"]) == (got, 0.5)
    assert (bob["satisfaction"], bob["share"]) == (got, 0.5)
    assert zoe.keys() == {"member", "user_id", "status"}
    assert answer["fairness"] == {"min": got, "mean": got, "min_max_ratio": 1.0}
    assert answer["group"] == {"taste_match": 0.0, "total_duration_ms": 4 * 180_000}


async def test_common_ground_is_named(client: httpx.AsyncClient) -> None:
    fan = {"liked_track_ids": ["jazz-3", "rock-3"]}

    answer = await ask(client, members=[{"user_id": "bob"}, fan], **WMF)

    assert answer["group"]["brings_together"].startswith("jazz")
    assert 0 < answer["group"]["taste_match"] < 1


async def test_a_duration_that_is_not_known_is_not_guessed(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["cid"], **WMF)  # nothing is known of pop

    assert "total_duration_ms" not in answer["group"]


async def test_a_user_named_twice_is_spoken_of_at_their_first_place(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["bob", "bob", "ann"], **WMF)

    bob, again, ann = answer["members"]
    assert bob["share"] + ann["share"] == pytest.approx(1, abs=1e-5)
    assert "share" not in again
    assert {member for each in answer["tracks"] for member in each["picked_for"]} == {0, 2}
    assert all([each["member"] for each in one["explanation"]] == [0, 2] for one in answer["tracks"])


@pytest.mark.parametrize(
    ("labels", "spoken_of"),
    [((None, "Ann"), "Ann"), (("Ann", "Ann on the phone"), "Ann"), (("", "Ann"), "Ann"), ((None, None), "ann")],
)
async def test_a_user_named_twice_keeps_both_labels(
    client: httpx.AsyncClient, labels: tuple[str | None, str | None], spoken_of: str
) -> None:
    mentions = [{"user_id": "ann", "label": label} for label in labels]

    answer = await ask(client, members=[*mentions, {"user_id": "bob"}], strategy="round_robin", **WMF)

    assert tuple(member.get("label") for member in answer["members"][:2]) == labels
    assert answer["tracks"][0]["why"] == f"{spoken_of}'s turn"


async def test_what_fills_a_list_has_no_model_to_thank(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann"], model="basic", limit=4, explain=True)

    assert [each.get("source_model") for each in answer["tracks"]] == ["basic", "basic", None, None]
    assert [each["picked_for"] for each in answer["tracks"]] == [[0], [0], [], []]
    assert [each["explanation"][0]["reason"] for each in answer["tracks"]] == ["top_track"] * 2 + ["popular"] * 2


async def test_strangers_alone_are_told_of_popularity(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"user_id": "zoe"}, {"liked_track_ids": ["nope"]}], **WMF)

    assert answer["tracks"][0]["explanation"] == [
        {"member": 0, "played": False, "reason": "popular"},
        {"member": 1, "played": False, "reason": "popular"},
    ]
    assert "fairness" not in answer
    assert all("satisfaction" not in member for member in answer["members"])


async def test_who_wants_what_no_filter_leaves_has_no_satisfaction(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann"], model="basic", explain=True, filters={"only_new": True})

    assert "satisfaction" not in answer["members"][0]
    assert {each["explanation"][0]["reason"] for each in answer["tracks"]} == {"popular"}


async def test_the_same_seed_gives_the_same_reasons(client: httpx.AsyncClient) -> None:
    first = await ask(client, user_ids=["ann", "bob", "cid"], model="basic", explain=True)
    again = await ask(client, user_ids=["ann", "bob", "cid"], model="basic", explain=True, seed=first["seed"])

    assert {**again, "recommendation_id": ""} == {**first, "recommendation_id": ""}


async def test_the_largest_request_is_explained(client: httpx.AsyncClient) -> None:
    guests = [{"liked_track_ids": ["rock-1", "jazz-2", "pop-3"] * 30} for _ in range(64)]

    answer = await ask(client, members=guests, limit=200, explain=True)

    assert [len(each["explanation"]) for each in answer["tracks"]] == [64] * 12


async def test_openapi_lists_every_reason(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]

    assert schemas["OpinionAnswer"]["properties"]["reason"]["enum"] == list(get_args(Reason))
