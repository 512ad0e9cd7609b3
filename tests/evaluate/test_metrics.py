"""The metrics against slow obvious versions, against ir-measures, and against the ways such figures go wrong."""

from itertools import pairwise, permutations
from math import log2

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG
from scipy.sparse import csr_array

from service.core.errors import DataError
from training.data import Pairs
from training.metrics import Truth, rank_metrics, sample

TOP = 4


def truth_of(relevant: np.ndarray, excluded: np.ndarray | None = None) -> Truth:
    users, tracks = np.nonzero(relevant)
    pairs = Pairs(users, tracks, np.ones(len(users), dtype=np.float32))
    return Truth.of(pairs, relevant.shape, None if excluded is None else csr_array(excluded))


def metrics_of(scores: np.ndarray, relevant: np.ndarray, cutoffs: tuple[int, ...] = (TOP,)) -> dict[str, float]:
    table = torch.from_numpy(np.asarray(scores, dtype=np.float32))
    return rank_metrics(lambda rows: table[rows].clone(), truth_of(np.asarray(relevant)), cutoffs).means()


def obvious_metrics(hits: list[bool], size: int, k: int) -> dict[str, float]:
    """One list, written down as in a textbook; `hits` is the whole ranking."""
    head = hits[:k]
    first = next((position for position, hit in enumerate(head, start=1) if hit), None)
    precisions = [sum(head[:position]) / position for position, hit in enumerate(head, start=1) if hit]
    ideal = sum(1 / log2(position + 1) for position in range(1, min(k, size) + 1))
    return {
        f"ndcg@{k}": sum(1 / log2(position + 1) for position, hit in enumerate(head, start=1) if hit) / ideal,
        f"precision@{k}": sum(head) / k,
        f"recall@{k}": sum(head) / size,
        f"map@{k}": sum(precisions) / min(k, size),
        f"mrr@{k}": 1 / first if first else 0.0,
        f"hit_rate@{k}": 1.0 if first else 0.0,
    }


def over_all_orders(scores: list[int], relevant: list[bool], k: int) -> dict[str, float]:
    """The mean over every order of the tracks that puts no higher score behind a lower one."""
    orders = [
        order for order in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    tables = [obvious_metrics([relevant[track] for track in order], sum(relevant), k) for order in orders]
    return {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6).filter(
        lambda tracks: any(hit for _, hit in tracks)
    ),
    st.integers(1, 7),
)
def test_a_tie_counts_as_the_mean_over_all_its_orders(tracks: list[tuple[int, bool]], k: int) -> None:
    scores, relevant = [score for score, _ in tracks], [hit for _, hit in tracks]

    assert metrics_of([scores], [relevant], (k,)) == pytest.approx(over_all_orders(scores, relevant, k))


def test_metrics_equal_those_of_ir_measures_where_nothing_ties() -> None:
    rng = np.random.default_rng(5)
    users, tracks, k = 40, 60, 10
    scores = rng.permuted(np.tile(np.arange(tracks), (users, 1)), axis=1)
    relevant = rng.random((users, tracks)) < 0.1
    relevant[:, 0] = True
    qrels = [ir_measures.Qrel(str(u), str(i), 1) for u, i in np.argwhere(relevant)]
    run = [ir_measures.ScoredDoc(str(u), str(i), float(scores[u, i])) for u in range(users) for i in range(tracks)]

    theirs = ir_measures.calc_aggregate([nDCG @ k, P @ k, R @ k, RR @ k, Success @ k, AP], qrels, run)

    ours = metrics_of(scores, relevant, (k, tracks))
    assert ours[f"ndcg@{k}"] == pytest.approx(theirs[nDCG @ k])
    assert ours[f"precision@{k}"] == pytest.approx(theirs[P @ k])
    assert ours[f"recall@{k}"] == pytest.approx(theirs[R @ k])
    assert ours[f"mrr@{k}"] == pytest.approx(theirs[RR @ k])
    assert ours[f"hit_rate@{k}"] == pytest.approx(theirs[Success @ k])
    assert ours[f"map@{tracks}"] == pytest.approx(theirs[AP])


