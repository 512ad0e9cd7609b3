"""Four ways to the same minimum, judged by the textbook."""

from collections.abc import Iterator
from itertools import islice, pairwise

import numba
import numpy as np
import pytest
import torch

from tests.wmf.worlds import fit, listening, textbook_epoch, textbook_loss
from training.als import conjugate_gradient
from training.als.alternating import alternate
from training.als.objective import Objective, loss
from training.factors import Factors
from training.models.wmf import WMF, random_factors

EXACT = ["cholesky", "batched"]
FAST = ["cg", *EXACT]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def minimise(solver: str, objective: Objective, start: Factors) -> Iterator[Factors]:
    name, _, device = solver.partition("-")
    return WMF.preset(overrides={"solver": name}).minimise(objective, start, 0, device or "cpu")


@pytest.mark.parametrize("solver", [*EXACT, pytest.param("batched-cuda", marks=CUDA)])
@pytest.mark.parametrize("preset", ["default", "original"])
@pytest.mark.parametrize("dim", [1, 3, 40])  # histories of 0 to 20 tracks: longer than dim, of both kinds, shorter
def test_exact_solvers_equal_the_textbook(solver: str, preset: str, dim: int) -> None:
    model = WMF.preset(preset)
    objective = model.objective(listening(30, 24), model.ridge(listening(30, 24)))
    start = random_factors(30, 24, dim, seed=0)
    users, items = textbook_epoch(objective, start.items.astype(np.float64))
    users, items = textbook_epoch(objective, items)

    found = list(islice(minimise(solver, objective, start), 2))[-1]

    # Factors are unique up to a rotation, scores and lengths are not touched by it.
    np.testing.assert_allclose(found.users @ found.items.T, users @ items.T, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(found.items, axis=1), np.linalg.norm(items, axis=1), atol=2e-3)


def test_conjugate_gradient_solves_short_histories_exactly_and_long_ones_nearly() -> None:
    objective = WMF().objective(listening(30, 24), 0.1)
    start = random_factors(30, 24, 16, seed=0)
    users, items = textbook_epoch(objective, start.items.astype(np.float64))

    found = next(alternate(objective, start, conjugate_gradient.solve_rows))

    best = textbook_loss(objective, Factors(users.astype(np.float32), items.astype(np.float32)))
    assert loss(objective, found) == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize("solver", FAST)
@pytest.mark.parametrize("preset", ["default", "original"])
def test_no_epoch_raises_the_loss(solver: str, preset: str) -> None:
    model = WMF.preset(preset)
    objective = model.objective(listening(50, 40), model.ridge(listening(50, 40)))
    epochs = islice(minimise(solver, objective, random_factors(50, 40, 8, seed=1)), 12)

    losses = [loss(objective, factors) for factors in epochs]

    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(losses))


@pytest.mark.parametrize(("preset", "regularization"), [("default", 0.01), ("original", 100)])
def test_all_solvers_reach_the_same_loss(preset: str, regularization: float) -> None:
    # With dim as large as the smaller side there is one minimum (it is a convex problem in X Y').
    objective = WMF.preset(preset).objective(listening(12, 10), regularization)
    start = random_factors(12, 10, 10, seed=0)
    epochs = {**dict.fromkeys(FAST, 200), "sgd": 1500}

    losses = {
        name: loss(objective, list(islice(minimise(name, objective, start), n))[-1]) for name, n in epochs.items()
    }

    for solver in FAST:
        assert losses[solver] == pytest.approx(losses["cholesky"], rel=1e-3)
    assert losses["sgd"] == pytest.approx(losses["cholesky"], rel=0.01)  # AdamW decays beside the regularisation


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
def test_the_number_of_threads_changes_no_bit(solver: str, all_threads: int) -> None:
    heard = listening(700, 300)
    model = WMF(dim=24, epochs=3, solver=solver)

    alone = fit(model, heard)
    numba.set_num_threads(all_threads)
    together = fit(model, heard)

    np.testing.assert_array_equal(alone.users, together.users)
    np.testing.assert_array_equal(alone.items, together.items)


@pytest.mark.parametrize("solver", [*FAST, "sgd"])
def test_the_same_seed_gives_the_same_factors_and_another_seed_others(solver: str) -> None:
    model = WMF(dim=3, epochs=2, solver=solver)

    first, again, other = (fit(model, listening(20, 15), seed) for seed in (7, 7, 8))

    np.testing.assert_array_equal(first.users, again.users)
    np.testing.assert_array_equal(first.items, again.items)
    assert not np.array_equal(first.items, other.items)


@pytest.mark.parametrize("solver", FAST)
def test_who_liked_nothing_gets_zeros(solver: str) -> None:
    found = fit(WMF(dim=5, solver=solver), listening(30, 24))  # track 1 was only skipped

    np.testing.assert_allclose(found.items[1], 0, atol=1e-12)  # below, conjugate gradient stops
    assert np.abs(found.items[[0, 2]]).max(axis=1).min() > 0
