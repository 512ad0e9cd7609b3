"""How far factors are held down: what the noise says, and what validation users choose from there."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from service.core.errors import TrainingError
from service.core.recommenders.factors import FactorsScoring
from tests.wmf.worlds import prepared, scores
from training.metrics import Column
from training.models.algorithm import silent
from training.models.ease import EASE
from training.models.item_knn import ItemKNN, likely_shrinkage
from training.models.regularization import FEWEST, MOST_STEPS, STEP, Jury, climb, noise_level
from training.models.wmf import WMF
from training.served import served

USERS = 40
NOISE = np.random.default_rng(0).normal(scale=0.01, size=USERS)
Judge = Callable[[float], tuple[Column, float]]


def best_at(peak: float, seen: list[float] | None = None) -> Judge:
    """Judge a value by how few steps it is from the peak; every user says the same, more or less."""

    def judge(value: float) -> tuple[Column, float]:
        if seen is not None:
            seen.append(value)
        return NOISE - abs(np.log(value / peak) / np.log(STEP)), value

    return judge


@pytest.mark.parametrize("steps", [-3, -1, 0, 1, 3])
def test_the_climb_ends_on_the_peak(steps: int) -> None:
    assert climb(0.01, best_at(0.01 * STEP**steps)) == pytest.approx(0.01 * STEP**steps)


def test_what_gained_upwards_is_not_tried_downwards() -> None:
    seen: list[float] = []

    climb(1.0, best_at(STEP, seen))

    assert seen == pytest.approx([1.0, STEP, STEP**2])


def test_a_gain_within_its_standard_error_is_no_step() -> None:
    rng = np.random.default_rng(1)

    def judge(value: float) -> tuple[Column, float]:
        """All values are worth the same, and one of them a little more by chance."""
        return rng.normal(size=USERS) + 0.01 * value, value

    first = [climb(1.0, judge) for _ in range(50)]

    assert np.mean([value == 1.0 for value in first]) > 0.5  # a sixth of the gains of each side are above one error
    assert climb(1.0, lambda value: (np.zeros(USERS), value)) == 1.0


def test_a_climb_without_end_ends() -> None:
    assert climb(1.0, lambda value: (np.full(USERS, value), value)) == pytest.approx(STEP**MOST_STEPS)


def test_a_value_without_a_model_is_no_step() -> None:
    def judge(value: float) -> tuple[Column, float]:
        if value > 1:
            raise TrainingError("diverged")
        return np.full(USERS, -value), value

    assert climb(1.0, judge) == pytest.approx(STEP**-MOST_STEPS)


def test_without_a_model_to_begin_with_there_is_an_error() -> None:
    def judge(_: float) -> tuple[Column, float]:
        raise TrainingError("diverged")

    with pytest.raises(TrainingError, match="diverged"):
        climb(1.0, judge)


@pytest.mark.parametrize(("users", "tracks", "density"), [(300, 200, 0.1), (500, 100, 0.02), (150, 600, 0.05)])
def test_the_noise_level_is_the_largest_singular_value_of_noise(users: int, tracks: int, density: float) -> None:
    rng = np.random.default_rng(users)
    there = rng.random((users, tracks)) < density
    matrix = np.where(there, rng.uniform(0.5, 2, size=there.shape), 0)

    centred = matrix - matrix.mean()  # without what all cells have in common there is nothing to find

    largest = np.linalg.svd(centred, compute_uv=False)[0]
    assert noise_level(matrix[there].astype(np.float32), users, tracks) == pytest.approx(largest, rel=0.12)


def neighbourhoods(users: int, heard: float, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what users heard and what they will hear: everyone lives in one of four quarters of 20 tracks each."""
    rng = np.random.default_rng(seed)
    at_home = np.arange(users)[:, None] % 4 == np.arange(80) // 20
    likes = rng.random((users, 80)) < np.where(at_home, 0.6, 0.02)
    now = rng.random((users, 80)) < heard
    return (likes & now).astype(np.float32), (likes & ~now).astype(np.float32)


def later_judged(algorithm: WMF | EASE | ItemKNN, parameter: str, passing: int = 0) -> tuple[float, float]:
    """Return a parameter of a model and what it is worth to other people than those who may choose it.

    So many tracks were heard by two people each, whoever passed by.
    """
    train, later = neighbourhoods(4 * FEWEST, 0.5)
    passers = np.random.default_rng(1).integers(len(train), size=(2, passing))
    by_chance = np.zeros((len(train), passing), dtype=np.float32)
    by_chance[passers, np.arange(passing)] = 1
    train, later = np.hstack([train, by_chance]), np.pad(later, ((0, 0), (0, passing)))
    chosen_by, judged_by = later.copy(), later.copy()
    chosen_by[1::2], judged_by[::2] = 0, 0
    data = prepared(scores(train), chosen_by)
    fitted = algorithm.fit(data, seed=0, device="cpu", progress=silent)
    jury = Jury.of(prepared(scores(train), judged_by), seed=0)
    model = served(algorithm.kind, fitted.scoring, fitted.arrays, data.interactions)
    return fitted.metrics[parameter], float(jury.of_all(model).mean())


