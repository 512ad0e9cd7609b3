"""The algorithm as a whole: what it learns, what it reports and what it refuses."""

from itertools import pairwise

import numpy as np
import pytest

from service.core.errors import ConfigurationError, DataError, TrainingError
from service.core.recommenders.factors import FactorsScoring
from tests.wmf.worlds import CHECKERBOARD, fit, listening, prepared, scores, sparse, textbook_epoch, textbook_rows
from training.models.algorithm import silent
from training.models.wmf import WMF

SOLVERS = ["cg", "cholesky", "batched", "sgd"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_even_users_like_odd_tracks(solver: str) -> None:
    seen = CHECKERBOARD.copy()
    seen[0, 1] = seen[1, 0] = 0  # not heard yet

    users, items = fit(WMF(dim=2, epochs=100, solver=solver, learning_rate=0.05), scores(seen))

    assert users[0] @ items[1] > max(users[0] @ items[track] for track in range(0, 10, 2))
    assert users[1] @ items[0] > max(users[1] @ items[track] for track in range(1, 10, 2))


@pytest.mark.parametrize("preset", ["default", "original"])
def test_a_guest_folded_in_gets_the_factors_of_a_user_with_the_same_likes(preset: str) -> None:
    liked = np.minimum(listening(24, 20).toarray(), 1)
    ridge = WMF.preset(preset).ridge(scores(liked))
    model = WMF.preset(preset, {"dim": 4, "length_exponent": 0, "guest_shrinkage": 0, "guest_length": 0})
    fitted = model.fit(prepared(scores(liked)), seed=0, device="cpu", progress=silent)
    items = np.asarray(fitted.arrays["item_factors"], dtype=np.float64)
    users, _ = textbook_epoch(model.objective(scores(liked), ridge), items)

    fold_in = FactorsScoring.model_validate(fitted.scoring).fold_in
    w0, c = fold_in.unobserved_weight, fold_in.liked_confidence
    ridges = fold_in.regularization * (liked.sum(axis=1) + w0 * 20) ** fold_in.frequency_exponent
    listeners = liked.sum(axis=0)
    rare = np.maximum(listeners, 1) ** -fold_in.popularity_exponent
    rare /= np.average(rare, weights=listeners)
    guests = textbook_rows(np.where(liked == 1, w0 + (c - w0) * rare, w0), liked, ridges, items)

    np.testing.assert_allclose(guests, users, rtol=1e-4, atol=1e-5)


def test_the_curve_tells_the_loss_a_cell_of_training_and_validation() -> None:
    held_out = np.zeros_like(CHECKERBOARD)
    held_out[0, 1] = 1
    train = scores(CHECKERBOARD - held_out)
    model = WMF(dim=2, epochs=5, unobserved_weight=0.1)

    curve = model.fit(prepared(train, held_out), seed=0, device="cpu", progress=silent).curve

    assert [entry["epoch"] for entry in curve] == [1, 2, 3, 4, 5]
    assert curve[-1]["train_loss"] <= curve[0]["train_loss"] < 1
    # The one held-out cell weighs 1.1 and lies between 0 and 1, the others that are 1 weigh .1.
    assert 0 < curve[-1]["validation_loss"] < (1.1 + 0.1 * 59) / 120 * 1.1
    assert all(after["seconds"] > before["seconds"] for before, after in pairwise(curve))


def test_without_validation_there_is_no_validation_loss() -> None:
    curve = WMF(dim=2).fit(prepared(scores(CHECKERBOARD)), seed=0, device="cpu", progress=silent).curve

    assert all("validation_loss" not in entry for entry in curve)


def test_the_metrics_tell_how_long_the_factors_are() -> None:
    fitted = WMF(dim=2).fit(prepared(listening(30, 24)), seed=0, device="cpu", progress=silent)
    lengths = np.linalg.norm(np.asarray(fitted.arrays["item_factors"]), axis=1)

    assert fitted.metrics["item_norm_min"] == 0  # the track that was only skipped
    assert fitted.metrics["item_norm_mean"] == pytest.approx(lengths.mean(), rel=1e-5)
    assert fitted.metrics["item_norm_p50"] == pytest.approx(np.median(lengths), rel=1e-5)
    assert fitted.metrics["user_norm_p95"] <= fitted.metrics["user_norm_max"]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rows", [[[3]], [[1, 2, 0.5]], [[1], [0], [7]]], ids=["one cell", "one user", "one track"])
def test_the_smallest_data_train(solver: str, rows: list[list[float]]) -> None:
    users, items = fit(WMF(dim=3, epochs=60, solver=solver, learning_rate=0.05), scores(rows))

    predicted = users @ items.T
    assert predicted[0, 0] > 0.8  # somebody's one like
    assert predicted.shape == np.shape(rows)


def test_data_without_a_like_are_refused() -> None:
    only_skips = sparse([0, 0], [0, 1], [1, 0], (2, 2))

    with pytest.raises(DataError, match="no pair has a score of 1"):
        fit(WMF(), only_skips)


def test_a_descent_that_diverges_is_an_error_and_no_model() -> None:
    with pytest.raises(TrainingError, match=r"loss is .* after epoch 1"):
        fit(WMF(dim=4, solver="sgd", learning_rate=1e6), listening(24, 20))


def test_scores_that_are_no_numbers_are_an_error_and_no_model() -> None:
    with pytest.raises(TrainingError, match="weigh more"):
        fit(WMF(), scores([[1, np.nan], [1, 1]]))


def test_the_gradient_way_refuses_data_it_would_take_hours_for() -> None:
    with pytest.raises(TrainingError, match=r"all 3000 x 22000 = 66,000,000 cells .* use 'cg'"):
        fit(WMF(solver="sgd"), sparse([1], [0], [0], (3000, 22000)))


def test_a_solver_that_does_not_exist_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match="'cg', 'cholesky', 'batched' or 'sgd'"):
        WMF.preset(overrides={"solver": "lbfgs"})


