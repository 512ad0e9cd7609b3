import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.core.calibration import EXACT, Calibration, calibration_ranks
from service.core.errors import DataError
from tests.core import slow
from tests.core.worlds import falling


def test_the_best_track_is_relevant_and_the_worst_is_not() -> None:
    scores = torch.tensor([[5.0, 1.0, 3.0]])

    relevance = Calibration.measure(scores).relevance(scores.clone())

    assert relevance.tolist() == [[1.0, 0.0, 0.5]]


def test_members_on_different_scales_agree_once_normalised() -> None:
    scores = torch.tensor([[5.0, 1.0, 3.0], [0.05, 0.01, 0.03]])

    relevance = Calibration.measure(scores).relevance(scores.clone())

    assert torch.allclose(relevance[0], relevance[1])


def test_who_scores_everything_alike_has_no_opinion() -> None:
    scores = torch.full((1, 4), 0.7)

    assert Calibration.measure(scores).relevance(scores.clone()).tolist() == [[0.0] * 4]


def test_the_lowest_hundredth_of_the_catalogue_sets_the_zero() -> None:
    scores = torch.arange(1000.0)[None]  # 1 % of 1,000 tracks score below 10

    assert Calibration.measure(scores).low.item() == pytest.approx(9.99, abs=1)


def test_percentiles_of_four_tracks() -> None:
    scores = torch.tensor([[40.0, 10.0, 30.0, 20.0]])

    percentiles = Calibration.measure(scores).percentiles(scores.numpy())

    assert percentiles[0].tolist() == pytest.approx([1, 0, 2 / 3, 1 / 3])


def test_a_track_nobody_else_beats_but_many_tie_has_percentile_0() -> None:
    scores = torch.tensor([[3.0, 0.0, 0.0, 0.0]])

    assert Calibration.measure(scores).percentiles(scores.numpy()).tolist() == [[1.0, 0.0, 0.0, 0.0]]


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=EXACT))
def test_percentiles_are_exact_while_all_ranks_are_kept(line: list[float]) -> None:
    scores = torch.tensor([line])

    percentiles = Calibration.measure(scores).percentiles(scores.numpy())[0].tolist()

    assert percentiles == pytest.approx([slow.percentile(scores[0].tolist(), s) for s in scores[0].tolist()], abs=1e-5)


def test_percentiles_further_down_are_within_a_hundredth() -> None:
    scores = torch.randn(1, 5000, generator=torch.Generator().manual_seed(1))

    percentiles = Calibration.measure(scores).percentiles(scores.numpy())[0]

    exact = (torch.argsort(torch.argsort(scores[0])) / 4999).numpy()
    assert np.abs(percentiles - exact).max() < 0.01


def test_a_table_for_another_catalogue_is_refused() -> None:
    table = Calibration.measure(torch.randn(2, 300))

    with pytest.raises(DataError, match="301 tracks"):
        table.check(2, 301)
    with pytest.raises(DataError, match="calibration_scores"):
        table.check(3, 300)


@given(st.integers(1, 3_000_000))
def test_ranks_reach_from_the_best_to_the_worst(tracks: int) -> None:
    ranks = calibration_ranks(tracks)

    assert ranks[0] == 1
    assert ranks[-1] == tracks
    assert len(ranks) <= 160
    assert (ranks[1:] > ranks[:-1]).all()


@pytest.mark.parametrize(
    ("far", "sharpness"),
    [
        (0.01, 3),  # the cube leaves less than a twentieth, as of most models
        (0.48, 5),  # (.48 / .8)^5 = .078 and ^6 = .047
        (0.79, 10),  # next to nothing tells the tracks apart
    ],
)
def test_flat_scores_are_sharpened_until_the_thousandth_track_is_worth_a_twentieth(far: float, sharpness: int) -> None:
    assert falling(far).sharpness == sharpness


def test_scores_that_are_alike_but_for_the_last_are_as_flat_as_can_be() -> None:
    scores = torch.ones(1, 200)
    scores[0, -4:] = 0  # so that rank 50 is worth what rank 30 is

    assert Calibration.measure(scores).sharpness == 10


def test_one_listener_with_flat_scores_changes_nothing_for_the_others() -> None:
    steep, flat, indifferent = falling(0.01, users=2), falling(0.79), Calibration.measure(torch.zeros(2, 4000))

    assert Calibration(steep.ranks, np.concatenate([steep.scores, flat.scores])).sharpness == 3
    assert Calibration(steep.ranks, np.concatenate([indifferent.scores, flat.scores])).sharpness == 10


@pytest.mark.parametrize("scores", [torch.empty(0, 4000), torch.zeros(3, 4000), torch.rand(3, 100)])
def test_where_nothing_can_be_told_shares_are_cubes(scores: torch.Tensor) -> None:
    assert Calibration.measure(scores).sharpness == 3
