"""From a query to a playlist, on two worlds: counts that can be added by eye, and factors with two genres."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.core.group import rank_groups, vectors_of
from service.core.query import GroupQuery, Member
from service.core.quota import Quota
from service.core.recommender import Recommender
from service.core.strategies import STRATEGIES
from tests.core import worlds

ANN, BOB, CAT = 0, 1, 2
SONGS = ["rock1", "rock2", "rock3", "jazz1", "jazz2", "jazz3"]
ROCK1, ROCK2, ROCK3, JAZZ1, JAZZ2, JAZZ3 = range(6)


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    root = tmp_path_factory.mktemp("counts")
    plays = {
        "ann": {"rock1": 5.0, "rock2": 3.0, "jazz1": 1.0},
        "bob": {"jazz1": 4.0, "jazz2": 2.0, "rock3": 0.0},  # rock3 was skipped
        "cat": {"jazz3": 1.0},
    }
    worlds.publish_counts(root, plays, SONGS)
    return worlds.load(root, "basic")


@pytest.fixture(scope="module")
def factors(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    root = tmp_path_factory.mktemp("factors")
    worlds.publish_factors(
        root,
        {"ann": [1.0, 0.0], "bob": [0.0, 1.0], "cat": [0.5, 0.5]},
        {
            "rock1": [1.0, 0.0],
            "rock2": [0.9, 0.1],
            "rock3": [0.8, 0.0],
            "jazz1": [0.0, 1.0],
            "jazz2": [0.1, 0.9],
            "jazz3": [0.0, 0.8],
        },
        {"ann": {"rock1": 2.0}, "bob": {"jazz1": 1.0, "jazz2": 0.0}, "cat": {"rock1": 1.0}},
    )
    return worlds.load(root, "wmf")


def query(*members: Member, k: int = 3, strategy: str = "average", **options: object) -> GroupQuery:
    return replace(GroupQuery(members, k, strategy), **options)  # type: ignore[arg-type]  # options are field names


def rank(model: Recommender, asked: GroupQuery) -> list[str]:
    return [SONGS[row] for row in rank_groups(model, [asked])[0].rows]


def test_what_both_play_comes_first_in_the_basic_model(counts: Recommender) -> None:
    playlist = rank(counts, query(Member(ANN), Member(BOB), strategy="shared_first", k=4))

    assert playlist[0] == "jazz1"
    assert set(playlist[1:]) == {"rock1", "rock2", "jazz2"}


def test_everyone_gets_their_genre_from_factors(factors: Recommender) -> None:
    assert rank(factors, query(Member(ANN), Member(BOB), strategy="fair_share", k=2)) in (
        ["rock1", "jazz1"],
        ["jazz1", "rock1"],
    )


def test_a_skipped_track_does_not_count_as_liked(counts: Recommender) -> None:
    ranking = rank_groups(counts, [query(Member(BOB), k=6)])[0]

    assert [SONGS[row] for row in ranking.rows[:2]] == ["jazz1", "jazz2"]
    assert ranking.filled == 4


def test_lists_are_filled_with_popular_tracks_where_nobody_has_an_opinion(counts: Recommender) -> None:
    ranking = rank_groups(counts, [query(Member(CAT), strategy="shared_first", k=3)])[0]

    assert [SONGS[row] for row in ranking.rows] == ["jazz3", "jazz1", "rock1"]  # jazz1 has two listeners
    assert ranking.filled == 2


def test_strangers_have_no_say(factors: Recommender) -> None:
    alone = rank_groups(factors, [query(Member(ANN))])[0]
    with_stranger = rank_groups(factors, [query(Member(), Member(ANN))])[0]

    assert with_stranger.rows == alone.rows
    assert with_stranger.voters == (1,)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_group_of_strangers_gets_what_is_popular(counts: Recommender, strategy: str) -> None:
    ranking = rank_groups(counts, [query(Member(), Member(), strategy=strategy, k=2)])[0]

    assert [SONGS[row] for row in ranking.rows] == ["jazz1", "rock1"]
    assert ranking.filled == 2
    assert ranking.voters == ()


def test_a_guest_who_likes_rock_gets_rock(factors: Recommender) -> None:
    guest = rank(factors, query(Member(liked=(ROCK1, ROCK3))))

    assert set(guest) == {"rock1", "rock2", "rock3"}


def test_a_guest_folds_in_as_if_trained(factors: Recommender) -> None:
    """Equation 4 of Hu et al. 2008, written out for one guest who likes rock1 and jazz3."""
    y = np.array([[1, 0], [0.9, 0.1], [0.8, 0], [0, 1], [0.1, 0.9], [0, 0.8]])
    confidence = np.diag([1.0, 0.1, 0.1, 0.1, 0.1, 1.0])
    preference = np.array([1.0, 0, 0, 0, 0, 1.0])
    x = np.linalg.inv(y.T @ confidence @ y + 0.01 * np.eye(2)) @ y.T @ confidence @ preference

    ranking = rank_groups(factors, [query(Member(liked=(ROCK1, JAZZ3)), k=6)])[0]

    assert ranking.rows == sorted(range(6), key=lambda row: -(y @ x)[row])


def test_a_known_user_who_brings_liked_tracks_keeps_their_history(factors: Recommender) -> None:
    both = rank_groups(factors, [query(Member(ANN, liked=(JAZZ1,)))])[0]
    guest = rank_groups(factors, [query(Member(liked=(JAZZ1, ROCK1)))])[0]  # rock1 is what Ann has played

    assert both.rows == guest.rows


def test_the_order_of_guests_and_known_users_is_kept(factors: Recommender) -> None:
    guest, known = Member(liked=(JAZZ1,)), Member(ANN)

    guest_first, known_first = rank_groups(factors, [query(guest, known), query(known, guest)])

    assert guest_first.member_scores == known_first.member_scores[::-1]
    assert known_first.member_scores[0][known_first.rows.index(ROCK1)] == 1.0


def test_guests_are_scored_a_few_at_a_time(factors: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [Member(liked=(ROCK1,)), Member(CAT), Member(liked=(JAZZ1,)), Member(liked=(ROCK2, JAZZ3))]
    vectors, calibration = vectors_of(factors, members)
    listeners: list[int] = []
    score = factors.score

    def counted(vectors: torch.Tensor) -> torch.Tensor:
        listeners.append(len(vectors))
        return score(vectors)

    monkeypatch.setattr(factors, "score", counted)
    monkeypatch.setattr("service.core.group._VOTES_AT_ONCE", 2 * len(SONGS))
    few, measured = vectors_of(factors, members)

    assert listeners == [2, 1]
    assert few.numpy() == pytest.approx(vectors.numpy())
    assert measured.scores == pytest.approx(calibration.scores)


def test_what_takes_longer_is_more_effort() -> None:
    known, guest = Member(ANN), Member(liked=tuple(range(100)))
    asked = query(*[known] * 8)

    for harder in (
        query(*[known] * 64),
        query(*[guest] * 8),
        replace(asked, k=200),
        replace(asked, strategy="copeland"),
        replace(asked, quota=Quota(np.zeros(6, dtype=np.int32), 1)),
    ):
        assert harder.effort > 2 * asked.effort


def test_excluded_tracks_are_vetoed_for_the_whole_group(factors: Recommender) -> None:
    ranking = rank_groups(factors, [query(Member(ANN), Member(BOB), k=6, excluded=frozenset({ROCK1, JAZZ1}))])[0]

    assert {ROCK1, JAZZ1}.isdisjoint(ranking.rows)
    assert ranking.candidates == 4
    assert len(ranking.rows) == 4


def test_only_new_leaves_out_what_any_member_heard_or_named(factors: Recommender) -> None:
    asked = query(Member(ANN), Member(BOB), Member(liked=(JAZZ3,)), k=6, only_new=True)

    # Ann played rock1; Bob played jazz1 and skipped jazz2; the guest named jazz3
    assert set(rank(factors, asked)) == {"rock2", "rock3"}


def test_discovery_gives_a_member_nothing_for_what_they_know(factors: Recommender) -> None:
    ann, bob, guest = Member(ANN), Member(BOB), Member(liked=(ROCK2,))

    for strategy in ("average", "fair_share"):
        asked = query(ann, bob, guest, k=6, strategy=strategy, discovery=True)
        ranking = rank_groups(factors, [asked, replace(asked, discovery=False)])[0]

        # Ann played rock1 and the guest named rock2: each is left to the other one
        of_ann, _, of_guest = (dict(zip(ranking.rows, scores, strict=True)) for scores in ranking.member_scores)
        assert of_ann[ROCK1] == 0 < of_guest[ROCK1]
        assert of_guest[ROCK2] == 0 < of_ann[ROCK2]
    assert rank(factors, query(ann, k=2, strategy="fair_share", discovery=True)) == ["rock2", "rock3"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_discovery_beside_a_group_that_repeats_changes_neither(factors: Recommender, strategy: str) -> None:
    fresh = query(Member(ANN), Member(BOB), strategy=strategy, discovery=True)
    usual = replace(fresh, discovery=False)

    together = rank_groups(factors, [fresh, usual])

    assert together == [*rank_groups(factors, [fresh]), *rank_groups(factors, [usual])]


def test_a_heavier_member_pulls_the_list(factors: Recommender) -> None:
    even = rank(factors, query(Member(ANN, weight=1.0), Member(BOB, weight=1.1), k=3))
    ann_leads = rank(factors, query(Member(ANN, weight=3.0), Member(BOB, weight=1.0), k=3))

    assert even != ann_leads
    assert set(ann_leads) == {"rock1", "rock2", "rock3"}


def test_scores_are_percentiles_in_the_members_own_ranking(factors: Recommender) -> None:
    ranking = rank_groups(factors, [query(Member(ANN), k=6)])[0]

    # Ann: rock1 1, rock2 .9, rock3 .8, jazz2 .1, jazz1 and jazz3 0
    assert [SONGS[row] for row in ranking.rows[:4]] == ["rock1", "rock2", "rock3", "jazz2"]
    assert ranking.member_scores[0] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.0, 0.0], abs=1e-6)
    assert ranking.scores == pytest.approx(ranking.member_scores[0])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_asking_for_more_than_there_is_returns_all_there_is(factors: Recommender, strategy: str) -> None:
    ranking = rank_groups(factors, [query(Member(ANN), Member(BOB), strategy=strategy, k=200)])[0]

    assert sorted(ranking.rows) == list(range(6))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@given(excluded=st.frozensets(st.integers(0, 5)), left_out=st.sets(st.integers(0, 5)), only_new=st.booleans())
def test_what_is_left_out_by_the_many_is_as_what_is_excluded_one_by_one(
    strategy: str, excluded: frozenset[int], left_out: set[int], only_new: bool, factors: Recommender
) -> None:
    asked = query(Member(ANN), Member(BOB), strategy=strategy, k=6, only_new=only_new)
    many = replace(asked, excluded=excluded, left_out=np.array(sorted(left_out), dtype=np.int64))
    single = replace(asked, excluded=excluded | left_out)

    assert rank_groups(factors, [many]) == rank_groups(factors, [single])


def test_excluding_everything_returns_an_empty_list(factors: Recommender) -> None:
    ranking = rank_groups(factors, [query(Member(ANN), excluded=frozenset(range(6)))])[0]

    assert ranking.rows == []


members = st.builds(
    Member,
    st.one_of(st.none(), st.integers(0, 2)),
    st.lists(st.integers(0, 5), max_size=3, unique=True).map(tuple),
    st.sampled_from([0.5, 1.0, 2.0]),
)
queries = st.builds(
    GroupQuery,
    st.lists(members, min_size=1, max_size=5).map(tuple),
    st.integers(1, 8),
    st.sampled_from(sorted(STRATEGIES)),
    st.integers(0, 3),
    st.frozensets(st.integers(0, 5), max_size=6),
    st.booleans(),
)


@given(asked=st.lists(queries, min_size=1, max_size=8), model=st.sampled_from(["counts", "factors"]))
def test_a_batch_ranks_each_group_as_if_it_were_alone(
    asked: list[GroupQuery], model: str, request: pytest.FixtureRequest
) -> None:
    recommender: Recommender = request.getfixturevalue(model)

    together = rank_groups(recommender, asked)
    alone = [rank_groups(recommender, [one])[0] for one in asked]

    for one, batched, single in zip(asked, together, alone, strict=True):
        assert batched.candidates == single.candidates
        assert batched.scores == pytest.approx(single.scores, abs=2e-5)
        assert len(batched.rows) == min(one.k, batched.candidates) == len(set(batched.rows))
        assert one.excluded.isdisjoint(batched.rows)


@given(
    picks=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
    weights=st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=3, max_size=3),
    excluded=st.frozensets(st.integers(0, 5), max_size=3),
)
@pytest.mark.parametrize("model", ["counts", "factors"])
def test_the_score_of_the_mean_vector_ranks_as_the_mean_of_the_scores(
    model: str, picks: list[int], weights: list[float], excluded: frozenset[int], request: pytest.FixtureRequest
) -> None:
    recommender: Recommender = request.getfixturevalue(model)
    listeners = tuple(Member(row, weight=weight) for row, weight in zip(picks, weights, strict=False))

    ranking = rank_groups(recommender, [query(*listeners, k=6, excluded=excluded)])[0]

    scores = recommender.score(recommender.user_vectors(torch.tensor(picks))).numpy()
    table = recommender.calibration.of(np.array(picks))
    relevance = (scores - table.low[:, None]) * table.scale[:, None]
    mean = np.average(relevance, axis=0, weights=[member.weight for member in listeners])
    vouched = ranking.rows[: len(ranking.rows) - ranking.filled]
    assert mean[vouched] == pytest.approx(
        sorted(mean[[row for row in range(6) if row not in excluded]])[::-1][: len(vouched)], abs=1e-5
    )
