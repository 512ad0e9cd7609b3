import json
import math

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.schemas import rounded
from service.settings import Settings
from tests.service.worlds import TRACKS, exposures, genre_of, serving

WMF = {"model": "wmf", "limit": 4}


async def ask(client: httpx.AsyncClient, **body: object) -> dict:
    response = await client.post("/recommendations/group", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def track_ids(answer: dict) -> list[str]:
    return [track["track_id"] for track in answer["tracks"]]


def codes(answer: dict) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


async def test_two_tastes_take_turns(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann", "bob"], **WMF)

    assert track_ids(answer) == ["rock-1", "jazz-1", "rock-2", "jazz-2"]
    assert [track["position"] for track in answer["tracks"]] == [1, 2, 3, 4]
    assert answer["strategy"] == "fair_share"
    assert answer["model"] == {"name": "wmf", "version": "v1", "trained_at": "2025-01-02T00:00:00Z"}
    assert answer["assignment"] == {"assigned_by": "request"}
    assert answer["degraded"] is False
    assert answer["warnings"] == []


async def test_tracks_carry_what_the_data_knows_and_no_nulls(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann", "cid"], **WMF)

    rock, pop = answer["tracks"][:2]
    assert rock == {
        "track_id": "rock-1",
        "position": 1,
        "score": 0.5,  # nothing is better for ann (1), nothing is worse for cid (0)
        "title": "Rock-1",
        "artist": "The Stones",
        "duration_ms": 180_000,
    }
    assert pop.keys() == {"track_id", "position", "score"}


@given(st.floats(-1000, 1000))
def test_scores_have_six_decimals(score: float) -> None:
    assert rounded(score) == pytest.approx(score, abs=0.501e-6)
    assert rounded(score) == float(f"{rounded(score):.6f}")


async def test_n_is_another_name_for_limit(client: httpx.AsyncClient) -> None:
    assert len((await ask(client, user_ids=["ann"], n=2))["tracks"]) == 2


async def test_integers_are_ids_too(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=[9007199254740993])

    assert answer["members"] == [{"member": 0, "user_id": "9007199254740993", "status": "cold"}]


async def test_a_whole_number_is_an_id_however_it_is_written(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=[101.0, 101, "101", -7.0, 2.0**53 - 1])

    assert [member["user_id"] for member in answer["members"]] == ["101", "101", "101", "-7", "9007199254740991"]
    assert codes(answer).count("duplicate_member") == 2


@pytest.mark.parametrize(
    "no_id", [True, 1.5, None, "", "x" * 257, [], {}, 2.0**53, -(2.0**53), math.inf, math.nan], ids=repr
)
async def test_what_is_no_id_is_refused(client: httpx.AsyncClient, no_id: object) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post("/recommendations/group", content=json.dumps({"user_ids": [no_id]}), headers=headers)

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/user_ids/0"


async def test_a_guest_is_folded_in_from_what_they_like(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"liked_track_ids": ["jazz-3"], "label": "guest"}], **WMF)

    assert {genre_of(track) for track in track_ids(answer)} == {"jazz"}
    assert answer["members"] == [{"member": 0, "label": "guest", "status": "folded_in"}]


async def test_strangers_are_named_and_have_no_say(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["zoe", "bob"], **WMF)

    assert track_ids(answer) == ["jazz-1", "jazz-2", "jazz-3", "jazz-4"]
    assert [member["status"] for member in answer["members"]] == ["cold", "known"]
    assert codes(answer) == ["unknown_member"]
    assert answer["warnings"] == [
        {"code": "unknown_member", "detail": "member 0 is not a user that the model knows", "member": 0}
    ]


async def test_a_group_of_strangers_gets_popular_tracks_and_is_told(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"user_id": "zoe"}, {}], limit=6)

    assert set(track_ids(answer)) == {"rock-1", "rock-2", "jazz-1", "jazz-2", "pop-1", "pop-2"}  # all that anyone heard
    assert {track["score"] for track in answer["tracks"]} == {0.545455}  # 6 of the 11 others have fewer listeners
    assert codes(answer) == ["unknown_member", "all_members_cold"]


async def test_a_blocked_track_is_blocked_for_all(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"user_id": "ann"}, {"user_id": "bob", "blocked_track_ids": ["rock-1"]}], **WMF)

    assert set(track_ids(answer)) == {"rock-2", "rock-3", "jazz-1", "jazz-2"}


