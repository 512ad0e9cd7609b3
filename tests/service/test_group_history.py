"""Groups that have listened together before."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.core.artifacts import ArtifactStore
from service.core.ids import group_key
from service.core.strategies import STRATEGIES
from service.settings import Settings
from tests.service.test_recommendations import ask, codes, track_ids
from tests.service.worlds import CATALOGUE, FACTORS, HISTORY, TRACKS, USERS, calibration_of, serving

POP = TRACKS.index("pop-3")


@pytest.fixture
def with_band(models: Path, settings: Settings) -> Settings:
    """The world of three tastes, and a band that together hears nothing but pop."""
    store = ArtifactStore(models)
    taste = np.eye(4, 3, dtype=np.float32)
    taste[3, 2] = 1
    history = {
        "history_indptr": np.append(HISTORY["history_indptr"], 7),
        "history_rows": np.append(HISTORY["history_rows"], np.int32(POP)),
        "history_scores": np.append(HISTORY["history_scores"], np.float32(1)),
    }
    arrays = history | calibration_of(taste @ FACTORS.T) | {"user_factors": taste, "item_factors": FACTORS}
    manifest = store.manifest("wmf")
    data = manifest.data.model_copy(update={"groups": 1})
    manifest = manifest.model_copy(update={"version": "v2", "sha256": {}, "data": data})
    store.publish(manifest, arrays, [*USERS, group_key("band")], TRACKS, CATALOGUE)
    return settings.model_copy(update={"models": models})


@pytest.fixture
async def band(with_band: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(with_band) as client:
        yield client


async def test_models_count_groups_beside_users(band: httpx.AsyncClient) -> None:
    wmf = next(model for model in (await band.get("/models")).json()["models"] if model["name"] == "wmf")

    assert (wmf["users"], wmf["groups"]) == (3, 1)


WMF = {"model": "wmf", "limit": 4, "user_ids": ["ann", "bob"]}


async def test_what_a_group_heard_together_counts_as_much_as_all_of_its_members(band: httpx.AsyncClient) -> None:
    alone = await ask(band, **WMF)
    together = await ask(band, **WMF, group_id="band")

    assert track_ids(alone) == ["rock-1", "jazz-1", "rock-2", "jazz-2"]
    assert track_ids(together) == ["pop-1", "rock-1", "jazz-1", "pop-2"]
    assert "group" not in alone
    assert together["group"] == {"status": "known"}


@pytest.mark.parametrize(("weight", "first"), [(0.1, "rock-1"), (10.0, "pop-1")])
async def test_how_much_it_counts_is_a_setting(with_band: Settings, weight: float, first: str) -> None:
    async with serving(with_band.model_copy(update={"group_weight": weight})) as client:
        assert track_ids(await ask(client, **WMF, group_id="band"))[0] == first


async def test_a_group_without_a_history_changes_nothing(band: httpx.AsyncClient) -> None:
    answer = await ask(band, **WMF, group_id="choir")

    assert track_ids(answer) == ["rock-1", "jazz-1", "rock-2", "jazz-2"]
    assert answer["group"] == {"status": "unknown"}


async def test_members_and_reasons_speak_of_the_members_as_before(band: httpx.AsyncClient) -> None:
    answer = await ask(band, **WMF, group_id="band", explain=True)

    assert [member["user_id"] for member in answer["members"]] == ["ann", "bob"]
    assert sum(member["share"] for member in answer["members"]) == pytest.approx(1, abs=1e-5)
    assert {line["member"] for track in answer["tracks"] for line in track["explanation"]} == {0, 1}
    assert not any("why" in track for track in answer["tracks"])  # the strategy heard one voter more
    assert answer["group"]["status"] == "known"
    assert answer["group"]["taste_match"] == 0.0


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize(
    "member", [{"liked_track_ids": ["rock-2"]}, {"user_id": "bob", "liked_track_ids": ["rock-2"]}, {"user_id": "bob"}]
)
async def test_reasons_are_given_whoever_listens_and_whatever_the_strategy(
    band: httpx.AsyncClient, member: dict[str, object], strategy: str
) -> None:
    members = [{"user_id": "ann"}, member]

    answer = await ask(band, members=members, group_id="band", model="wmf", strategy=strategy, limit=6, explain=True)

    assert {line["member"] for track in answer["tracks"] for line in track["explanation"]} == {0, 1}
    assert {track["source_model"] for track in answer["tracks"] if "source_model" in track} <= {"wmf"}
    assert not any("why" in track for track in answer["tracks"])


@pytest.mark.parametrize("explain", [False, True])
async def test_a_group_of_strangers_that_is_known_itself_is_no_group_of_strangers(
    band: httpx.AsyncClient, explain: bool
) -> None:
    answer = await ask(band, model="wmf", user_ids=["x", "y"], limit=3, group_id="band", explain=explain)

    assert track_ids(answer) == ["pop-1", "pop-2", "pop-3"]
    assert [member["status"] for member in answer["members"]] == ["cold", "cold"]
    assert "all_members_cold" not in codes(answer)


async def test_what_the_group_heard_is_not_new_to_it(band: httpx.AsyncClient) -> None:
    answer = await ask(band, model="wmf", user_ids=["x"], limit=3, group_id="band", filters={"only_new": True})

    assert track_ids(answer) == ["pop-1", "pop-2", "pop-4"]


async def test_nobody_misses_what_was_not_new_to_the_group(band: httpx.AsyncClient) -> None:
    answer = await ask(band, model="wmf", user_ids=["cid"], group_id="band", filters={"only_new": True}, explain=True)

    assert "pop-3" not in track_ids(answer)
    assert answer["members"][0]["satisfaction"] == 1


async def test_no_group_is_taken_for_a_user(band: httpx.AsyncClient) -> None:
    answer = await ask(band, model="wmf", user_ids=["ann", "group\tband"])

    assert [member["status"] for member in answer["members"]] == ["known", "cold"]


async def test_no_user_is_taken_for_a_group(band: httpx.AsyncClient) -> None:
    assert (await ask(band, **WMF, group_id="cid"))["group"] == {"status": "unknown"}


async def test_filters_hold_for_a_group_with_a_history_of_its_own(band: httpx.AsyncClient) -> None:
    filters = {
        "exclude_track_ids": ["pop-1"],
        "explicit": "exclude",
        "max_per_artist": 1,
        "target_duration_ms": 720_000,
    }

    answer = await ask(band, **WMF | {"limit": 12}, group_id="band", filters=filters, explain=True)

    # of rock and of jazz one track each, as it is all by one band; nobody knows whom pop is by, nor how long it is
    assert sorted(track_ids(answer)) == ["jazz-1", "pop-2", "pop-3", "rock-1"]
    assert codes(answer) == ["explicit_unknown"]
    assert [member["user_id"] for member in answer["members"]] == ["ann", "bob"]
