"""What is said of a playlist is true: by eye on a small world, and by the definitions on random ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.core.explanation import Explanation, Opinion, explain
from service.core.group import GroupRanking, rank_groups
from service.core.query import GroupQuery, Member
from service.core.recommender import Recommender
from service.core.recommenders import KINDS
from service.core.strategies import STRATEGIES
from tests.core import slow_explanations as slow
from tests.core import worlds

ROCK1, ROCK2, ROCK3, JAZZ1, JAZZ2, JAZZ3 = range(6)
ANN, BOB, CAT, EVE = range(4)
TASTES = {
    "rock1": [1.0, 0.0],
    "rock2": [0.9, 0.1],
    "rock3": [0.8, 0.0],
    "jazz1": [0.0, 1.0],
    "jazz2": [0.1, 0.9],
    "jazz3": [0.0, 0.8],
}


@pytest.fixture(scope="module")
def genres(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    root = tmp_path_factory.mktemp("genres")
    listeners = {"ann": [1.0, 0.0], "bob": [0.0, 1.0], "cat": [1.0, 1.0], "eve": [1.0, 0.0]}
    plays = {"ann": {"rock1": 2.0}, "bob": {"jazz1": 1.0, "jazz2": 0.0}, "cat": {"rock1": 1.0, "jazz3": 4.0}}
    worlds.publish_factors(root, listeners, TASTES, plays)
    return worlds.load(root, "wmf")


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    root = tmp_path_factory.mktemp("counts")
    worlds.publish_counts(root, {"ann": {"rock1": 5.0}, "bob": {"jazz1": 1.0, "rock1": 1.0}}, list(TASTES))
    return worlds.load(root, "basic")


def explained(model: Recommender, *members: Member, k: int = 4, **options: object) -> tuple[list[int], Explanation]:
    query = replace(GroupQuery(members, k, "fair_share"), **options)  # type: ignore[arg-type]  # they are field names
    (ranking,) = rank_groups(model, [query])
    return ranking.rows, explain(model, query, ranking)


def opinion(rows: list[int], explanation: Explanation, row: int, member: int) -> Opinion:
    return next(each for each in explanation.opinions[rows.index(row)] if each.member == member)


def test_a_track_is_picked_for_those_who_love_it(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(ANN), Member(BOB), Member(CAT))

    by_row = dict(zip(rows, explanation.picked_for, strict=True))
    assert by_row[ROCK1] == [0, 2]
    assert by_row[JAZZ1] == [1, 2]


def test_new_tracks_are_explained_by_the_like_in_the_history(genres: Recommender) -> None:
    rocker, jazzer = Member(liked=(ROCK1, ROCK3, JAZZ3)), Member(liked=(ROCK3, JAZZ1, JAZZ3))
    rows, explanation = explained(genres, rocker, jazzer, k=6)

    assert opinion(rows, explanation, ROCK2, 0).because_of == ROCK1
    assert opinion(rows, explanation, JAZZ2, 1).because_of == JAZZ1


def test_whoever_was_folded_in_for_the_ranking_is_not_folded_in_again(genres: Recommender) -> None:
    query = GroupQuery((Member(ANN), Member(liked=(JAZZ1,))), 4, "fair_share")
    alone = GroupQuery((Member(ANN), Member(BOB)), 4, "fair_share")
    ranking, of_known = rank_groups(genres, [query, alone])
    assert ranking.vectors is not None
    assert of_known.vectors is None  # they are looked up

    indifferent = explain(genres, query, replace(ranking, vectors=torch.zeros_like(ranking.vectors)))

    assert explain(genres, query, ranking).satisfaction.keys() == {0, 1}
    assert indifferent.satisfaction == {}


def test_what_a_guest_named_is_liked_and_the_rest_follows_from_it(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(liked=(JAZZ1,)))

    assert opinion(rows, explanation, JAZZ1, 0).reason == "liked"
    assert opinion(rows, explanation, JAZZ1, 0).played is False
    assert opinion(rows, explanation, JAZZ2, 0) == Opinion(0, pytest.approx(0.8), False, "similar_to", JAZZ1)


def test_what_is_there_for_others_leaves_a_member_lukewarm(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(ANN), Member(BOB))

    assert opinion(rows, explanation, JAZZ1, 0).reason == "lukewarm"
    assert opinion(rows, explanation, JAZZ1, 1) == Opinion(1, 1.0, True, "top_track")


def test_a_skipped_track_is_neither_played_nor_new(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(BOB))

    assert opinion(rows, explanation, JAZZ2, 0) == Opinion(0, pytest.approx(0.8), False, "skipped")


def test_a_taste_without_a_history_names_no_track(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(EVE))

    assert opinion(rows, explanation, ROCK1, 0) == Opinion(0, 1.0, False, "taste")


def test_tracks_that_fill_a_list_are_popular_and_picked_for_nobody(counts: Recommender) -> None:
    rows, explanation = explained(counts, Member(ANN), Member(), k=2)

    assert rows == [ROCK1, JAZZ1]
    assert explanation.picked_for == [[0], []]
    assert [each.reason for each in explanation.opinions[1]] == ["popular", "popular"]
    assert [each.member for each in explanation.opinions[0]] == [0]  # of a stranger there is nothing to say
    assert explanation.opinions[1][1] == Opinion(1, None, False, "popular")


def test_a_group_of_strangers_is_told_of_popularity_alone(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(), Member(), k=2)

    assert explanation.opinions == [[Opinion(0, None, False, "popular"), Opinion(1, None, False, "popular")]] * len(
        rows
    )
    assert explanation.picked_for == [[], []]
    assert explanation.satisfaction == {}
    assert explanation.shares == {}
    assert explanation.taste_match is None


def test_what_is_worth_nothing_to_a_member_is_picked_for_others(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(ANN), Member(EVE), k=6, discovery=True)  # of one taste; Ann has rock1

    assert explanation.picked_for[rows.index(ROCK1)] == [1]
    assert explanation.picked_for[rows.index(ROCK2)] == [0, 1]
    assert explanation.satisfaction == {0: pytest.approx(1.0), 1: pytest.approx(1.0)}


def test_a_list_without_tracks_explains_nothing(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(ANN), Member(BOB), excluded=frozenset(range(6)))

    assert (rows, explanation.opinions, explanation.satisfaction) == ([], [], {})


def test_tastes_match_themselves_and_not_their_opposites(genres: Recommender) -> None:
    same = explained(genres, Member(ANN), Member(EVE))[1]
    other = explained(genres, Member(ANN), Member(BOB))[1]

    assert same.taste_match == pytest.approx(1.0)
    # rock counts 1 + .9^3 + .8^3 = 2.241 to Ann, of which Bob's favourites (all but rock1 and rock3) hold .9^3 + .1^3
    assert other.taste_match == pytest.approx((0.9**3 + 0.1**3) / (1 + 0.9**3 + 0.8**3 + 0.1**3), abs=1e-4)


def test_the_track_that_nobody_minds_brings_together(genres: Recommender) -> None:
    rows, explanation = explained(genres, Member(ANN), Member(BOB), k=6)

    assert (
        explanation.brings_together == ROCK2
    )  # worth .9 to Ann and .1 to Bob, jazz2 the other way; the first of equals
    assert rows.index(ROCK2) < rows.index(JAZZ2)


def test_nothing_brings_together_whom_nothing_pleases_both(genres: Recommender) -> None:
    alone = explained(genres, Member(ANN))[1]
    apart = explained(genres, Member(ANN), Member(BOB), excluded=frozenset({ROCK2, JAZZ2}))[1]

    assert alone.brings_together is None
    assert apart.brings_together is None


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"shared_first"}))  # which draws from the top at random
@pytest.mark.parametrize("options", [{}, {"excluded": frozenset({ROCK1})}, {"already_played": (ROCK1, JAZZ1)}], ids=str)
def test_whoever_listens_alone_gets_all_they_could(
    genres: Recommender, strategy: str, options: Mapping[str, object]
) -> None:
    for member in (Member(ANN), Member(CAT, liked=(JAZZ2,)), Member(liked=(ROCK1, JAZZ2))):
        explanation = explained(genres, member, k=3, strategy=strategy, **options)[1]

        assert explanation.satisfaction == {0: pytest.approx(1.0, abs=1e-5)}


TRACKS, USERS, DIM = 40, 8, 5


@dataclass(frozen=True)
class World:
    """A random model, and what one track of a history adds to the score of another by the definition of its kind."""

    model: Recommender
    contribution: Callable[[NDArray[np.float64], list[int], int, int], float]
    """Of a member's vector and history, for track j of the history and track i."""


