from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.models import ALGORITHMS
from training.report import signed
from training.report.canvas import DARK, LIGHT, Theme, spread_out


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_names_beside_a_figure_never_overlap_and_keep_their_order(heights: list[float]) -> None:
    apart = 1 / 20

    placed = spread_out(heights, apart)

    assert all(-1e-9 <= height <= 1 + 1e-9 for height in placed)
    in_order = sorted(range(len(heights)), key=lambda place: heights[place])
    assert all(placed[b] - placed[a] >= apart - 1e-9 for a, b in pairwise(in_order))


def test_names_with_room_stay_where_they_are() -> None:
    assert spread_out([0.5, 0.2, 0.9], 0.1) == pytest.approx([0.5, 0.2, 0.9])


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_algorithm_can_have_a_colour_of_its_own(theme: Theme) -> None:
    assert len({theme.colour(place) for place in range(len(ALGORITHMS))}) == len(ALGORITHMS)


@pytest.mark.parametrize(("value", "text"), [(0.00031, "+0.0003"), (-0.12, "\N{MINUS SIGN}0.120"), (0.0, "0.0000")])
def test_differences_have_their_sign_and_digits_that_count(value: float, text: str) -> None:
    assert signed(value) == text
