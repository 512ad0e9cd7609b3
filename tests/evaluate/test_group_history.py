"""Groups that have listened together before, and want something else than their members do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from service.core.artifacts import ArtifactStore
from service.core.ids import group_key
from tests.evaluate.conftest import TRACKS, publish, write_split, write_world
from training.data import load
from training.evaluate import Plan, evaluate
from training.evaluate.candidates import places_together, read_candidates
from training.evaluate.subject import Subject
from training.groups import Group, prepared_groups

TOGETHER = Group(group_id="pair", user_ids=("u00", "u02"))


def write_group_split(folder: Path, split: str, tracks: list[str]) -> None:
    write_split(folder, f"group_{split}", [("pair", track_id, 1.0) for track_id in tracks])
    path = folder / f"group_{split}.parquet"
    pd.read_parquet(path).rename(columns={"user_id": "group_id"}).to_parquet(path)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Alone both like even tracks; together they heard odd ones, and later two more."""
    folder = tmp_path / "prepared"
    write_world(folder)
    write_group_split(folder, "train", ["t01", "t03"])
    write_group_split(folder, "validation", ["t05", "t07"])
    write_group_split(folder, "test", [])
    pd.DataFrame([TOGETHER.model_dump()]).to_parquet(folder / "groups.parquet")
    return folder


@pytest.fixture
def store(world: Path, tmp_path: Path) -> ArtifactStore:
    """A model that knows what everybody likes, the pair as a pair included."""
    store = ArtifactStore(tmp_path / "models")
    users = load(world).interactions.users
    odd = [user_id == group_key("pair") or user_id in {"u01", "u03", "u05", "u07", "u09", "u11"} for user_id in users]
    camps = np.eye(2, dtype=np.float32)
    publish(world, store, "seer", (camps[np.array(odd, dtype=int)], camps[np.arange(TRACKS) % 2]))
    return store


@pytest.mark.parametrize(("weight", "hits"), [(0.0, 0.0), (2.0, 1.0)])
def test_a_group_is_judged_by_what_it_hears_together_and_served_by_it_too(
    world: Path, store: ArtifactStore, tmp_path: Path, weight: float, hits: float
) -> None:
    file = tmp_path / "groups.jsonl"
    file.write_text(TOGETHER.model_dump_json())
    plan = Plan(
        data=world, models=store.root, groups=file, group_weight=weight, strategies=("average",), cutoffs=(8,),
        group_protocols=("all",),
    )  # fmt: skip

    results = evaluate(plan).results

    assert results.groups[0].metrics["own_hit_rate@8"].mean == hits
    # the first eight of ten even tracks, or of ten odd ones with t05 and t07 among them
    assert results.groups[0].metrics["own_recall@8"].mean == hits
    assert results.population.users == 12  # a group is no listener
    assert (results.data.train.users, results.data.train.groups) == (12, 1)


def test_candidate_lists_know_the_groups_that_the_data_were_prepared_with(
    world: Path, store: ArtifactStore, tmp_path: Path
) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text('{"group_id": "pair", "positive": "t05", "negatives": ["t00", "t02"]}')
    model = Subject.of(store.load("seer")).model

    lists = read_candidates(file, prepared_groups(world))

    assert lists[0].group == TOGETHER
    assert places_together(model, "average", lists, seed=0, group_weight=2)[0].tolist() == [1]
    assert places_together(model, "average", lists, seed=0, group_weight=0)[0].tolist() == [3]
