"""Playlists for groups, judged by hand."""

from dataclasses import replace
from math import log2
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import Success, nDCG
from scipy.sparse import csr_array

from service.core.artifacts import ArtifactStore
from service.core.ids import IdIndex
from service.core.recommenders import recommender_of
from training.data import Pairs
from training.evaluate.group_metrics import GroupTruth, judge_groups, min_max
from training.groups import Group
from training.metrics import Shelf, Truth, coverage

PEOPLE = IdIndex(["u00", "u01", "stranger"])


def truth_of(groups: list[Group], likes: dict[str, list[int]], excluded: csr_array | None = None) -> GroupTruth:
    pairs = [(user_id, row) for user_id, rows in likes.items() for row in rows]
    held_out = Pairs(
        PEOPLE.rows([user_id for user_id, _ in pairs]),
        np.array([row for _, row in pairs], dtype=np.int64),
        np.ones(len(pairs), dtype=np.float32),
    )
    return GroupTruth(groups, PEOPLE, Truth.of(held_out, (len(PEOPLE), 20), excluded))


def figures_of(models: Path, truth: GroupTruth, rows: list[int], cutoffs: tuple[int, ...] = (4,)) -> dict[str, float]:
    model = recommender_of(ArtifactStore(models).load("seer"))
    lists = np.full((1, 1, max(cutoffs)), -1)
    lists[0, 0, : len(rows)] = rows
    return {name: float(column[0, 0]) for name, column in judge_groups(model, truth, lists, cutoffs).items()}


def test_a_list_of_four_judged_by_hand(models: Path) -> None:
    group = Group(group_id="g", user_ids=("u00", "u01"))
    truth = truth_of([group], {"u00": [0, 2], "u01": [1]})

    figures = figures_of(models, truth, [4, 0, 2, 6])

    assert figures["precision@4"] == 2 / 4  # 0 and 2
    first = (1 / log2(3) + 1 / log2(4)) / (1 + 1 / log2(3))  # hits at places 2 and 3 of 2
    assert figures["ndcg@4"] == pytest.approx((first + 0) / 2)
    assert figures["min_ndcg@4"] == 0
    assert figures["zero_recall@4"] == 1 / 2
    assert figures["dfh@4"] == pytest.approx((1 / log2(3) + 0) / 2)
    assert figures["min_max@4"] == 0
    assert figures["prefix_min_max@4"] == 0  # nothing but even tracks: u01, who likes odd ones, gets nothing


def test_precision_is_over_the_number_recommended(models: Path) -> None:
    truth = truth_of([Group(group_id="g", user_ids=("u00",))], {"u00": [0]})

    assert figures_of(models, truth, [0, 2], cutoffs=(10,))["precision@10"] == 1 / 2


def test_a_stranger_is_asked_what_they_like_and_weighs_in(models: Path) -> None:
    truth = truth_of([Group(group_id="g", user_ids=("u00", "stranger"))], {"stranger": [7]})

    figures = figures_of(models, truth, [0, 7])

    assert figures["precision@4"] == 1 / 2
    assert figures["zero_recall@4"] == 0  # u00 has nothing relevant and is not counted


def test_a_group_with_nothing_relevant_has_precision_0_and_no_other_figure(models: Path) -> None:
    figures = figures_of(models, truth_of([Group(group_id="g", user_ids=("u00",))], {}), [0, 2])

    assert figures["precision@4"] == 0
    assert np.isnan(figures["ndcg@4"])


def test_what_one_member_heard_before_nobody_is_asked_for(models: Path) -> None:
    heard = csr_array(([True], ([0], [1])), shape=(3, 20))
    group = Group(group_id="g", user_ids=("u00", "u01"))

    truth = truth_of([group], {"u01": [1, 3]}, heard)

    assert truth.excluded(group).tolist() == [1]
    assert figures_of(models, truth, [3])["ndcg@4"] == 1


def test_in_discovery_what_one_member_heard_may_come_for_the_others(models: Path) -> None:
    heard = csr_array(([True, True], ([0, 1], [4, 1])), shape=(3, 20))
    group = Group(group_id="g", user_ids=("u00", "u01"))

    likes = {"u00": [0], "u01": [4]}

    truth = replace(truth_of([group], likes, heard), discovery=True)

    assert truth.excluded(group).tolist() == []
    assert figures_of(models, truth, [4, 0])["ndcg@4"] == pytest.approx((1 + 1 / log2(3)) / 2)
    even_and_odd = [4, 5]  # u00 likes even tracks but has heard 4
    assert figures_of(models, truth_of([group], likes), even_and_odd)["min_max@4"] > 0
    assert figures_of(models, truth, even_and_odd)["min_max@4"] == 0


def test_figures_of_a_group_are_the_mean_and_the_least_of_what_ir_measures_says_of_its_members(models: Path) -> None:
    rng = np.random.default_rng(0)
    members, k = ["u00", "u01", "stranger"], 6
    likes = {user_id: rng.choice(20, rng.integers(1, 9), replace=False).tolist() for user_id in members}
    rows = rng.permutation(20)[:k].tolist()

    figures = figures_of(models, truth_of([Group(group_id="g", user_ids=tuple(members))], likes), rows, (k,))

    qrels = [ir_measures.Qrel(user_id, str(row), 1) for user_id in members for row in likes[user_id]]
    run = [ir_measures.ScoredDoc(user_id, str(row), -place) for user_id in members for place, row in enumerate(rows)]
    of_members = [line.value for line in ir_measures.iter_calc([nDCG @ k], qrels, run)]
    hits = [line.value for line in ir_measures.iter_calc([Success @ k], qrels, run)]
    assert figures[f"ndcg@{k}"] == pytest.approx(np.mean(of_members))
    assert figures[f"min_ndcg@{k}"] == pytest.approx(min(of_members))
    assert figures[f"zero_recall@{k}"] == pytest.approx(1 - np.mean(hits))


def test_taking_turns_is_even_only_after_every_turn() -> None:
    received = np.array([[[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]])
    best = np.ones((2, 4))

    assert min_max(received, best).tolist() == [[0, 1, 0.5, 1]]


def test_a_list_that_gives_nobody_anything_is_not_even() -> None:
    assert min_max(np.zeros((1, 2, 3)), np.ones((2, 3))).tolist() == [[0, 0, 0]]


def test_novelty_popularity_and_artists_of_a_list() -> None:
    shelf = Shelf(listeners=np.array([8, 1, 0]), users=8, artists=np.array([5, 5, -1]))

    figures = shelf.judge(np.array([[0, 1], [0, -1], [-1, -1]]), (2,))

    assert figures["novelty@2"].tolist()[:2] == [1.5, 0]  # everybody knows 0: 0 bits; one of eight knows 1: 3 bits
    assert figures["popularity@2"].tolist()[:2] == [4.5, 8]
    assert figures["artists@2"].tolist()[:2] == [1, 1]
    assert all(np.isnan(column[2]) for column in figures.values())  # an empty list is not a list without artists


def test_coverage_counts_each_track_once() -> None:
    assert coverage(np.array([[0, 1], [1, -1]]), tracks=4) == 0.5