def test_putting_the_truth_first_or_last_gives_the_same_number() -> None:
    scores = np.tile([2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], (1, 1))
    first, last = np.zeros((1, 8), dtype=bool), np.zeros((1, 8), dtype=bool)
    first[0, 1] = last[0, 6] = True

    assert metrics_of(scores, first) == metrics_of(scores, last)


def test_a_model_without_an_opinion_is_worth_what_chance_is() -> None:
    tracks, k = 5000, 10
    relevant = np.zeros((1, tracks), dtype=bool)
    relevant[0, :25] = True

    means = metrics_of(np.zeros((1, tracks)), relevant, (k,))

    assert means["precision@10"] == pytest.approx(25 / tracks)
    assert means["recall@10"] == pytest.approx(k / tracks)
    misses = np.prod([(tracks - 25 - draw) / (tracks - draw) for draw in range(k)])
    assert means["hit_rate@10"] == pytest.approx(1 - misses)


def test_what_was_heard_in_training_is_neither_recommended_nor_relevant() -> None:
    scores = torch.tensor([[9.0, 8.0, 7.0, 6.0, 0.0]])
    heard = np.array([[1, 0, 0, 0, 0]], dtype=bool)
    truth = truth_of(np.array([[1, 1, 0, 0, 0]], dtype=bool), heard)

    metrics = rank_metrics(lambda rows: scores[rows].clone(), truth, (4,))

    assert metrics.lists.tolist() == [[1, 2, 3, -1]]  # nothing speaks for the track at the bottom
    assert metrics.columns["recall@4"].tolist() == [1.0]  # track 0 was known, so only track 1 is asked for
    assert metrics.columns["mrr@4"].tolist() == [1.0]


def test_excluded_tracks_win_nothing_where_fewer_than_k_are_left() -> None:
    scores = torch.zeros(1, 4)
    heard = np.array([[1, 1, 1, 0]], dtype=bool)
    held_out = Pairs(np.array([0, 0]), np.array([3, -1]), np.ones(2, dtype=np.float32))

    metrics = rank_metrics(lambda rows: scores[rows].clone(), Truth.of(held_out, (1, 4), csr_array(heard)), (3,))

    assert metrics.columns["hit_rate@3"].tolist() == [1.0]
    assert metrics.columns["precision@3"].tolist() == [pytest.approx(1 / 3)]


def test_a_track_the_model_never_saw_is_missed_not_forgotten() -> None:
    held_out = Pairs(np.array([0, 0]), np.array([0, -1]), np.ones(2, dtype=np.float32))

    metrics = rank_metrics(lambda rows: torch.tensor([[1.0, 0.0]])[rows], Truth.of(held_out, (1, 2)), (2,))

    assert metrics.columns["recall@2"].tolist() == [0.5]


def test_users_with_nothing_relevant_are_left_out() -> None:
    relevant = np.array([[1, 0], [0, 0], [0, 1]], dtype=bool)

    metrics = rank_metrics(lambda rows: torch.zeros(len(rows), 2), truth_of(relevant), (1,))

    assert metrics.user_rows.tolist() == [0, 2]


def test_a_pair_that_was_only_skipped_is_not_relevant() -> None:
    held_out = Pairs(np.array([0, 0]), np.array([0, 1]), np.array([0, 1], dtype=np.float32))

    assert Truth.of(held_out, (1, 2)).relevant.toarray().tolist() == [[False, True]]


def test_nobody_to_judge_gives_no_figure() -> None:
    assert metrics_of(np.zeros((2, 3)), np.zeros((2, 3), dtype=bool)) == {}


def test_chunks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, relevant = rng.integers(0, 9, (50, 30)), rng.random((50, 30)) < 0.2
    whole = metrics_of(scores, relevant)

    monkeypatch.setattr("training.metrics._SCORES_AT_ONCE", 100)

    assert metrics_of(scores, relevant) == pytest.approx(whole)


def test_a_score_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(DataError, match="not a number"):
        metrics_of(np.array([[0.0, np.nan]]), np.array([[1, 0]], dtype=bool))


def test_a_sample_is_drawn_only_where_there_are_more() -> None:
    rows = np.arange(10)

    assert sample(rows, 20, seed=1).tolist() == rows.tolist()
    assert sample(rows, 4, seed=1).tolist() == sorted(set(sample(rows, 4, seed=1).tolist()))
    assert len(sample(rows, 4, seed=1)) == 4
