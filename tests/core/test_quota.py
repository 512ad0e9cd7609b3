"""At most so many tracks of one artist: by every strategy, with every kind of model."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.explanation import explain
from service.core.group import GroupQuery, Member, rank_groups
from service.core.quota import NOBODY, Admission, Quota, Quotas
from service.core.recommender import Recommender
from service.core.strategies import ONE_BY_ONE, STRATEGIES
from tests.core import slow, worlds

A, B = 0, 1
"""Two artists."""

PICKING = {
    "ep_fuzzda": slow.ep_fuzzda,
    "fair_share": slow.fair_share,
    "gfar": slow.gfar,
    "greedy_lm": slow.greedy_lm,
    "round_robin": slow.round_robin,
    "spgreedy": slow.spgreedy,
}
"""Whose next pick depends on the last: they look for the next best track of all that may still come."""

TRACKS = [f"t{number:02}" for number in range(60)]
USERS = ["ann", "bob", "cat"]
ARTISTS = np.array([number // 8 if number < 56 else NOBODY for number in range(60)], dtype=np.int32)
"""Seven artists of eight tracks, who have the best tracks of Ann's at the front, and four tracks of nobody's."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recommender]:
    root = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)
    plays = {user: {track: 1.0 for track in TRACKS if random.uniform() < 0.4} for user in USERS}
    likings = random.uniform(size=(60, 3)) + np.linspace(1, 0, 60)[:, None]
    worlds.publish_counts(root, plays, TRACKS)
    axes = dict(zip(USERS, np.eye(3).tolist(), strict=True))
    worlds.publish_factors(root, axes, dict(zip(TRACKS, likings.tolist(), strict=True)), plays)
    near = {track: {TRACKS[(place + 7) % 60]: 1.0} for place, track in enumerate(TRACKS)}
    worlds.publish_item_item(root, near, plays)
    worlds.publish_blend(root, {"wmf": 0.5, "ease": 0.5})
    return {name: worlds.load(root, name) for name in ("basic", "wmf", "ease", "blend")}


def query(*members: Member, most: int | None, k: int = 20, strategy: str = "fair_share") -> GroupQuery:
    return GroupQuery(members, k, strategy, quota=None if most is None else Quota(ARTISTS, most))


def highest(rows: list[int]) -> int:
    return max(Counter(ARTISTS[row] for row in rows if ARTISTS[row] != NOBODY).values(), default=0)


members = st.lists(
    st.one_of(
        st.builds(Member, st.integers(0, 2), st.just(()), st.sampled_from([0.5, 1.0, 2.0])),
        st.builds(Member, st.none(), st.lists(st.integers(0, 59), max_size=3, unique=True).map(tuple)),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


def test_who_is_full_makes_room_for_the_next_best() -> None:
    #        a1   a2   a3   b1   b2   nobody's
    votes = [[1.0, 0.9, 0.8, 0.7, 0.6, 0.5]]
    one_each = Quotas(np.array([A, A, A, B, B, NOBODY], dtype=np.int32), np.array([1]))

    for strategy in sorted(ONE_BY_ONE):
        assert STRATEGIES[strategy](worlds.ballots(votes, quotas=one_each), 3).tolist() == [[0, 3, 5]]


def test_a_turn_is_not_lost_on_an_artist_who_is_full() -> None:
    votes = [[1.0, 0.9, 0.8, 0.0], [0.9, 0.8, 0.7, 0.6]]  # a1, a2, b1, b2
    one_each = Quotas(np.array([A, A, B, B], dtype=np.int32), np.array([1]))

    lists = STRATEGIES["round_robin"](worlds.ballots(votes, quotas=one_each), 4)

    assert lists.tolist() == [[0, 2, -1, -1]]  # Ann a1, Bob b1, and both are full


def test_every_strategy_either_picks_or_orders() -> None:
    assert set(PICKING) == ONE_BY_ONE


@pytest.mark.parametrize("strategy", sorted(ONE_BY_ONE))
@given(
    seed=st.integers(0, 10**6),
    artists=st.sampled_from([3, 40, 300]),
    most=st.integers(1, 5),
    weights=st.permutations([4.0, 2.0, 1.0]),
    tracks=st.sampled_from([50, 900]),
)
@settings(max_examples=25, deadline=None)
def test_picking_is_the_slow_picking_that_skips_who_is_full(
    strategy: str, seed: int, artists: int, most: int, weights: list[float], tracks: int
) -> None:
    random = np.random.default_rng(seed)
    votes = (random.integers(0, 2**12, size=(3, tracks)) / 2**12).tolist()  # sums of these are exact
    if tracks > 400:  # the shortlist's worst: all that is best is by few
        by = (np.argsort(np.argsort(-np.mean(votes, axis=0))) // (tracks // artists)).clip(max=artists - 1)
    else:
        by = random.integers(NOBODY, artists, size=tracks)
    quotas = Quotas(by.astype(np.int32), np.array([most]))

    fast = STRATEGIES[strategy](worlds.ballots(votes, weights, quotas=quotas), 20)[0].tolist()

    expected = PICKING[strategy](votes, weights, 20, slow.at_most(most, by.tolist()))
    found = [row for row in fast if row >= 0]
    assert len(found) == len(expected)
    if strategy == "fair_share":  # a near-tie may swap
        assert slow.welfare(votes, weights, found) == pytest.approx(slow.welfare(votes, weights, expected), rel=1e-5)
    elif tracks <= 400 or strategy not in {"ep_fuzzda", "greedy_lm"}:  # which look at the best by mean alone
        assert found == expected


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - ONE_BY_ONE))
@pytest.mark.parametrize("model", ["basic", "wmf", "ease", "blend"])
@given(who=members, most=st.integers(1, 4), k=st.integers(1, 11))  # no more than any quota leaves
@settings(max_examples=10, deadline=None)
def test_an_order_is_walked_and_who_is_full_passed_over(
    strategy: str, model: str, who: tuple[Member, ...], most: int, k: int, models: dict[str, Recommender]
) -> None:
    order, ranking = (
        rank_groups(models[model], [each])[0]
        for each in (query(*who, most=None, k=60, strategy=strategy), query(*who, most=most, k=k, strategy=strategy))
    )

    liked = len(ranking.rows) - ranking.filled
    opinions = order.rows[: 60 - order.filled]
    assert ranking.rows[:liked] == slow.walked(opinions, k, slow.at_most(most, ARTISTS.tolist()))[:liked]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["basic", "wmf", "ease", "blend"])