async def test_excluded_tracks_leave_the_pool(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann"], filters={"exclude_track_ids": ["rock-1", "rock-2"]}, **WMF)

    assert track_ids(answer)[:2] == ["rock-3", "rock/4:a"]
    assert answer["pool"] == {"candidates": 12, "after_filters": 10}


async def test_a_session_goes_on_where_it_stopped(client: httpx.AsyncClient) -> None:
    whole = await ask(client, user_ids=["ann", "bob"], **WMF)
    first = await ask(client, user_ids=["ann", "bob"], model="wmf", limit=1)
    rest = await ask(client, user_ids=["ann", "bob"], model="wmf", limit=3, already_played=track_ids(first))

    assert track_ids(first) + track_ids(rest) == track_ids(whole)
    assert rest["pool"]["after_filters"] == whole["pool"]["after_filters"] - 1


async def test_only_new_means_new_to_every_member(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann", "bob"], filters={"only_new": True}, **WMF)

    assert track_ids(answer) == ["rock-3", "jazz-3", "rock/4:a", "jazz-4"]


async def test_a_heavier_member_gets_more(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"user_id": "ann", "weight": 10}, {"user_id": "bob"}], **WMF)

    assert [genre_of(track) for track in track_ids(answer)].count("rock") > 2


async def test_a_user_named_twice_has_one_say(client: httpx.AsyncClient) -> None:
    twice = await ask(client, user_ids=["bob", "ann", "bob"], seed=1, **WMF)
    once = await ask(client, user_ids=["bob", "ann"], seed=1, **WMF)

    assert twice["tracks"] == once["tracks"]
    assert [member["user_id"] for member in twice["members"]] == ["bob", "ann", "bob"]
    assert codes(twice) == ["duplicate_member"]


async def test_a_user_named_twice_blocks_and_likes_what_either_mention_does(client: httpx.AsyncClient) -> None:
    mentions = [{"user_id": "zoe", "liked_track_ids": ["pop-1"]}, {"user_id": "zoe", "blocked_track_ids": ["pop-2"]}]

    answer = await ask(client, members=mentions, **WMF)

    assert answer["members"][1]["status"] == "folded_in"
    assert "pop-2" not in track_ids(answer)


async def test_unknown_tracks_are_counted_not_fatal(client: httpx.AsyncClient) -> None:
    answer = await ask(client, members=[{"user_id": "ann", "liked_track_ids": ["rock-1", "nope"]}], **WMF)

    assert codes(answer) == ["unknown_track"]
    assert answer["warnings"][0]["detail"].startswith("/members/0/liked_track_ids: 1 of 2")


async def test_warnings_name_the_member_and_the_tracks_that_they_are_about(client: httpx.AsyncClient) -> None:
    members = [{"user_id": "ann"}, {"user_id": "bob", "blocked_track_ids": ["x", "rock-1", "x"]}, {"user_id": "ann"}]
    many = [f"y-{number}" for number in range(150)]

    answer = await ask(client, members=members, filters={"exclude_track_ids": many}, already_played=["z"], limit=2)

    about = [(each["code"], each.get("member"), each.get("track_ids")) for each in answer["warnings"]]
    assert about == [
        ("unknown_track", None, many[:100]),
        ("unknown_track", None, ["z"]),
        ("unknown_track", 1, ["x"]),
        ("duplicate_member", 2, None),
    ]


async def test_a_short_list_says_so(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann"], filters={"exclude_track_ids": TRACKS[:-3]}, model="wmf")

    assert len(answer["tracks"]) == 3
    assert codes(answer) == ["filled_with_popular", "fewer_tracks_than_asked"]


async def test_the_same_seed_gives_the_same_answer(client: httpx.AsyncClient) -> None:
    first = await ask(client, user_ids=["ann", "bob", "cid"], model="basic", limit=6)
    again = await ask(client, user_ids=["ann", "bob", "cid"], model="basic", limit=6, seed=first["seed"])

    assert again["tracks"] == first["tracks"]
    assert again["recommendation_id"] != first["recommendation_id"]


async def test_seeds_differ_and_javascript_can_hold_them(client: httpx.AsyncClient) -> None:
    seeds = {(await ask(client, user_ids=["ann"]))["seed"] for _ in range(20)}

    assert len(seeds) == 20
    assert max(seeds) < 1 << 53


async def test_recommendation_ids_sort_by_time(client: httpx.AsyncClient) -> None:
    first = (await ask(client, user_ids=["ann"]))["recommendation_id"]
    second = (await ask(client, user_ids=["ann"]))["recommendation_id"]

    assert first[:14] <= second[:14]  # "rec_" and the ten characters of the time
    assert len(first) == 30


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"user_ids": ["ann"], "members": [{}]}, ""),
        ({"user_ids": []}, ""),
        ({"members": []}, ""),
        ({"user_ids": ["ann"] * 65}, "/user_ids"),
        ({"user_ids": ["ann"], "limit": 0}, "/limit"),
        ({"user_ids": ["ann"], "limit": 201}, "/limit"),
        ({"user_ids": ["ann"], "limit": "3"}, "/limit"),
        ({"user_ids": ["ann"], "limit": True}, "/limit"),
        ({"user_ids": ["ann"], "limit": 3, "n": 3}, ""),
        ({"user_ids": ["ann"], "seed": 1 << 53}, "/seed"),
        ({"user_ids": ["ann"], "seed": -1}, "/seed"),
        ({"user_ids": ["ann"], "strategy": "dictatorship"}, "/strategy"),
        ({"user_ids": ["ann"], "explain": "yes"}, "/explain"),
        ({"user_ids": ["ann"], "novelty": 1.1}, "/novelty"),
        ({"user_ids": ["ann"], "novelty": "much"}, "/novelty"),
        ({"user_ids": ["ann"], "diversity": -0.1}, "/diversity"),
        ({"user_ids": ["ann"], "filters": {"explicit": "only"}}, "/filters/explicit"),
        ({"user_ids": ["ann"], "filters": {"exclude_artist_ids": ["x"] * 1001}}, "/filters/exclude_artist_ids"),
        ({"user_ids": ["ann"], "filters": {"max_per_artist": 0}}, "/filters/max_per_artist"),
        ({"user_ids": ["ann"], "filters": {"max_per_artist": 201}}, "/filters/max_per_artist"),
        ({"user_ids": ["ann"], "filters": {"target_duration_ms": 0}}, "/filters/target_duration_ms"),
        ({"user_ids": ["ann"], "filters": {"target_duration_ms": 1.5}}, "/filters/target_duration_ms"),
        ({"members": [{"user_id": "ann", "weight": 0}]}, "/members/0/weight"),
        ({"members": [{"user_id": "ann", "mood": "good"}]}, "/members/0/mood"),
        ([], ""),
    ],
    ids=lambda value: json.dumps(value)[:50] if not isinstance(value, str) else "",
)
async def test_what_is_wrong_is_pointed_at(client: httpx.AsyncClient, body: object, pointer: str) -> None:
    response = await client.post("/recommendations/group", json=body)

    assert response.status_code == 422
    assert response.json()["code"] == "validation_failed"
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