def random_plays(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Six listeners of some tracks, one who has only skipped and one of whom nothing is known."""
    plays = {
        f"u{user}": {f"t{track}": float(rng.integers(0, 4)) for track in rng.choice(TRACKS, 2 + user, replace=False)}
        for user in range(USERS - 2)
    }
    return plays | {"skipper": {"t3": 0.0}, "silent": {}}


PLAYS = random_plays(np.random.default_rng(7))
SONGS = [f"t{track}" for track in range(TRACKS)]


def counts_world(root: Path) -> World:
    worlds.publish_counts(root, PLAYS, SONGS, name="top_tracks")
    return World(worlds.load(root, "top_tracks"), lambda x, _, j, i: x[j] * (i == j))


def item_item_world(root: Path) -> World:
    rng = np.random.default_rng(8)
    table = rng.normal(0.1, 0.3, (TRACKS, TRACKS)).round(3) * (rng.random((TRACKS, TRACKS)) < 0.3)
    weights = {SONGS[j]: {SONGS[i]: float(table[j, i]) for i in np.flatnonzero(table[j])} for j in range(TRACKS)}
    worlds.publish_item_item(root, weights, PLAYS, name="item_item")
    return World(worlds.load(root, "item_item"), lambda x, _, j, i: x[j] * table[j, i])


def factors_world(root: Path) -> World:
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(USERS, DIM)), rng.normal(size=(TRACKS, DIM))
    users, items = dict(zip(PLAYS, x.tolist(), strict=True)), dict(zip(SONGS, y.tolist(), strict=True))
    worlds.publish_factors(root, users, items, PLAYS, name="factors")

    def contribution(_: NDArray[np.float64], history: list[int], j: int, i: int) -> float:
        """Hu et al. 2008, section 5: y_i' W c y_j; w0 = .1, c = 1, lambda = .01 as in `worlds.FOLD_IN`."""
        confidence = np.full(TRACKS, 0.1)
        confidence[history] = 1.0
        w = np.linalg.inv(y.T @ np.diag(confidence) @ y + 0.01 * np.eye(DIM))
        return float(y[i] @ w @ y[j])

    return World(worlds.load(root, "factors"), contribution)


def blend_world(root: Path) -> World:
    factors, item_item = factors_world(root), item_item_world(root)
    worlds.publish_blend(root, {"factors": 0.6, "item_item": 0.4}, name="blend")

    def contribution(x: NDArray[np.float64], history: list[int], j: int, i: int) -> float:
        """A vector holds the scaled vector of each part, then the two scales."""
        of_factors = x[-2] * factors.contribution(x[:DIM], history, j, i)
        return float(of_factors + item_item.contribution(x[DIM:-2], history, j, i))

    return World(worlds.load(root, "blend"), contribution)


WORLDS = {"blend": blend_world, "factors": factors_world, "item_item": item_item_world, "top_tracks": counts_world}


@pytest.fixture(scope="module", params=sorted(KINDS))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return WORLDS[request.param](tmp_path_factory.mktemp(request.param))


track_rows = st.integers(0, TRACKS - 1)
members = st.builds(
    Member,
    user_row=st.none() | st.integers(0, USERS - 1),
    liked=st.lists(track_rows, max_size=3, unique=True).map(tuple),
    weight=st.sampled_from([0.5, 1.0, 3.0]),
)
FEWER = settings(max_examples=20)
"""Every kind of model is asked each of them."""

queries = st.builds(
    GroupQuery,
    st.lists(members, min_size=1, max_size=4).map(tuple),
    k=st.sampled_from([1, 5, 20, 100]),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    excluded=st.frozensets(track_rows, max_size=15),
    only_new=st.booleans(),
    discovery=st.booleans(),
    already_played=st.lists(track_rows, max_size=3, unique=True).map(tuple),
)


def vector_of(model: Recommender, member: Member) -> torch.Tensor:
    if member.liked:
        return model.fold_in([torch.tensor(slow.history(model, member))])
    return model.user_vectors(torch.tensor([member.user_row]))


@dataclass(frozen=True)
class Case:
    """A query, its answer, and what the definitions are made of."""

    ranking: GroupRanking
    explanation: Explanation
    relevance: list[list[float]]
    """Of all tracks to each voter."""
    worth: list[list[float]]
    """The same, 0 for what `discovery` says is worth nothing to them."""
    allowed: list[int]


def case_of(model: Recommender, query: GroupQuery) -> Case:
    (ranking,) = rank_groups(model, [query])
    scores = [model.score(vector_of(model, query.members[voter]))[0].tolist() for voter in ranking.voters]
    out = {*query.excluded, *query.already_played}
    for member in query.members if query.only_new else ():
        out |= slow.known(model, member)
    relevance = [slow.relevance(each) for each in scores]
    stale = [slow.known(model, query.members[voter]) if query.discovery else set() for voter in ranking.voters]
    return Case(
        ranking,
        explain(model, query, ranking),
        relevance,
        [[0 if row in old else of for row, of in enumerate(each)] for each, old in zip(relevance, stale, strict=True)],
        [row for row in range(TRACKS) if row not in out],
    )


@FEWER
@given(query=queries)
def test_tracks_are_picked_for_whom_they_are_by_definition(world: World, query: GroupQuery) -> None:
    case = case_of(world.model, query)

    rows, filled = case.ranking.rows, case.ranking.filled
    assert case.explanation.picked_for[len(rows) - filled :] == [[]] * filled
    assert case.explanation.picked_for[: len(rows) - filled] == [
        slow.picked_for(case.worth, row, len(rows), case.allowed, case.ranking.voters)
        for row in rows[: len(rows) - filled]
    ]


@FEWER
@given(query=queries)
def test_satisfaction_is_what_it_is_by_definition(world: World, query: GroupQuery) -> None:
    case = case_of(world.model, query)

    parts = [slow.satisfaction(each, case.ranking.rows, case.allowed) for each in case.worth]
    known = {voter: part for voter, part in zip(case.ranking.voters, parts, strict=True) if part is not None}
    assert case.explanation.satisfaction == pytest.approx(known, abs=1e-4)
    total = sum(known.values())
    expected = {voter: part / total for voter, part in known.items()} if total else {}
    assert case.explanation.shares == pytest.approx(expected, abs=1e-3)


@FEWER
@given(query=queries)
def test_what_is_said_of_the_group_is_so_by_definition(world: World, query: GroupQuery) -> None:
    case = case_of(world.model, query)

    match = slow.taste_match(case.relevance)
    assert case.explanation.taste_match == (None if match is None else pytest.approx(match, abs=1e-4))
    assert case.explanation.brings_together == slow.brings_together(case.ranking)


@FEWER
@given(query=queries)
def test_every_reason_is_the_first_that_is_true(world: World, query: GroupQuery) -> None:
    model = world.model
    case = case_of(model, query)

    for line, voter in enumerate(case.ranking.voters):
        member = query.members[voter]
        vector = vector_of(model, member)[0].double().numpy()
        history = slow.history(model, member)
        parts = np.array([[world.contribution(vector, history, j, i) for i in range(TRACKS)] for j in history])
        for place, (row, said) in enumerate(zip(case.ranking.rows, case.explanation.opinions, strict=True)):
            (opinion,) = (each for each in said if each.member == voter)
            assert opinion.played == (row in slow.plays(model, member))
            assert opinion.score == case.ranking.member_scores[line][place]
            assert opinion.reason == slow.reason(model, member, case.ranking, line, place, parts)
            assert (opinion.because_of is not None) == (opinion.reason == "similar_to")
            if opinion.because_of is not None:
                assert parts[history.index(opinion.because_of), row] == pytest.approx(parts[:, row].max(), abs=1e-4)
