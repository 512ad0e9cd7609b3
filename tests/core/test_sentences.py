"""What each strategy says of the tracks it chose, on the worlds of its worked example."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.sentences import KNOWN, Chosen, names
from service.core.strategies import SENTENCES, STRATEGIES
from tests.core import slow
from tests.core.test_strategies import WORKED_EXAMPLES, random_votes
from tests.core.worlds import ballots

SAID = {
    "average": ["best for the group in total"] * 3,
    # Of the four tracks Bob puts b above a and d, Bob puts a above d, and Ann c above d.
    "least_misery": [
        "nobody likes it less than Ann, who puts it above 67 % of all tracks",
        "nobody likes it less than Bob, who puts it above 33 % of all tracks",
        "nobody likes it less than Ann, who puts it above 33 % of all tracks",
    ],
    "most_pleasure": ["Ann likes it best", "Bob likes it best", "Ann likes it best"],
    "borda_count": [
        "above 83 % of all tracks on your lists",  # (2/3 + 3/3) / 2
        "above 67 % of all tracks on your lists",
        "above 50 % of all tracks on your lists",
    ],
    "approval_voting": [
        "2 of 2 of you have it among their 50 best",
        "2 of 2 of you have it among their 50 best",
        "1 of 2 of you have it among their 50 best",
    ],
    "round_robin": ["Ann's turn", "Bob's turn", "Ann's turn"],
    "multiplicative": [
        "everyone likes it a little",
        "everyone likes it a little",
        "no track is left that everyone likes",
    ],
    "average_without_misery": [
        "nobody is below the veto",
        "of every track left somebody is below the veto",
        "of every track left somebody is below the veto",
    ],
    "copeland": [
        "beats 2 of the 2 others here, head to head",
        "beats 1 of the 2 others here, head to head",
        "beats 0 of the 2 others here, head to head",
    ],
    "spgreedy": ["Ann and Bob had nothing yet", "Ann had nothing yet", "Bob had nothing yet"],
    "greedy_lm": [
        "Bob is served least, with 70 %",
        "Bob is served least, with 40 %",  # (.7 + .1) / 2 against (.8 + 1) / 2
        "Bob is served least, with 57 %",  # 1.7 / 3 against 1.8 / 3
    ],
    # Ann's ideal list is 1, .9 and .8, cubed 2.241; Bob's is d alone.
    "fair_share": [
        "shares so far: Ann 0 %, Bob 100 %",
        "shares so far: Ann 31 %, Bob 69 %",  # 1 / 2.241 = .446 against 1
        "shares so far: Ann 44 %, Bob 56 %",  # 1.729 / 2.241 = .772
    ],
    "gfar": [
        "most likely first hit for Bob",
        "most likely first hit for Ann",
        "most likely first hit for Ann",
    ],
    "ep_fuzzda": [
        "Ann is owed 50 % and had 0 %",
        "Bob is owed 50 % and had 0 %",
        "Ann is owed 50 % and had 40 %",  # 1 of 1 + .6 + .9
    ],
    "shared_first": ["Ann and Bob have it among their 50 best", "drawn from Ann's 50 best", "drawn from Bob's 50 best"],
}


def chosen(votes: list[list[float]], tracks: list[int], played: Sequence[int] = ()) -> Chosen:
    """What a group of equal weights thinks of a list."""
    table = np.array(votes, dtype=np.float32)
    members = range(len(votes))
    return Chosen(
        rows=np.array(tracks),
        votes=table[:, tracks],
        percentiles=np.array(
            [[slow.percentile(votes[u], votes[u][track]) for track in tracks] for u in members], dtype=np.float32
        ),
        weights=np.ones(len(votes), dtype=np.float32),
        best=-np.sort(-table, axis=1)[:, :KNOWN],
        played_rows=np.array(played, dtype=np.int64),
        played=table[:, list(played)],
        power=3,
    )


def said(strategy: str, votes: list[list[float]], tracks: list[int], played: Sequence[int] = ()) -> list[str]:
    sentences = SENTENCES[strategy](chosen(votes, tracks, played))
    return [sentence.format("Ann", "Bob") if sentence else "" for sentence in sentences]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_worked_example(strategy: str) -> None:
    votes, tracks = WORKED_EXAMPLES[strategy]

    assert said(strategy, votes, ["abcd".index(track) for track in tracks]) == SAID[strategy]


def test_what_was_played_counts_as_had() -> None:
    votes = [[1.0, 0.9, 0.8, 0.0], [0.0, 0.0, 0.0, 0.6]]

    assert said("spgreedy", votes, [3], played=[0]) == ["Bob had nothing yet"]
    assert said("ep_fuzzda", votes, [3], played=[0]) == ["Bob is owed 50 % and had 0 %"]
    assert said("gfar", votes, [1], played=[3]) == ["most likely first hit for Ann"]
    assert said("greedy_lm", votes, [3], played=[0]) == ["Bob is served least, with 30 %"]


def test_turns_go_on_after_what_was_played() -> None:
    votes = [[1.0, 0.9, 0.8, 0.0], [0.0, 0.0, 0.7, 0.6]]

    assert said("round_robin", votes, [2, 1], played=[0]) == ["Bob's turn", "Ann's turn"]


def test_of_equals_the_lower_row_was_picked_first() -> None:
    votes = [[0.9, 0.9, 0.2], [0.5, 1.0, 0.1]]  # Ann picks a, Bob b, Ann c

    assert said("round_robin", votes, [0, 2], played=[1]) == ["Ann's turn", "Ann's turn"]


def test_whose_turn_it_was_is_not_said_where_nobody_is_seen_to_like_the_track() -> None:
    assert said("round_robin", [[1.0, 0.0], [1.0, 0.0]], [0, 1]) == ["Ann's turn", ""]


@given(seed=st.integers(0, 10**6), members=st.integers(2, 5), k=st.integers(1, 20))
def test_turns_are_those_that_the_tracks_were_picked_in(seed: int, members: int, k: int) -> None:
    votes = random_votes(seed, members)
    picked = STRATEGIES["round_robin"](ballots(votes), k)[0].tolist()

    turns = SENTENCES["round_robin"](chosen(votes, picked))

    assert turns == [f"{{{place % members}}}'s turn" for place in range(k)]


def test_of_many_members_a_few_are_named() -> None:
    assert names(np.arange(1)) == "{0}"
    assert names(np.arange(3)) == "{0}, {1} and {2}"
    assert names(np.arange(4)) == "{0}, {1}, {2} and {3}"
    assert names(np.arange(64)) == "{0}, {1}, {2} and 61 others"


def test_of_the_shares_of_many_the_smallest_and_the_largest_are_told() -> None:
    votes = np.eye(6).tolist()
    votes[5][4] = 0.5  # a half, cubed, over 1 + 1 / 8: a ninth of a best list; 1.111 are had in all

    (said_of_e,) = SENTENCES["fair_share"](chosen(votes, [4]))

    assert said_of_e == "shares so far from {0} 0 % to {4} 90 %"