@pytest.mark.parametrize(
    ("algorithm", "parameter", "given", "passing"),
    [
        (WMF, "regularization", 1e-5, 0),
        (WMF, "regularization", 3.0, 0),
        (WMF, "unobserved_weight", 0.02, 0),
        (EASE, "regularization", 0.1, 0),
        (ItemKNN, "shrinkage", 0.0, 400),
    ],
)
def test_validation_users_choose_what_is_not_given(
    algorithm: type[WMF | EASE | ItemKNN], parameter: str, given: float, passing: int
) -> None:
    as_given, worth = later_judged(algorithm.preset(overrides={parameter: given}), parameter, passing)
    chosen, worth_chosen = later_judged(algorithm(), parameter, passing)

    assert as_given == given != chosen
    assert worth_chosen > worth


@pytest.mark.parametrize("algorithm", [WMF(dim=8), EASE()], ids=["wmf", "ease"])
def test_too_few_validation_users_choose_nothing(algorithm: WMF | EASE) -> None:
    train, later = neighbourhoods(FEWEST - 1, 0.5)

    fitted = algorithm.fit(prepared(scores(train), later), seed=0, device="cpu", progress=silent)

    assert fitted.metrics["regularization"] == algorithm.ridge(scores(train))


def test_too_few_validation_users_choose_no_shrinkage() -> None:
    train, later = neighbourhoods(FEWEST - 1, 0.5)

    fitted = ItemKNN().fit(prepared(scores(train), later), seed=0, device="cpu", progress=silent)

    assert fitted.metrics["shrinkage"] == likely_shrinkage(scores(train))


@pytest.mark.parametrize("share", [0.1, 0.05])
def test_shrinkage_begins_at_the_mean_of_the_cosines_over_their_variance(share: float) -> None:
    rng = np.random.default_rng(0)
    own_half = np.add.outer(np.arange(8000), np.arange(100)) % 2 == 0
    log = (own_half & (rng.random(own_half.shape) < share)).astype(np.float32)

    # cosines are `share` in one half of the tracks and 0 across: their mean is share / 2, their variance share^2 / 4
    assert likely_shrinkage(scores(log)) == pytest.approx(2 / share, rel=0.1)


def test_where_all_is_chance_shrinkage_begins_high_and_with_twins_low() -> None:
    chance = np.random.default_rng(0).random((300, 60)) < 0.1
    twins = np.repeat(np.eye(30), 20, axis=0).repeat(2, axis=1)

    assert likely_shrinkage(scores(chance)) == 100
    assert likely_shrinkage(scores(twins)) == 5
    assert likely_shrinkage(scores(np.eye(3))) == 5  # nobody has two tracks


def test_w0_is_chosen_where_lambda_is() -> None:
    train, later = neighbourhoods(2 * FEWEST, 0.5)
    data = prepared(scores(train), later)
    begin = WMF().unobserved(scores(train))

    with_lambda = WMF(regularization=0.01).fit(data, seed=0, device="cpu", progress=silent)
    seen: list[str] = []
    WMF().fit(data, seed=0, device="cpu", progress=lambda done, total, note="": seen.append(note))

    assert with_lambda.metrics["unobserved_weight"] == begin
    assert any(f"w0 {begin / 2:.2g}," in note or f"w0 {2 * begin:.2g}," in note for note in seen)


def test_with_another_w0_lambda_stays_as_many_times_the_noise_level() -> None:
    log = scores((np.random.default_rng(0).random((2000, 500)) < 0.02).astype(np.float32))
    begin = WMF(unobserved_weight=1.2)

    twice = begin.model_copy(update={"regularization": 2 * begin.ridge(log)}).with_unobserved(2.4, log)

    assert twice.unobserved(log) == 2.4
    assert twice.ridge(log) == pytest.approx(2 * WMF(unobserved_weight=2.4).ridge(log))
    assert twice.ridge(log) < 2 * begin.ridge(log)


def test_a_large_catalogue_keeps_the_lambda_of_ease_that_noise_gives() -> None:
    train, later = (np.pad(log, ((0, 0), (0, 5000))) for log in neighbourhoods(2 * FEWEST, 0.5))

    fitted = EASE(neighbourhood=5).fit(prepared(scores(train), later), seed=0, device="cpu", progress=silent)

    assert fitted.metrics["regularization"] == EASE().ridge(scores(train)) == 100  # noise alone would say less


def test_the_lambda_of_ease_is_the_largest_eigenvalue_of_noise() -> None:
    rng = np.random.default_rng(0)
    log = (rng.random((2000, 500)) < 0.1).astype(np.float32)
    centred = log - log.mean()

    assert EASE().ridge(scores(log)) == pytest.approx(np.linalg.eigvalsh(centred.T @ centred)[-1], rel=0.15)
    assert EASE(regularization=7).ridge(scores(log)) == 7


def test_guests_choose_a_lambda_of_their_own() -> None:
    train, later = neighbourhoods(2 * FEWEST, 0.5)
    data = prepared(scores(train), later)
    far_too_much = WMF(dim=8, regularization=0.02, guest_regularization=10.0).fit(
        data, seed=0, device="cpu", progress=silent
    )

    chosen = WMF(dim=8, regularization=0.02).fit(data, seed=0, device="cpu", progress=silent)

    np.testing.assert_array_equal(chosen.arrays["user_factors"], far_too_much.arrays["user_factors"])
    fold_in = FactorsScoring.model_validate(chosen.scoring).fold_in
    assert fold_in.guest_regularization == chosen.metrics["guest_regularization"] < 10
    worth = [
        Jury.of(data, seed=0).of_guests(served(WMF.kind, fitted.scoring, fitted.arrays, data.interactions)).mean()
        for fitted in (chosen, far_too_much)
    ]
    assert worth[0] > worth[1]
