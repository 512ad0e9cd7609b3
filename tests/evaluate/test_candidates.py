"""Given candidate lists: fair to ties, honest about what nobody knows."""

import json
from itertools import pairwise, permutations
from math import log2
from pathlib import Path

import numpy as np
import pytest

from service.core.artifacts import ArtifactStore
from service.core.errors import DataError
from service.core.strategies import STRATEGIES
from tests.core.worlds import load, publish_factors
from tests.evaluate.conftest import LISTENERS, TRACKS, publish, write_split, write_world
from training.__main__ import main
from training.evaluate.candidates import (
    CandidateList,
    CandidateTable,
    places_alone,
    places_together,
    rank_candidates,
    read_candidates,
)
from training.evaluate.results import Results
from training.evaluate.subject import Subject
from training.groups import Group


def subject_of(models: Path, name: str) -> Subject:
    return Subject.of(ArtifactStore(models).load(name))


def asked(user_ids: list[str], positive: str, negatives: list[str], *, single: bool = False) -> CandidateList:
    return CandidateList(Group(group_id="g", user_ids=tuple(user_ids)), single, positive, tuple(negatives), repeated=0)


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_a_positive_tied_with_others_gets_the_mean_of_their_places(models: Path) -> None:
    seer = subject_of(models, "seer")
    lists = [asked(["u00"], "t00", ["t01", "t02"], single=True)]  # t00 and t02 are even, which u00 likes

    table = CandidateTable(seer, None, places_alone(seer.model, lists))

    assert table.places[0].tolist() == [1, 2]
    figures = {name: float(column[0]) for name, column in table.figures([1, 2]).items()}
    assert figures["hit_rate@1"] == figures["ndcg@1"] == 1 / 2
    assert figures["hit_rate@2"] == 1
    assert figures["ndcg@2"] == pytest.approx((1 + 1 / log2(3)) / 2)