@given(who=members, most=st.integers(1, 9), k=st.integers(1, 60))
@settings(max_examples=10, deadline=None)
def test_lists_are_as_long_as_asked_and_keep_to_the_quota_while_they_can(
    strategy: str, model: str, who: tuple[Member, ...], most: int, k: int, models: dict[str, Recommender]
) -> None:
    asked = query(*who, most=most, k=k, strategy=strategy)

    (ranking,) = rank_groups(models[model], [asked])

    can_be_kept = 4 + 7 * min(8, most)
    assert len(set(ranking.rows)) == len(ranking.rows) == k
    assert len(ranking.scores) == k
    if k <= can_be_kept:
        assert highest(ranking.rows) <= most
    else:
        lowest_that_will_do = next(each for each in range(most, 9) if 4 + 7 * each >= k)
        assert highest(ranking.rows) == lowest_that_will_do
    assert highest(ranking.rows[:can_be_kept]) <= most


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["basic", "wmf", "blend"])
@given(who=members, most=st.integers(1, 3), k=st.integers(1, 9))
@settings(max_examples=10, deadline=None)
def test_a_short_list_is_the_head_of_a_long_one(
    strategy: str, model: str, who: tuple[Member, ...], most: int, k: int, models: dict[str, Recommender]
) -> None:
    short, long = (query(*who, most=most, k=length, strategy=strategy) for length in (k, 10))

    head, whole = (rank_groups(models[model], [asked])[0] for asked in (short, long))

    liked = min(k, len(whole.rows) - whole.filled)
    assert head.rows[:liked] == whole.rows[:liked]


@given(
    asked=st.lists(
        st.builds(
            lambda who, most, k, strategy: query(*who, most=most, k=k, strategy=strategy),
            members,
            st.one_of(st.none(), st.integers(1, 5)),
            st.integers(1, 60),
            st.sampled_from(sorted(STRATEGIES)),
        ),
        min_size=1,
        max_size=8,
    ),
    model=st.sampled_from(["basic", "wmf", "ease"]),
)
@settings(deadline=None)
def test_a_batch_ranks_each_group_as_if_it_were_alone(
    asked: list[GroupQuery], model: str, models: dict[str, Recommender]
) -> None:
    together = rank_groups(models[model], asked)
    alone = [rank_groups(models[model], [one])[0] for one in asked]

    for batched, single in zip(together, alone, strict=True):
        assert (len(batched.rows), batched.filled) == (len(single.rows), single.filled)
        assert batched.scores == pytest.approx(single.scores, abs=2e-5)


def test_where_nobody_is_left_who_is_not_full_the_list_goes_on_with_one_more_of_each(
    models: dict[str, Recommender],
) -> None:
    whole, kept = (rank_groups(models["wmf"], [query(Member(0), most=1, k=k)])[0] for k in (14, 11))

    assert highest(kept.rows) == 1  # seven artists and four tracks of nobody's
    assert whole.rows[:11] == kept.rows
    assert highest(whole.rows) == 2
    assert whole.filled == 0


def test_strangers_get_what_is_popular_of_many_artists(models: dict[str, Recommender]) -> None:
    (ranking,) = rank_groups(models["wmf"], [query(Member(), most=2, k=18)])

    popular = models["wmf"].history.by_popularity.tolist()
    assert ranking.rows == slow.walked(popular, 18, slow.at_most(2, ARTISTS.tolist()))
    assert ranking.filled == 18


def test_what_was_played_does_not_count(models: dict[str, Recommender]) -> None:
    asked = query(Member(0), Member(1), most=1, k=5)
    (first,) = rank_groups(models["wmf"], [asked])

    (again,) = rank_groups(models["wmf"], [replace(asked, already_played=tuple(first.rows))])

    assert highest([*first.rows, *again.rows]) == 2


def test_satisfaction_is_measured_by_the_best_list_that_keeps_to_the_quota(models: dict[str, Recommender]) -> None:
    asked = query(Member(0), most=1, k=11, strategy="round_robin")
    (ranking,) = rank_groups(models["wmf"], [asked])

    assert explain(models["wmf"], asked, ranking).satisfaction == {0: pytest.approx(1)}
    assert explain(models["wmf"], replace(asked, quota=None), ranking).satisfaction[0] < 0.9


def test_a_track_is_admitted_until_its_artist_is_full() -> None:
    admission = Admission(Quota(np.array([A, A, A, B, NOBODY, A], dtype=np.int32), 2), chosen=[0], free={5})

    assert [admission.admits(row) for row in (1, 2, 3, 4, 4, 5)] == [True, False, True, True, True, True]