async def test_an_unknown_model_is_refused_with_the_choices(client: httpx.AsyncClient) -> None:
    response = await client.post("/recommendations/group", json={"user_ids": ["ann"], "model": "gpt"})

    assert response.status_code == 422
    assert response.json()["code"] == "unknown_model"
    assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [("/model", "unknown_model")]
    assert "basic, softmax, wmf" in response.json()["detail"]


async def test_without_an_experiment_the_default_model_answers(client: httpx.AsyncClient) -> None:
    answer = await ask(client, user_ids=["ann"])

    assert answer["model"]["name"] == "wmf"
    assert answer["assignment"] == {"assigned_by": "default"}


async def test_a_group_sees_its_variant_whoever_asks_and_in_whatever_order(with_experiment: Settings) -> None:
    async with serving(with_experiment) as client:
        forth = await client.post("/recommendations/group", json={"user_ids": ["ann", "bob"]})
        back = await client.post("/recommendations/group", json={"user_ids": ["bob", "stranger", "ann"]})

    assignment = forth.json()["assignment"]
    assert assignment["assigned_by"] == "experiment"
    assert back.json()["assignment"] == assignment
    assert forth.headers["x-experiment"] == f"basic-vs-wmf; variant={assignment['variant']}"


async def test_both_variants_are_served_as_configured(with_experiment: Settings) -> None:
    async with serving(with_experiment) as client:
        answers = [await ask(client, user_ids=["ann"], group_id=f"group-{number}") for number in range(20)]

    served = {(each["assignment"]["variant"], each["model"]["name"], each["strategy"]) for each in answers}
    assert served == {("control", "basic", "shared_first"), ("advanced", "wmf", "fair_share")}


@pytest.mark.parametrize("choice", [{"model": "basic"}, {"strategy": "average"}], ids=str)
async def test_a_request_that_chooses_is_left_out_of_the_experiment(with_experiment: Settings, choice: dict) -> None:
    async with serving(with_experiment) as client:
        response = await client.post("/recommendations/group", json={"user_ids": ["ann"], **choice})

    assert response.json()["assignment"] == {"assigned_by": "request"}
    assert "x-experiment" not in response.headers


async def test_every_answer_leaves_an_exposure(with_experiment: Settings) -> None:
    async with serving(with_experiment) as client:
        answer = await ask(client, user_ids=["bob", "ann"], limit=3, seed=5)

    (exposure,) = exposures(with_experiment)
    assert exposure.pop("timestamp").endswith("+00:00")
    assert exposure == {
        "recommendation_id": answer["recommendation_id"],
        "unit": 'members:["ann","bob"]',
        "experiment": "basic-vs-wmf",
        "variant": answer["assignment"]["variant"],
        "model": answer["model"]["name"],
        "model_version": "v1",
        "strategy": answer["strategy"],
        "seed": 5,
        "track_ids": track_ids(answer),
        "assigned_by": "experiment",
        "degraded": False,
    }
