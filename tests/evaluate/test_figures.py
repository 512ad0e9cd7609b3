from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.report.canvas import spread_out


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_names_beside_a_figure_never_overlap_and_keep_their_order(heights: list[float]) -> None:
    apart = 1 / 20

    placed = spread_out(heights, apart)

    assert all(-1e-9 <= height <= 1 + 1e-9 for height in placed)
    in_order = sorted(range(len(heights)), key=lambda place: heights[place])
    assert all(placed[b] - placed[a] >= apart - 1e-9 for a, b in pairwise(in_order))


def test_names_with_room_stay_where_they_are() -> None:
    assert spread_out([0.5, 0.2, 0.9], 0.1) == pytest.approx([0.5, 0.2, 0.9])
