"""What a list keeps to as a whole: by every strategy, with every kind of model."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.core.explanation import explain
from service.core.group import rank_groups
from service.core.query import GroupQuery, Member, known_to, rules_of
from service.core.quota import NOBODY, Quota
from service.core.recommender import Recommender
from service.core.rules import Admission, Diversity, Novelty, Rules, walk
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


def neighbours(of: int = 60) -> list[list[int]]:
    """On a ring of so many tracks each resembles the two before and the two after it."""
    return [[(track + step) % of for step in (1, -1, 2, -2)] for track in range(of)]


def ring(share: float, of: int = 60) -> Diversity:
    table = np.array(neighbours(of), dtype=np.int64)
    return Diversity(share, lambda row: table[row], most_near=4)


def query(
    *members: Member,
    most: int | None = None,
    novelty: float = 0.0,
    diversity: float = 0.0,
    k: int = 20,
    strategy: str = "fair_share",
) -> GroupQuery:
    quota = None if most is None else Quota(ARTISTS, most)
    unlike = ring(diversity) if diversity else None
    return GroupQuery(members, k, strategy, quota=quota, novelty=novelty, diversity=unlike)


def slow_rules(model: Recommender, asked: GroupQuery) -> slow.Admits:
    """The same rules, obviously."""
    rules = [slow.new_to_all(exact(asked.novelty), heard_by_all(model, asked.members).tolist())]
    if asked.quota is not None:
        rules.append(slow.at_most(asked.quota.most, ARTISTS.tolist()))
    if asked.diversity is not None:
        rules.append(slow.unlike(exact(asked.diversity.share), neighbours()))
    return slow.all_of(*rules)


def exact(share: float) -> Fraction:
    return Fraction(str(share))


def heard_by_all(model: Recommender, members: tuple[Member, ...]) -> NDArray[np.bool_]:
    heard = np.zeros(60, dtype=np.bool_)
    for member in members:
        heard[known_to(model, member)] = True
    return heard


def keeps_to(admits: slow.Admits, rows: list[int]) -> bool:
    return all(admits(rows[:place], row) for place, row in enumerate(rows))


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


class Wishes(NamedTuple):
    """What is asked of a list as a whole."""

    most: int | None
    novelty: float
    diversity: float


shares = st.sampled_from([0.0, 0.29, 0.5, 1.0])
wishes = st.builds(Wishes, st.sampled_from([None, 1, 2, 4]), shares, shares)


# Worlds to solve by eye: Ann likes every track less than the one before.


def test_who_is_full_makes_room_for_the_next_best() -> None:
    #        a1   a2   a3   b1   b2   nobody's
    votes = [[1.0, 0.9, 0.8, 0.7, 0.6, 0.5]]
    one_each = Rules(Quota(np.array([A, A, A, B, B, NOBODY], dtype=np.int32), 1))

    for strategy in sorted(ONE_BY_ONE):
        assert STRATEGIES[strategy](worlds.ballots(votes, rules=one_each), 3).tolist() == [[0, 3, 5]]


def test_of_every_head_a_share_is_new() -> None:
    #        old  old  old  old  new  new
    votes = [[1.0, 0.9, 0.8, 0.7, 0.6, 0.5]]
    half_new = Rules(novelty=Novelty(0.5, np.array([True, True, True, True, False, False])))

    for strategy in sorted(ONE_BY_ONE):
        lists = STRATEGIES[strategy](worlds.ballots(votes, rules=half_new), 5).tolist()
        assert lists == [[0, 4, 1, 5, 2]]


def test_of_every_head_a_share_resembles_nothing_before() -> None:
    votes = [[1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]]

    for strategy in sorted(ONE_BY_ONE):
        half, whole = (Rules(diversity=ring(share, of=10)) for share in (0.5, 1.0))
        assert STRATEGIES[strategy](worlds.ballots(votes, rules=half), 5).tolist() == [[0, 1, 2, 5, 3]]
        assert STRATEGIES[strategy](worlds.ballots(votes, rules=whole), 5).tolist() == [[0, 3, 6, -1, -1]]


def test_a_turn_is_not_lost_on_an_artist_who_is_full() -> None:
    votes = [[1.0, 0.9, 0.8, 0.0], [0.9, 0.8, 0.7, 0.6]]  # a1, a2, b1, b2
    one_each = Rules(Quota(np.array([A, A, B, B], dtype=np.int32), 1))

    lists = STRATEGIES["round_robin"](worlds.ballots(votes, rules=one_each), 4)

    assert lists.tolist() == [[0, 2, -1, -1]]  # Ann a1, Bob b1, and both are full


# Laws.


def test_every_strategy_either_picks_or_orders() -> None:
    assert set(PICKING) == ONE_BY_ONE


@pytest.mark.parametrize("strategy", sorted(ONE_BY_ONE))
@given(
    seed=st.integers(0, 10**6),
    artists=st.sampled_from([3, 40, 300]),
    wish=wishes,
    weights=st.permutations([4.0, 2.0, 1.0]),
    tracks=st.sampled_from([50, 900]),
)
@settings(max_examples=40, deadline=None)
def test_picking_is_the_slow_picking_of_what_may_come(
    strategy: str, seed: int, artists: int, wish: Wishes, weights: list[float], tracks: int
) -> None:
    random = np.random.default_rng(seed)
    votes = (random.integers(0, 2**12, size=(3, tracks)) / 2**12).tolist()  # sums of these are exact
    by_mean = np.argsort(np.argsort(-np.mean(votes, axis=0)))
    if tracks > 400:  # the shortlist's worst: all that is best is by few, and has been heard
        by, heard = (by_mean // (tracks // artists)).clip(max=artists - 1), by_mean < 450
    else:
        by, heard = random.integers(NOBODY, artists, size=tracks), random.uniform(size=tracks) < 0.6
    rules = Rules(
        None if wish.most is None else Quota(by.astype(np.int32), wish.most),
        Novelty(wish.novelty, heard) if wish.novelty else None,
        ring(wish.diversity, tracks) if wish.diversity else None,
    )
    admits = slow.all_of(
        slow.at_most(wish.most or tracks, by.tolist()),
        slow.new_to_all(exact(wish.novelty), heard.tolist()),
        slow.unlike(exact(wish.diversity), neighbours(tracks)),
    )

    fast = STRATEGIES[strategy](worlds.ballots(votes, weights, rules=rules), 20)[0].tolist()

    expected = PICKING[strategy](votes, weights, 20, admits)
    found = [row for row in fast if row >= 0]
    assert len(found) == len(expected)
    assert keeps_to(admits, found)
    if strategy == "fair_share":  # a near-tie may swap
        assert slow.welfare(votes, weights, found) == pytest.approx(slow.welfare(votes, weights, expected), rel=1e-5)
    elif tracks <= 400 or strategy not in {"ep_fuzzda", "greedy_lm"}:  # which look at the best by mean alone
        assert found == expected


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - ONE_BY_ONE))
@pytest.mark.parametrize("model", ["basic", "wmf", "ease", "blend"])
@given(who=members, wish=wishes, k=st.integers(1, 11))
@settings(max_examples=15, deadline=None)
def test_an_order_is_walked_and_what_may_not_come_passed_over(
    strategy: str, model: str, who: tuple[Member, ...], wish: Wishes, k: int, models: dict[str, Recommender]
) -> None:
    asked = query(*who, **wish._asdict(), k=k, strategy=strategy)
    order, ranking = (rank_groups(models[model], [each])[0] for each in (query(*who, k=60, strategy=strategy), asked))

    admits = slow_rules(models[model], asked)
    opinions = order.rows[: 60 - order.filled]
    by_eye = slow.walked(opinions, k, admits)
    liked = min(len(ranking.rows) - ranking.filled, len(by_eye))
    assert ranking.rows[:liked] == by_eye[:liked]
    assert ranking.filled or liked == k or len(by_eye) < k


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["basic", "wmf", "ease", "blend"])
@given(who=members, wish=wishes, k=st.integers(1, 60))
@settings(max_examples=15, deadline=None)
def test_lists_are_as_long_as_asked_whatever_they_keep_to(
    strategy: str, model: str, who: tuple[Member, ...], wish: Wishes, k: int, models: dict[str, Recommender]
) -> None:
    (ranking,) = rank_groups(models[model], [query(*who, **wish._asdict(), k=k, strategy=strategy)])

    assert len(set(ranking.rows)) == len(ranking.rows) == k
    assert len(ranking.scores) == k


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["basic", "wmf", "blend"])
@given(who=members, most=st.integers(1, 9), k=st.integers(1, 60))
@settings(max_examples=10, deadline=None)
def test_the_quota_is_kept_while_it_can_be_and_then_the_lowest_that_will_do(
    strategy: str, model: str, who: tuple[Member, ...], most: int, k: int, models: dict[str, Recommender]
) -> None:
    (ranking,) = rank_groups(models[model], [query(*who, most=most, k=k, strategy=strategy)])

    can_be_kept = 4 + 7 * min(8, most)
    if k <= can_be_kept:
        assert highest(ranking.rows) <= most
    else:
        lowest_that_will_do = next(each for each in range(most, 9) if 4 + 7 * each >= k)
        assert highest(ranking.rows) == lowest_that_will_do
    assert highest(ranking.rows[:can_be_kept]) <= most


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["basic", "wmf", "blend"])
@given(who=members, share=st.sampled_from([0.1, 0.29, 0.5, 0.9, 1.0]), k=st.integers(1, 60))
@settings(max_examples=10, deadline=None)
def test_novelty_is_kept_while_anything_is_new(
    strategy: str, model: str, who: tuple[Member, ...], share: float, k: int, models: dict[str, Recommender]
) -> None:
    (ranking,) = rank_groups(models[model], [query(*who, novelty=share, k=k, strategy=strategy)])

    heard = heard_by_all(models[model], who)
    new = sum(not heard[row] for row in ranking.rows)
    assert new >= min(int(share * k + 1e-9), (~heard).sum())
    if not ranking.filled:  # what is popular comes last
        admits = slow.new_to_all(exact(share), heard.tolist())
        can_be_kept = int((~heard).sum() / share)
        assert keeps_to(admits, ranking.rows[:can_be_kept])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["basic", "wmf", "blend"])
@given(who=members, share=st.sampled_from([0.1, 0.29, 0.5, 0.9, 1.0]), k=st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_lists_are_diverse_while_they_can_be(
    strategy: str, model: str, who: tuple[Member, ...], share: float, k: int, models: dict[str, Recommender]
) -> None:
    (ranking,) = rank_groups(models[model], [query(*who, diversity=share, k=k, strategy=strategy)])

    # each track has four others around it, so that twelve of sixty can be kept apart
    assert sum(ring(share).alike(ranking.rows)) <= k - int(share * k + 1e-9)
    assert ranking.filled or keeps_to(slow.unlike(exact(share), neighbours()), ranking.rows)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["basic", "wmf", "blend"])
@given(who=members, wish=wishes, k=st.integers(1, 9))
@settings(max_examples=10, deadline=None)
def test_a_short_list_is_the_head_of_a_long_one(
    strategy: str, model: str, who: tuple[Member, ...], wish: Wishes, k: int, models: dict[str, Recommender]
) -> None:
    short, long = (query(*who, **wish._asdict(), k=length, strategy=strategy) for length in (k, 10))

    head, whole = (rank_groups(models[model], [asked])[0] for asked in (short, long))

    liked = min(len(each.rows) - each.filled for each in (head, whole))
    assert head.rows[:liked] == whole.rows[:liked]


@given(
    asked=st.lists(
        st.builds(
            lambda who, wish, k, strategy: query(*who, **wish._asdict(), k=k, strategy=strategy),
            members,
            wishes,
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


# What gives way.


def test_where_nobody_is_left_who_is_not_full_the_list_goes_on_with_one_more_of_each(
    models: dict[str, Recommender],
) -> None:
    whole, kept = (rank_groups(models["wmf"], [query(Member(0), most=1, k=k)])[0] for k in (14, 11))

    assert highest(kept.rows) == 1  # seven artists and four tracks of nobody's
    assert whole.rows[:11] == kept.rows
    assert highest(whole.rows) == 2
    assert whole.filled == 0


def test_diversity_gives_way_first_then_novelty_and_last_the_quota(models: dict[str, Recommender]) -> None:
    heard = heard_by_all(models["wmf"], (Member(0),))
    new = int((~heard).sum())
    asked = query(Member(0), most=8, novelty=1.0, diversity=1.0, k=60)

    (whole,) = rank_groups(models["wmf"], [asked])

    assert sum(ring(1.0).alike(whole.rows[:6])) == 0
    assert sum(ring(1.0).alike(whole.rows[:new])) > 0
    assert not heard[whole.rows[:new]].any()
    assert heard[whole.rows[new:]].all()


def test_strangers_get_what_is_popular_of_many_artists(models: dict[str, Recommender]) -> None:
    (ranking,) = rank_groups(models["wmf"], [query(Member(), most=2, diversity=1.0, novelty=1.0, k=10)])

    popular = models["wmf"].history.by_popularity.tolist()
    admits = slow.all_of(slow.at_most(2, ARTISTS.tolist()), slow.unlike(exact(1.0), neighbours()))
    assert ranking.rows == slow.walked(popular, 10, admits)
    assert ranking.filled == 10


def test_what_the_members_do_not_know_is_popular_where_play_counts_have_no_opinion(
    models: dict[str, Recommender],
) -> None:
    (ranking,) = rank_groups(models["basic"], [query(Member(0), novelty=0.3, k=20, strategy="shared_first")])

    heard = heard_by_all(models["basic"], (Member(0),))
    assert heard[ranking.rows].tolist() == [True] * 14 + [False] * 6
    assert ranking.filled == 6


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


def test_what_novelty_and_diversity_cost_is_told_by_satisfaction(models: dict[str, Recommender]) -> None:
    for asked in (query(Member(0), novelty=1.0, k=5), query(Member(0), diversity=1.0, k=5)):
        (ranking,) = rank_groups(models["wmf"], [asked])

        assert explain(models["wmf"], asked, ranking).satisfaction[0] < 0.99


def test_turns_are_told_right_where_what_is_heard_has_to_wait(models: dict[str, Recommender]) -> None:
    asked = query(Member(0), Member(1), novelty=0.5, k=8, strategy="round_robin")
    (ranking,) = rank_groups(models["wmf"], [asked])

    said = explain(models["wmf"], asked, ranking).sentences

    assert said == ["{0}'s turn", "{1}'s turn"] * 4


def test_turns_are_told_right_where_rules_had_to_give_way(models: dict[str, Recommender]) -> None:
    asked = query(Member(0), Member(1), most=1, k=16, strategy="round_robin")
    (kept,) = rank_groups(models["wmf"], [replace(asked, k=11)])

    (ranking,) = rank_groups(models["wmf"], [asked])

    assert ranking.runs == (11, 5)  # there are seven artists and four tracks of nobody's
    session = replace(asked, k=5, quota=Quota(ARTISTS, 2), begun=tuple(kept.rows), already_played=tuple(kept.rows))
    (rest,) = rank_groups(models["wmf"], [session])
    parts = explain(models["wmf"], asked, kept).sentences + explain(models["wmf"], session, rest).sentences
    assert ranking.rows == kept.rows + rest.rows
    assert explain(models["wmf"], asked, ranking).sentences == parts


def test_nothing_is_looked_up_that_is_not_picked(models: dict[str, Recommender]) -> None:
    looked_up: set[int] = set()

    def near(row: int) -> NDArray[np.int64]:
        looked_up.add(row)
        return np.array(neighbours()[row])

    for strategy in sorted(STRATEGIES):
        looked_up.clear()
        asked = replace(query(Member(0), Member(1), k=5, strategy=strategy), diversity=Diversity(0.5, near, 4))
        (ranking,) = rank_groups(models["wmf"], [asked])
        assert looked_up == {*ranking.rows}


# Admission.


def test_a_track_is_admitted_until_its_artist_is_full() -> None:
    admission = Admission(Rules(Quota(np.array([A, A, A, B, NOBODY, A], dtype=np.int32), 2)), chosen=[0], free={5})

    for row, may_come in [(1, True), (2, False), (3, True), (4, True), (4, True), (5, True)]:
        assert admission.admits(row) == admission.ever_admits(row) == may_come
        if may_come:
            admission.take(row)


def test_what_has_to_wait_comes_as_soon_as_it_may() -> None:
    heard = np.array([True, True, True, True, False, False])

    rows = walk([0, 1, 2, 3, 4, 5], Admission(Rules(novelty=Novelty(0.5, heard))))

    assert list(rows) == [0, 4, 1, 5, 2]  # and 3 would be one too many


def test_rules_begin_with_what_the_list_begins_with(models: dict[str, Recommender]) -> None:
    asked = replace(query(Member(0), most=1, diversity=1.0), begun=(0, 20))

    admission = Admission(rules_of(models["wmf"], asked))

    assert not admission.ever_admits(7)  # by the artist of the first
    assert not admission.admits(58)  # which is like the first, on the ring
    assert admission.ever_admits(58)
