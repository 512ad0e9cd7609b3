"""Each strategy's promise on a world that can be solved by eye, and the laws that all of them keep."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.core.ballots import NONE
from service.core.calibration import Calibration
from service.core.race import highest_gain
from service.core.ranking import Contenders, highest
from service.core.strategies import ON_SCORES, STRATEGIES
from tests.core import slow
from tests.core.worlds import Table, ballots, falling

fair_share_module = sys.modules["service.core.strategies.fair_share"]  # the package exports the function by this name

WORKED_EXAMPLES = {
    # Ann and Bob, a column a track; d is for nobody unless said.
    "average": ([[1.0, 0.8, 0.1, 0.0], [0.2, 0.7, 1.0, 0.0]], "bac"),  # .6, .75, .55
    "least_misery": ([[1.0, 0.8, 0.1, 0.0], [0.2, 0.7, 1.0, 0.0]], "bac"),  # .2, .7, .1
    "most_pleasure": ([[1.0, 0.8, 0.1, 0.0], [0.2, 0.7, 0.9, 0.0]], "acb"),  # 1, .8, .9
    "borda_count": ([[1.0, 0.8, 0.1, 0.0], [0.2, 0.9, 0.7, 0.0]], "bac"),  # 3 + 1, 2 + 3, 1 + 2 points
    "approval_voting": ([[1.0, 0.8, 0.1, 0.0], [0.0, 0.7, 1.0, 0.0]], "bca"),  # two votes for b and c, one for a
    "round_robin": ([[1.0, 0.8, 0.1, 0.0], [0.9, 0.7, 0.8, 0.0]], "acb"),  # Ann a; Bob's a is gone, so c; Ann b
    # The average is abc. Bob has one favourite, d, that is all of his ideal list; then Ann's from the top.
    "fair_share": ([[1.0, 0.9, 0.8, 0.0], [0.0, 0.0, 0.0, 0.6]], "dab"),
    # On average a is second; here Bob's 0 puts it last.
    "multiplicative": ([[1.0, 0.8, 0.3, 0.0], [0.0, 0.7, 1.0, 0.0]], "bca"),  # 0, .56, .3
    # Means .6, .65, .55: a gives Bob .2 and c gives Ann .1, both misery, so b and then by the mean.
    "average_without_misery": ([[1.0, 0.5, 0.1, 0.0], [0.2, 0.4, 1.0, 0.0]], "bac"),
    # Three members: b beats a and c two to one, a beats c two to one, d loses to all.
    "copeland": ([[1.0, 0.8, 0.1, 0.0], [0.2, 0.9, 0.7, 0.0], [0.6, 0.7, 0.5, 0.0]], "bac"),
    # b satisfies both and leads; in the next round a satisfies Ann, then c, Bob's, who had nothing in it.
    "spgreedy": ([[1.0, 0.8, 0.0, 0.0], [0.0, 0.7, 0.9, 0.0]], "bac"),
    # b is best by mean and minimum; then both a and c leave the least served at .4, and a has the higher mean.
    "greedy_lm": ([[1.0, 0.8, 0.0, 0.0], [0.1, 0.7, 0.9, 0.0]], "bac"),
    # Ann's three favourites have 20, 19 and 18 of her 57 points; Bob's d has all of his, so it is a sure hit.
    "gfar": ([[1.0, 0.9, 0.8, 0.0], [0.0, 0.0, 0.0, 0.6]], "dab"),
    # a pays Ann .5 (b .45, d .3 to Bob); then Ann has had more than her half and only d pays; then b pays more than c.
    "ep_fuzzda": ([[1.0, 0.9, 0.8, 0.0], [0.0, 0.0, 0.0, 0.6]], "adb"),
    # Only b is in both tops; of a (Ann's) and c (Bob's) seed 0 draws a first.
    "shared_first": ([[9, 3, 0, 0], [0, 2, 5, 0]], "bac"),
}

ORDER_OF_MEMBERS_MATTERS = {"round_robin"}
"""Who comes first picks first."""

MEMBERS_ARE_INTERCHANGEABLE_WITH_WEIGHT = {"average", "approval_voting", "borda_count", "fair_share"}
"""Two members of one mind count as one of weight 2."""

NOBODY_IS_LEFT_OUT = {"spgreedy"}
"""However light, who has nothing yet comes first."""

TO_LIKE_IS_TO_LIFT = set(STRATEGIES) - {"fair_share", "gfar", "spgreedy", "shared_first"}
"""A track that a member likes more never moves down: not where that makes their other favourites worth less to them,
which changes what comes first, or where a draw matters."""

EXHAUSTIVE = {
    "ep_fuzzda": slow.ep_fuzzda,
    "gfar": slow.gfar,
    "greedy_lm": slow.greedy_lm,
    "spgreedy": slow.spgreedy,
}
"""What trying every track in every step gives."""

A_SESSION_GOES_ON = set(STRATEGIES) - {"copeland", "shared_first"}
"""Ten tracks and then ten more are the list of twenty: not where the others in the race or a draw matter."""

TRACKS = 40


def letters(rows: torch.Tensor) -> str:
    return "".join("-" if row == NONE else "abcdefgh"[row] for row in rows[0].tolist())


def random_votes(seed: int, members: int, tracks: int = TRACKS) -> list[list[float]]:
    """Relevance without ties, so that no law is at the mercy of rounding."""
    random = np.random.default_rng(seed)
    return random.uniform(size=(members, tracks)).tolist()


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_worked_example(name: str) -> None:
    votes, expected = WORKED_EXAMPLES[name]

    assert letters(STRATEGIES[name](ballots(votes), 3)) == expected


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), members=st.integers(1, 6), k=st.integers(1, TRACKS))
def test_a_short_list_is_the_head_of_a_long_one(name: str, seed: int, members: int, k: int) -> None:
    votes = random_votes(seed, members)

    whole = STRATEGIES[name](ballots(votes, seed=seed), TRACKS)[0].tolist()
    head = STRATEGIES[name](ballots(votes, seed=seed), k)[0].tolist()

    assert head == whole[:k]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), excluded=st.sets(st.integers(0, TRACKS - 1), max_size=TRACKS))
def test_excluded_tracks_never_appear_and_no_track_appears_twice(name: str, seed: int, excluded: set[int]) -> None:
    named = STRATEGIES[name](ballots(random_votes(seed, 3), excluded=sorted(excluded)), TRACKS)[0]

    rows = [row for row in named.tolist() if row != NONE]
    assert not excluded & set(rows)
    assert len(rows) == len(set(rows)) <= TRACKS - len(excluded)
    if name not in {"shared_first", "round_robin"}:  # these name only what somebody likes
        assert len(rows) == TRACKS - len(excluded)


def test_a_member_whose_favourites_are_all_excluded_spoils_nothing() -> None:
    votes = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0]]

    assert letters(STRATEGIES["fair_share"](ballots(votes, excluded=[0, 1]), 2)) == "dc"


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - ORDER_OF_MEMBERS_MATTERS))
@given(seed=st.integers(0, 10**6), members=st.integers(2, 6), data=st.data())
def test_the_order_of_the_members_is_of_no_account(name: str, seed: int, members: int, data: st.DataObject) -> None:
    votes = np.round(np.multiply(random_votes(seed, members), 2**16)).tolist()  # and so are sums of these
    votes = votes if name in ON_SCORES else np.divide(votes, 2**16).tolist()
    order = data.draw(st.permutations(range(members)))
    weights = [1.0, 2.0, 0.5, 1.5, 3.0, 0.75][:members]  # sums of these are exact in any order

    straight = STRATEGIES[name](ballots(votes, weights), 10)
    shuffled = STRATEGIES[name](ballots([votes[m] for m in order], [weights[m] for m in order]), 10)

    assert straight.tolist() == shuffled.tolist()


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([0.25, 2.0, 8.0]))
def test_only_the_proportions_of_weights_matter(name: str, seed: int, factor: float) -> None:
    votes, weights = random_votes(seed, 3), [1.0, 2.0, 0.5]

    once = STRATEGIES[name](ballots(votes, weights), 10)
    scaled = STRATEGIES[name](ballots(votes, [weight * factor for weight in weights]), 10)

    assert once.tolist() == scaled.tolist()


@pytest.mark.parametrize("name", sorted(MEMBERS_ARE_INTERCHANGEABLE_WITH_WEIGHT))
@given(seed=st.integers(0, 10**6))
def test_two_members_of_one_mind_count_as_one_of_weight_two(name: str, seed: int) -> None:
    ann, bob = random_votes(seed, 2)

    twins = STRATEGIES[name](ballots([ann, ann, bob]), 10)
    heavy = STRATEGIES[name](ballots([ann, bob], [2.0, 1.0]), 10)

    assert twins.tolist() == heavy.tolist()


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"shared_first"}))
@given(seed=st.integers(0, 10**6))
def test_a_group_of_one_gets_their_own_ranking(name: str, seed: int) -> None:
    votes = random_votes(seed, 1)

    assert STRATEGIES[name](ballots(votes), 5)[0].tolist() == slow.best_first(votes[0], 5)


@pytest.mark.parametrize("name", sorted(A_SESSION_GOES_ON))
@given(seed=st.integers(0, 10**6), members=st.integers(1, 5), heard=st.integers(1, 20))
def test_a_session_goes_on_where_it_stopped(name: str, seed: int, members: int, heard: int) -> None:
    votes = random_votes(seed, members)

    whole = STRATEGIES[name](ballots(votes), 30)[0].tolist()
    rest = STRATEGIES[name](ballots(votes, played=whole[:heard]), 30 - heard)[0].tolist()

    assert rest == whole[heard:]


def test_a_turn_that_was_spent_on_what_was_played_is_over() -> None:
    votes = [[1.0, 0.9, 0.8, 0.0], [0.0, 0.0, 0.7, 0.6]]

    assert letters(STRATEGIES["round_robin"](ballots(votes), 4)) == "acbd"
    assert letters(STRATEGIES["round_robin"](ballots(votes, played=[0]), 3)) == "cbd"
    assert letters(STRATEGIES["round_robin"](ballots(votes, played=[3]), 3)) == "acb"  # Bob would not pick d yet
    assert letters(STRATEGIES["round_robin"](ballots(votes, played=[0], excluded=[0, 3]), 3)) == "cb-"


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), played=st.sets(st.integers(0, TRACKS - 1), max_size=8))
def test_what_was_played_is_not_played_again(name: str, seed: int, played: set[int]) -> None:
    rows = STRATEGIES[name](ballots(random_votes(seed, 3), played=sorted(played)), TRACKS)[0].tolist()

    assert played.isdisjoint(rows)


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - NOBODY_IS_LEFT_OUT))
def test_a_very_light_member_has_next_to_no_say(name: str) -> None:
    #        a    b    c    d
    ann = [0.9, 0.6, 0.0, 0.0]
    bob = [0.0, 0.0, 0.8, 0.9]

    assert letters(STRATEGIES[name](ballots([ann, bob], [1.0, 1e-3]), 2)) == "ab"


@pytest.mark.parametrize("weights", [(1, 1), (100, 0.01)], ids=str)
def test_who_has_nothing_yet_comes_before_any_mean(weights: tuple[float, float]) -> None:
    #       a    b     c    d    e    f
    ann = [0.9, 0.85, 0.8, 0.7, 0.0, 0.0]
    bob = [0.0, 0.0, 0.0, 0.0, 0.9, 0.8]

    assert letters(STRATEGIES["spgreedy"](ballots([ann, bob], weights), 4)) == "aebf"


def test_one_approval_more_outweighs_any_mean_however_light_it_is() -> None:
    #       a    b    c
    ann = [1.0, 0.1, 0.0]
    bob = [0.0, 0.1, 0.9]

    assert letters(STRATEGIES["approval_voting"](ballots([ann, bob], [100.0, 0.01]), 3)) == "bac"


def test_hopes_outweigh_any_mean_however_light_who_has_them() -> None:
    ann = np.concatenate([np.linspace(1, 0.5, 30), np.zeros(20)])  # the first 20 are favourites
    bob = np.concatenate([np.zeros(30), np.linspace(0.6, 0.1, 20)])

    rows = STRATEGIES["gfar"](ballots([ann.tolist(), bob.tolist()], [100.0, 0.01]), 50)[0].tolist()

    assert {*rows[:40]} == {*range(20), *range(30, 50)}
    assert rows[40:] == [*range(20, 30)]  # which nobody ever hoped for


@pytest.mark.parametrize("name", sorted(EXHAUSTIVE))
@given(
    seed=st.integers(0, 10**6), levels=st.sampled_from([8, 2**12]), weights=st.permutations([8.0, 4.0, 2.0, 1.0, 1.0])
)
@settings(max_examples=15, deadline=None)
def test_however_light_a_member_no_favourite_of_theirs_is_overlooked(
    name: str, seed: int, levels: int, weights: list[float]
) -> None:
    whole = np.random.default_rng(seed).integers(0, levels, size=(5, 900))  # sums of these are exact
    votes = (whole / levels).tolist()

    fast = STRATEGIES[name](ballots(votes, weights), 30)[0].tolist()

    assert fast == EXHAUSTIVE[name](votes, weights, 30)


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"shared_first"}))  # which names no more than it pools
def test_a_list_is_as_long_as_it_should_be(name: str) -> None:
    votes = random_votes(0, 3, tracks=900)

    rows = STRATEGIES[name](ballots(votes), 600)[0].tolist()

    assert len({*rows} - {NONE}) == 600
    if name not in {"ep_fuzzda", "greedy_lm"}:  # of which the shortlist of a longer list may know better
        assert rows[:30] == STRATEGIES[name](ballots(votes), 30)[0].tolist()


@pytest.mark.parametrize("name", sorted(TO_LIKE_IS_TO_LIFT))
@given(seed=st.integers(0, 10**6), weights=st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=1, max_size=5))
def test_a_track_that_a_member_likes_more_never_moves_down(name: str, seed: int, weights: list[float]) -> None:
    random = np.random.default_rng(seed)
    votes = random.uniform(size=(len(weights), TRACKS))
    member, track = random.integers(len(weights)), int(random.integers(TRACKS))

    before = STRATEGIES[name](ballots(votes.tolist(), weights), TRACKS)[0].tolist().index(track)
    votes[member, track] += random.uniform() * (1 - votes[member, track])
    after = STRATEGIES[name](ballots(votes.tolist(), weights), TRACKS)[0].tolist().index(track)

    assert after <= before


@given(seed=st.integers(0, 10**6), weights=st.lists(st.floats(0.1, 10), min_size=2, max_size=6))
def test_nobody_is_more_than_a_track_ahead_of_what_ep_fuzzda_owes_them(seed: int, weights: list[float]) -> None:
    """Each track is for one member alone, who has enough of them.

    Of what all have, u's part w_u can not be paid exactly, as tracks come whole. Somebody is owed something at any
    time, so a track never goes to one who is owed nothing: they are ahead by less than it is worth.
    """
    k, members = 12, len(weights)
    votes = np.kron(np.eye(members), np.random.default_rng(seed).uniform(0.1, 1, size=(1, k)))
    parts = np.array(weights) / sum(weights)

    rows = STRATEGIES["ep_fuzzda"](ballots(votes.tolist(), weights), k)[0].tolist()

    received = votes[:, rows].cumsum(axis=1)
    ahead = received - parts[:, None] * received.sum(axis=0)
    assert (ahead < np.maximum.accumulate(votes[:, rows].max(axis=0)) + 1e-6).all()


@given(
    seed=st.integers(0, 10**6),
    members=st.integers(1, 6),
    tracks=st.sampled_from([5, 300, 900]),
    shape=st.sampled_from([0.3, 1.0, 4.0]),
    weighted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_fair_share_is_the_exhaustive_greedy_list(
    seed: int, members: int, tracks: int, shape: float, weighted: bool
) -> None:
    random = np.random.default_rng(seed)
    votes = (random.uniform(size=(members, tracks)).astype(np.float32) ** np.float32(shape)).tolist()
    weights = random.uniform(0.2, 3, size=members).astype(np.float32).tolist() if weighted else [1.0] * members

    fast = STRATEGIES["fair_share"](ballots(votes, weights), 30)[0].tolist()

    exhaustive = slow.fair_share(votes, weights, 30)
    assert slow.welfare(votes, weights, fast) == pytest.approx(slow.welfare(votes, weights, exhaustive), rel=1e-5)
    assert sum(a == b for a, b in zip(fast, exhaustive, strict=True)) >= min(30, tracks) - 2  # a near-tie may swap


def test_groups_with_long_lists_race_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    random, race = np.random.default_rng(0), fair_share_module.race
    alone = [ballots((random.uniform(size=(24, 900)) ** 4).tolist()) for _ in range(3)]
    together = replace(
        alone[0],
        vectors=torch.cat([one.vectors for one in alone]),
        scores=Calibration(alone[0].scores.ranks, np.concatenate([one.scores.scores for one in alone])),
        weights=torch.ones(3, 24),
    )
    shapes = []

    def watched(contenders: Contenders, *others: object) -> object:
        shapes.append(contenders.votes.shape)
        return race(contenders, *others)

    monkeypatch.setattr(fair_share_module, "race", watched)
    monkeypatch.setattr(fair_share_module, "_VALUES_AT_ONCE", 2 * 24 * 576)
    lists = STRATEGIES["fair_share"](together, 30)

    assert sorted(shapes) == [(1, 24, 576), (2, 24, 576), (3, 24, 96)]
    assert lists.tolist() == [STRATEGIES["fair_share"](one, 30)[0].tolist() for one in alone]


class Sparing(Table):
    """Adds up what members think without showing it."""

    def contenders(
        self,
        vectors: torch.Tensor,
        of: Calibration,
        factors: NDArray[np.float64],
        power: int,
        allowed: torch.Tensor | None,
        count: int,
    ) -> Contenders:
        votes = of.relevance(vectors.flatten(0, 1)).view_as(vectors).numpy()
        sums = torch.from_numpy((votes**power * factors[:, :, None]).sum(axis=1, dtype=np.float32))
        rows, tau = highest(sums if allowed is None else sums.masked_fill(~allowed, -torch.inf), count)
        return Contenders(rows, self.votes_of(vectors, of, rows), tau)

    def votes_of(self, vectors: torch.Tensor, of: Calibration, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        votes = of.relevance(vectors.flatten(0, 1)).view_as(vectors).numpy()
        return np.take_along_axis(votes, rows[:, None, :].clip(min=0), axis=2)


@given(
    seed=st.integers(0, 10**6),
    members=st.integers(1, 6),
    shape=st.sampled_from([0.3, 1.0, 4.0]),
    weighted=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_sums_alone_lead_to_the_exhaustive_greedy_list(seed: int, members: int, shape: float, weighted: bool) -> None:
    random = np.random.default_rng(seed)
    scores = random.uniform(size=(members, 4000)).astype(np.float32) ** np.float32(shape)
    weights = random.uniform(0.2, 3, size=members).astype(np.float32).tolist() if weighted else [1.0] * members
    group = replace(ballots(scores.tolist(), weights, model=Sparing), by_relevance=True)

    fast = STRATEGIES["fair_share"](group, 30)[0].tolist()

    assert "votes" not in vars(group)  # nobody asked for what every member thinks of every track
    votes = group.votes[0].tolist()
    exhaustive = slow.fair_share(votes, weights, 30)
    assert slow.welfare(votes, weights, fast) == pytest.approx(slow.welfare(votes, weights, exhaustive), rel=1e-5)
    assert sum(a == b for a, b in zip(fast, exhaustive, strict=True)) >= 28  # a near-tie may swap


@given(seed=st.integers(0, 10**6), members=st.integers(2, 6), model=st.sampled_from([Table, Sparing]))
@settings(max_examples=30, deadline=None)
def test_shares_of_a_model_with_flat_scores_are_of_a_higher_power(seed: int, members: int, model: type[Table]) -> None:
    scores = np.random.default_rng(seed).uniform(0.5, 1, size=(members, 4000)).astype(np.float32)
    group = replace(ballots(scores.tolist(), model=model), by_relevance=True)
    group.model.calibration = falling(0.48)

    fast = STRATEGIES["fair_share"](group, 30)[0].tolist()

    exhaustive = slow.fair_share(group.votes[0].tolist(), [1.0] * members, 30, power=5)
    assert sum(a == b for a, b in zip(fast, exhaustive, strict=True)) >= 28  # a near-tie may swap


@given(seed=st.integers(0, 10**6), heavier=st.floats(1.1, 5), heard=st.integers(0, 20))
@settings(max_examples=200)
def test_whatever_came_before_the_next_track_is_worth_no_less_to_a_heavier_member(
    seed: int, heavier: float, heard: int
) -> None:
    votes, played = random_votes(seed, 3), range(heard)

    (before,) = STRATEGIES["fair_share"](ballots(votes, played=played), 1)[0].tolist()
    (after,) = STRATEGIES["fair_share"](ballots(votes, [heavier, 1.0, 1.0], played=played), 1)[0].tolist()

    assert votes[0][after] >= votes[0][before]


def test_weight_gives_members_more_of_the_whole_list_on_average_if_not_always() -> None:
    """Greedy picks that go well for the heavier member can leave worse ones for later: see weights-of-members.md."""
    gained = []
    for seed in range(200):
        votes = random_votes(seed, 3)
        shares = [
            slow.shares(votes, STRATEGIES["fair_share"](ballots(votes, [weight, 1.0, 1.0]), 10)[0].tolist())[0]
            for weight in (1.0, 1.5, 3.0)
        ]
        gained.append(np.diff(shares))

    assert (np.mean(gained, axis=0) > 0.02).all()
    assert np.mean(np.array(gained) < -1e-6) < 0.02


@given(seed=st.integers(0, 10**6))
def test_no_track_off_the_shortlist_gains_more_than_the_bound(seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = random.uniform(0.1, 3, size=(1, 4))
    values = random.uniform(0, 0.2, size=(4, 200)) ** 2
    shares = random.uniform(0, 1, size=(1, 3, 4)) ** 4

    tau = (weights @ values).max(axis=1)
    bound = highest_gain(tau, values.max(axis=1)[None], weights, shares, fair_share_module.OFFSET)

    base = shares[0][:, :, None] + fair_share_module.OFFSET
    gains = (weights[0][None, :, None] * np.log1p(values[None] / base)).sum(axis=1)
    assert (gains.max(axis=1) <= bound[0] + 1e-5).all()


def test_turns_follow_the_weights() -> None:
    #          a    b    c    d    e    f
    ann = [1.0, 0.9, 0.8, 0.7, 0.0, 0.0]
    bob = [0.0, 0.0, 0.0, 0.0, 1.0, 0.9]

    assert letters(STRATEGIES["round_robin"](ballots([ann, bob], [2.0, 1.0]), 6)) == "aebcfd"


def test_the_same_seed_draws_the_same_list_and_another_seed_another() -> None:
    votes = [[1.0] * TRACKS]

    lists = [STRATEGIES["shared_first"](ballots(votes, seed=seed), 10).tolist() for seed in (1, 1, 2)]

    assert lists[0] == lists[1] != lists[2]


def test_shared_tracks_with_equal_support_go_by_total_score() -> None:
    votes = [[1, 5, 2], [1, 1, 9]]  # totals 2, 6, 11

    assert letters(STRATEGIES["shared_first"](ballots(votes), 3)) == "cba"


def test_only_scores_above_zero_reach_the_pool() -> None:
    assert letters(STRATEGIES["shared_first"](ballots([[0, 4, 0]]), 3)) == "b--"


def test_strategies_on_scores_are_registered() -> None:
    assert set(STRATEGIES) >= ON_SCORES


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), k=st.integers(1, TRACKS))
def test_equal_scores_do_not_make_a_short_list_differ_from_the_head_of_a_long_one(name: str, seed: int, k: int) -> None:
    votes = (np.random.default_rng(seed).integers(0, 4, size=(3, TRACKS)) / 4).tolist()

    whole = STRATEGIES[name](ballots(votes, seed=seed), TRACKS)[0].tolist()
    head = STRATEGIES[name](ballots(votes, seed=seed), k)[0].tolist()

    assert head == whole[:k]


def test_a_member_with_nothing_left_to_like_does_not_upset_the_race() -> None:
    ann = [1.0] * 6 + [0.0] * 34  # all she likes was played and must not come again
    bob = [0.0] * 6 + [0.9, 0.8, 0.7] + [0.0] * 31

    rows = STRATEGIES["fair_share"](ballots([ann, bob], excluded=range(6), played=range(6)), 3)[0].tolist()

    assert rows == [6, 7, 8]


def test_where_nothing_pleases_everybody_least_misery_looks_at_the_others() -> None:
    assert letters(STRATEGIES["least_misery"](ballots([[0.0, 0.0, 0.9], [0.0, 0.8, 0.0]]), 3)) == "cba"


@pytest.mark.parametrize("k", [10, 20, 30, 200])
def test_tracks_that_tie_at_the_border_of_the_shortlist_go_by_row(k: int) -> None:
    votes = np.full((2, 10_000), 0.3)
    votes[:, :140] = 0
    votes[0, 5000:5008] = np.linspace(1, 0.9, 8)

    rows = STRATEGIES["fair_share"](ballots(votes.tolist()), k)[0].tolist()

    assert rows == [*range(5000, 5008), *range(140, 140 + k - 8)]
