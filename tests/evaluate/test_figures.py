from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.bootstrap import Estimate
from training.evaluate.results import GroupRow
from training.models import ALGORITHMS
from training.report import signed
from training.report.canvas import DARK, LIGHT, Theme, render, spread_out, subplots
from training.report.group_figures import draw_plane


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


def test_figures_that_are_all_alike_have_an_axis_of_plain_numbers() -> None:
    alike = Estimate(mean=1.0, low=1.0, high=1.0 + 1e-12, sd=0.0, n=4)

    def draw(theme: Theme) -> Figure:
        figure, (axis,) = subplots(1, 1, 2.0)
        rows = [group_row("average"), group_row("fair_share")]
        draw_plane(axis, theme, theme.colour(0), rows, [alike] * 2, [alike] * 2)
        drawn.append(axis)
        return figure

    drawn: list[Axes] = []
    render(draw, LIGHT)

    assert [axis.get_offset_text().get_text() for axis in (drawn[0].xaxis, drawn[0].yaxis)] == ["", ""]
    assert drawn[0].get_xlim() == pytest.approx((0.9995, 1.0005))


def group_row(strategy: str) -> GroupRow:
    return GroupRow(
        model="wmf",
        strategy=strategy,
        default=False,
        protocol="all",
        cohort="groups",
        groups=4,
        metrics={},
        coverage={},
    )