def test_figures_are_those_of_all_orders_of_the_tied(prepared: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(4, size=(LISTENERS, TRACKS)).astype(np.float32)
    store = ArtifactStore(tmp_path)
    publish(prepared, store, "table", (scores, np.eye(TRACKS, dtype=np.float32)))
    subject = subject_of(tmp_path, "table")
    drawn = [rng.choice(TRACKS, 5, replace=False).tolist() for _ in range(LISTENERS)]
    lists = [asked([f"u{u:02}"], f"t{p:02}", [f"t{n:02}" for n in n5], single=True) for u, (p, *n5) in enumerate(drawn)]

    figures = CandidateTable(subject, None, places_alone(subject.model, lists)).figures([1, 3])

    for user, tracks in enumerate(drawn):
        worth = scores[user]
        orders = [o for o in permutations(tracks) if all(worth[a] >= worth[b] for a, b in pairwise(o))]
        ranks = [order.index(tracks[0]) + 1 for order in orders]
        for k in (1, 3):
            assert figures[f"hit_rate@{k}"][user] == pytest.approx(np.mean([rank <= k for rank in ranks]))
            gains = [(rank <= k) / log2(rank + 1) for rank in ranks]
            assert figures[f"ndcg@{k}"][user] == pytest.approx(np.mean(gains))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_for_a_group_it_makes_no_difference_which_of_two_equal_tracks_is_the_truth(models: Path, strategy: str) -> None:
    model = subject_of(models, "seer").model
    members, tracks = ["u00", "u01", "u02"], ["t00", "t02", "t04", "t01", "t03"]
    lists = [asked(members, truth, [t for t in tracks if t != truth]) for truth in ("t00", "t02", "t04")]

    first, second, third = (places_together(model, strategy, [entry], seed=0)[0].tolist() for entry in lists)

    assert first == second == third
    assert len(first) == 3


def test_what_the_group_likes_is_ahead_of_what_it_does_not(models: Path) -> None:
    model = subject_of(models, "seer").model

    places = places_together(model, "fair_share", [asked(["u00", "u02"], "t00", ["t01", "t03", "t02"])], seed=0)

    assert places[0].tolist() == [1, 2]


def test_a_positive_that_the_model_has_never_seen_is_behind_all_it_knows(models: Path) -> None:
    model = subject_of(models, "seer").model
    negatives = ["t01", "t03", "unheard of"]

    alone = places_alone(model, [asked(["u00"], "new", negatives, single=True)])
    together = places_together(model, "average", [asked(["u00", "u01"], "new", negatives)], seed=0)

    assert alone[0].tolist() == together[0].tolist() == [3, 4]  # it shares the end with the other stranger


def test_strangers_get_what_is_popular(prepared: Path, models: Path) -> None:
    model = subject_of(models, "seer").model
    listeners = model.history.listeners
    top, last = int(listeners.argmax()), int(listeners.argmin())
    assert listeners[top] > listeners[last]

    for places in (
        places_alone(model, [asked(["nobody"], f"t{top:02}", [f"t{last:02}"], single=True)]),
        places_together(model, "fair_share", [asked(["nobody", "no one"], f"t{top:02}", [f"t{last:02}"])], seed=0),
    ):
        assert places[0].tolist() == [1]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_the_least_of_many_candidates_is_the_last(strategy: str, tmp_path: Path) -> None:
    falling = {f"t{row}": [1 - row / 500] for row in range(500)}
    publish_factors(tmp_path, {"ann": [1.0], "bob": [2.0]}, falling)
    *negatives, positive = falling

    (places,) = places_together(load(tmp_path, "wmf"), strategy, [asked(["ann", "bob"], positive, negatives)], seed=0)

    assert places[-1] == 500


def test_lists_of_listeners_are_ranked_by_scores_and_lists_of_groups_by_strategies(models: Path) -> None:
    seer = subject_of(models, "seer")
    lists = [asked(["u00"], "t00", ["t01"], single=True), asked(["u00"], "t00", ["t01"])]

    tables = rank_candidates(lists, [seer], ["average", "gfar"], seed=0)

    assert [table.name for table in tables] == ["seer", "seer/average", "seer/gfar"]
    assert all(table.places[0].tolist() == [1] for table in tables)


def test_members_come_from_the_line_or_from_the_file_of_groups(tmp_path: Path) -> None:
    known = [Group(group_id="7", user_ids=("ann", "bob"))]
    file = write_lines(
        tmp_path / "c.jsonl",
        {"group_id": 7, "positive": 1, "negatives": [2, 2, 3]},
        {"user_ids": ["eve"], "positive": "1", "negatives": ["2"]},
    )

    by_group, by_line = read_candidates(file, known)

    assert (by_group.group, by_group.single, by_group.repeated) == (known[0], False, 1)
    assert by_group.negatives == ("2", "3")
    assert (by_line.group.user_ids, by_line.single) == (("eve",), True)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ({"positive": "1", "negatives": ["2"]}, '["...", ...]}: neither group_id nor user_ids says who listens'),
        ({"group_id": "who", "positive": "1", "negatives": ["2"]}, "'who' is not known from --groups"),
        ({"user_ids": ["u"], "positive": "1", "negatives": ["2", "1"]}, "'1' is both the positive and a negative"),
        ({"user_ids": ["u"], "positive": "1", "negatives": []}, "negatives: Input must not be empty"),
        ({"user_ids": [], "positive": "1", "negatives": ["2"]}, "user_ids: Input must not be empty"),
        ({"user_ids": ["u"], "positive": "1"}, "negatives: Field required"),
        ({"user_ids": ["u"], "positive": "1", "negatives": "2"}, "negatives: Input should be a valid array"),
    ],
)
def test_a_line_that_is_no_candidate_list_is_named(tmp_path: Path, line: object, fault: str) -> None:
    file = write_lines(tmp_path / "c.jsonl", {"user_ids": ["u"], "positive": "1", "negatives": ["2"]}, line)

    with pytest.raises(DataError, match=r"c\.jsonl, line 2") as error:
        read_candidates(file, [])

    assert fault in str(error.value)


def test_candidate_lists_need_nothing_held_out(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, out = tmp_path / "prepared", tmp_path / "out"
    write_world(world)
    write_split(world, "validation", [])
    file = write_lines(
        tmp_path / "c.jsonl",
        {"user_ids": ["u00"], "positive": "t00", "negatives": ["t01", "t03"]},
        {"user_ids": ["u00", "nobody"], "positive": "t01", "negatives": ["t00", "unheard of"]},
    )
    command = ["evaluate", "--data", str(world), "--models", str(models), "--out", str(out), "--k", "1"]

    assert main([*command, "--model", "seer", "--strategy", "average", "--candidates", str(file)]) == 0

    results = Results.model_validate_json((out / "results.json").read_text())
    found = results.candidates
    assert found is not None
    assert (found.groups, found.listeners) == (1, 1)
    assert (found.unknown_members, found.unknown_negatives) == ({"seer": 1}, {"seer": 1})
    assert [(row.strategy, row.metrics["hit_rate@1"].mean) for row in found.rows] == [(None, 1.0), ("average", 0.0)]
    assert "1 members of candidate lists unknown to seer" in capsys.readouterr().out
    assert "Given candidate lists" in (out / "report.html").read_text()