def test_what_nobody_heard_weighs_more_in_dense_data() -> None:
    tracks_in = {"sparse": 1000, "denser": 100, "dense": 40, "full": 1}  # everybody has heard one of them
    logs = {name: sparse([1] * 10, range(10), [0] * 10, (10, tracks)) for name, tracks in tracks_in.items()}

    assert {name: round(WMF().unobserved(log), 3) for name, log in logs.items()} == {
        "sparse": 0.16,
        "denser": 0.35,  # 3.5 times the root of 1 / 100
        "dense": 0.4,
        "full": 0.4,
    }
    assert WMF(unobserved_weight=0.2).unobserved(logs["dense"]) == 0.2


def test_lambda_is_half_of_the_noise_level() -> None:
    users, tracks = 4000, 1000
    log = sparse([1] * users, range(users), [user % tracks for user in range(users)], (users, tracks))
    # Every play weighs 1.16 and a thousandth of all cells were played: sqrt(v) is 1.16 / sqrt(1000).
    noise = 1.16 / 1000**0.5 * (users**0.5 + tracks**0.5)

    assert WMF().ridge(log) == pytest.approx(0.5 * noise / (0.16 * (users * tracks) ** 0.5))
    assert WMF(frequency_exponent=0).ridge(log) == pytest.approx(0.5 * noise)
    assert WMF(regularization=3.0).ridge(log) == 3
    assert WMF().ridge(sparse([1], [0], [0], (2, 2))) == 0.015  # a handful of users would fall to 0 with more


@pytest.mark.parametrize("solver", ["cg", "cholesky", "batched"])
def test_a_regularization_beyond_all_numbers_is_a_clear_error(solver: str) -> None:
    model = WMF(dim=2, solver=solver, regularization=1e38)

    with pytest.raises(TrainingError, match="finite"):
        model.fit(prepared(listening(24, 20)), seed=0, device="cpu", progress=silent)
