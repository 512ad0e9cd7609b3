import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.core.ranking import highest, top_k
from tests.core import slow


def test_best_come_first() -> None:
    values, rows = top_k(torch.tensor([[0.1, 0.9, 0.5]]), 2)

    assert rows.tolist() == [[1, 2]]
    assert values.tolist() == torch.tensor([[0.9, 0.5]]).tolist()


def test_k_above_the_number_of_tracks_returns_them_all() -> None:
    _, rows = top_k(torch.tensor([[0.1, 0.9]]), 5)

    assert rows.tolist() == [[1, 0]]


@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 9000),
    k=st.integers(1, 60),
    distinct=st.sampled_from([3, 50, 100_000]),
)
def test_two_level_search_finds_what_sorting_finds(seed: int, columns: int, k: int, distinct: int) -> None:
    # few distinct scores make ties across block borders likely
    scores = np.random.default_rng(seed).integers(0, distinct, size=(2, columns)).astype(np.float32)

    values, rows = top_k(torch.from_numpy(scores), k)

    for line, value, row in zip(scores.tolist(), values.tolist(), rows.tolist(), strict=True):
        assert value == [line[best] for best in slow.best_first(line, k)]
        assert row == slow.best_first(line, k)


def test_excluded_tracks_come_last() -> None:
    scores = torch.full((1, 5000), -torch.inf)
    scores[0, 4999] = -3.0

    values, rows = top_k(scores, 2)

    assert rows[0, 0] == 4999
    assert values[0, 1] == -torch.inf


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 4),
    columns=st.sampled_from([7, 500, 5000]),
    k=st.integers(1, 120),
    levels=st.sampled_from([3, 50, 10**6]),
)
def test_the_k_highest_are_found_in_order_of_column_and_nothing_better_is_left_out(
    seed: int, rows: int, columns: int, k: int, levels: int
) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, (rows, columns)).astype(np.float32)
    scores[random.uniform(size=scores.shape) < 0.3] = -np.inf

    found, limits = highest(torch.from_numpy(scores), k)

    for row, columns_found, limit in zip(scores, found, limits, strict=True):
        named = columns_found[columns_found >= 0]
        assert named.tolist() == sorted(slow.best_first(row.tolist(), min(k, np.isfinite(row).sum())))
        assert (np.delete(row, named) <= limit).all()
