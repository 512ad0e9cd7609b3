"""What is minimised: weights, preferences, regularisation, and the loss over all cells."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from service.core.errors import TrainingError
from tests.wmf.worlds import dense, listening, scores, sparse, textbook_loss
from training.als.objective import loss, make_objective
from training.factors import Floats
from training.models.wmf import WMF, random_factors
from training.neighbours import Listeners


@pytest.mark.parametrize("order", [None, np.ones(3, dtype=np.float32)], ids=["no order", "order that says nothing"])
def test_original_confidence_is_one_plus_alpha_times_the_logarithm(order: Floats | None) -> None:
    objective = WMF.preset("original").objective(sparse([0, 1, 9999], [0, 0, 0], [0, 1, 2], (1, 3)), 1.0, order)

    confidence, preference = dense(objective)

    expected = [1, 1 + 40 * math.log(1 + 1 / 1e-8), 1 + 40 * math.log(1 + 9999 / 1e-8)]  # 1, 737.8, 1106.2
    np.testing.assert_allclose(confidence, [expected], rtol=1e-6)
    np.testing.assert_array_equal(preference, [[0, 1, 1]])


@pytest.mark.parametrize("preset", ["original", "default"])
def test_a_track_that_was_only_skipped_counts_as_never_heard(preset: str) -> None:
    skipped = sparse([1, 0], [0, 0], [0, 1], (1, 3))
    model = WMF.preset(preset)

    confidence, preference = dense(model.objective(skipped, 1.0))

    assert confidence[0, 1] == confidence[0, 2] == pytest.approx(model.unobserved(skipped))
    assert preference[0, 1] == preference[0, 2] == 0


def test_less_than_one_play_weighs_but_is_no_like() -> None:
    confidence, preference = dense(WMF.preset("original").objective(scores([[0.5]]), 1.0))

    assert confidence[0, 0] == pytest.approx(1 + 40 * math.log(1 + 0.5 / 1e-8))
    assert preference[0, 0] == 0


def test_where_everything_was_played_once_every_play_weighs_one_more_than_nothing() -> None:
    model = WMF(unobserved_weight=0.1, popularity_exponent=0, length_exponent=0)
    confidence, _ = dense(model.objective(scores([[1, 1, 0], [0, 1, 0]]), 1.0))

    np.testing.assert_allclose(confidence, [[1.1, 1.1, 0.1], [0.1, 1.1, 0.1]], rtol=1e-6)


def test_a_play_says_less_of_a_user_who_plays_more() -> None:
    confidence, _ = dense(WMF(unobserved_weight=0.1).objective(scores([[2, 2, 2], [2, 100, 100]]), 1.0))

    assert confidence[1, 0] < confidence[0, 0] < confidence[1, 1]
    excess = confidence - 0.1
    assert excess.mean() == pytest.approx(1)


def test_a_track_that_more_users_play_says_less() -> None:
    model = WMF(unobserved_weight=0.1, popularity_exponent=0.5, length_exponent=0)

    confidence, _ = dense(model.objective(scores([[1, 1], [1, 0], [1, 0], [1, 0]]), 1.0))

    excess = confidence - 0.1
    assert excess[0, 0] == pytest.approx(excess[0, 1] / 2)  # four listeners and one: 1 / sqrt(4)


def test_a_track_says_less_of_a_user_of_many() -> None:
    model = WMF(unobserved_weight=0.1, popularity_exponent=0, length_exponent=0.5)

    confidence, _ = dense(model.objective(scores([[1, 1, 1, 1], [1, 0, 0, 0]]), 1.0))

    excess = confidence - 0.1
    assert excess[0, 0] == pytest.approx(excess[1, 0] / 2)  # four tracks and one: 1 / sqrt(4)


def test_order_multiplies_what_the_plays_of_a_user_weigh() -> None:
    model = WMF(unobserved_weight=0.1, popularity_exponent=0)
    skipped = sparse([1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 2, 3], (1, 4))

    confidence, _ = dense(model.objective(skipped, 1.0, order=np.array([1, 9, 2, 3], dtype=np.float32)))

    excess = confidence[0] - 0.1
    np.testing.assert_allclose(excess, [0.5, 0, 1, 1.5], atol=1e-6)  # as 1 : 2 : 3, mean 1; the 9 is of a skip


def test_albums_are_listeners_below_the_users() -> None:
    model = WMF(unobserved_weight=0.1, popularity_exponent=0.5, length_exponent=0)
    album = Listeners(scores([[1, 0, 1]]), np.array([3.0], dtype=np.float32))

    confidence, preference = dense(
        model.objective(scores([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]), 1.0, None, album)
    )

    excess = confidence - 0.1
    assert preference[4].tolist() == [1, 0, 1]
    usual = (4 * 0.5 + 1) / 5  # the first track has four listeners, the second one, the third none: as one
    np.testing.assert_allclose(excess[4], [3 * 0.5 / usual, 0, 3 / usual], atol=1e-6)
    assert excess[:4].sum() == pytest.approx(5)


def test_regularization_grows_with_what_is_known() -> None:
    model = WMF(unobserved_weight=0.5, frequency_exponent=1)

    objective = model.objective(scores([[1, 1, 0, 0], [1, 0, 0, 0]]), 0.1)

    np.testing.assert_allclose(objective.by_user.regularization, [0.1 * (2 + 2), 0.1 * (1 + 2)])
    np.testing.assert_allclose(objective.by_item.regularization, [0.1 * (2 + 1), 0.1 * (1 + 1), 0.1, 0.1])


def test_regularization_is_one_number_with_exponent_0() -> None:
    objective = WMF(frequency_exponent=0).objective(scores([[1, 1, 0], [1, 0, 0]]), 0.1)

    assert set(objective.by_user.regularization) == set(objective.by_item.regularization) == {np.float32(0.1)}


@given(st.integers(1, 40), st.integers(2, 40), st.integers(1, 9), st.integers(0, 99))
def test_the_loss_is_the_sum_over_all_cells(users: int, tracks: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    heard = scores(rng.poisson(0.5, (users, tracks)).astype(np.float32))
    objective = WMF().objective(heard, 0.1)
    factors = random_factors(users, tracks, dim, seed)

    assert loss(objective, factors) == pytest.approx(textbook_loss(objective, factors), rel=1e-4, abs=1e-4)


def test_both_sides_tell_the_same_cells() -> None:
    by_user, by_item, _ = WMF().objective(listening(9, 7), 0.1)

    for attribute in ("excess", "target"):
        users, items = (
            csr_array((getattr(side, attribute), side.columns, side.indptr)).toarray() for side in (by_user, by_item)
        )
        np.testing.assert_array_equal(users, items.T)


@pytest.mark.parametrize("excess", [0.0, -1.0, np.nan, np.inf])
def test_a_weight_that_cannot_be_is_refused(excess: float) -> None:
    with pytest.raises(TrainingError, match="weigh more"):
        make_objective(scores([[1]]), np.array([excess], dtype=np.float32), np.array([True]), 0.1, 0.1, 1.0)
