"""EASE against its formula, item-kNN against counting, on a log small enough to invert by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from service.core.ids import IdIndex
from training.data import Interactions, Pairs, PreparedData
from training.models.algorithm import silent
from training.models.ease import EASE
from training.models.item_knn import ItemKNN

NOBODY = np.empty(0, dtype=np.int64)


def prepared(scores: np.ndarray) -> PreparedData:
    matrix = csr_array(scores.astype(np.float32))
    interactions = Interactions(
        IdIndex(f"u{row}" for row in range(scores.shape[0])),
        IdIndex(f"t{row}" for row in range(scores.shape[1])),
        matrix,
    )
    held_out = Pairs(NOBODY, NOBODY, NOBODY.astype(np.float32))
    return PreparedData(interactions, held_out, held_out, [], "")


def weights(algorithm: EASE | ItemKNN, scores: np.ndarray) -> np.ndarray:
    """B as a table, (tracks, tracks)."""
    arrays = algorithm.fit(prepared(scores), seed=0, device="cpu", progress=silent).arrays
    tracks = scores.shape[1]
    return csr_array(
        (arrays["neighbour_weights"], arrays["neighbour_rows"], arrays["neighbour_indptr"]), shape=(tracks, tracks)
    ).toarray()


def closed_form(scores: np.ndarray, regularization: float) -> np.ndarray:
    """Steck 2019, equation 8: B = I - P diag(P)^-1."""
    played = (scores > 0).astype(float)
    inverse = np.linalg.inv(played.T @ played + regularization * np.eye(scores.shape[1]))
    table = np.eye(scores.shape[1]) - inverse / np.diag(inverse)
    np.fill_diagonal(table, 0)
    return table


def random_log(seed: int, users: int = 60, tracks: int = 25) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.3, size=(users, tracks))


@pytest.mark.parametrize("neighbourhood", [0, 24], ids=["exact", "all others as neighbours"])
@given(seed=st.integers(0, 10**6), regularization=st.sampled_from([0.5, 5.0, 500.0]))
def test_weights_are_those_of_the_closed_form(neighbourhood: int, seed: int, regularization: float) -> None:
    log = random_log(seed)

    table = weights(EASE(regularization=regularization, neighbourhood=neighbourhood), log)

    assert table == pytest.approx(closed_form(log, regularization), abs=2e-4)


def test_a_neighbourhood_is_the_ridge_regression_on_the_nearest() -> None:
    #        a  b  c  d
    log = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 1]])

    table = weights(EASE(regularization=1.0, neighbourhood=2), log)

    # in common with a: b 2 of 3, c 2 of 2, d 1 of 2; so c and b are nearest, d is left out
    played = log[:, [2, 1]]
    expected = np.linalg.solve(played.T @ played + np.eye(2), played.T @ log[:, 0])
    assert table[[2, 1, 3], 0] == pytest.approx([*expected, 0], abs=1e-6)


def test_only_the_strongest_weights_of_a_row_are_kept() -> None:
    log = random_log(1)

    table = weights(EASE(regularization=5.0, kept=3), log)

    whole = closed_form(log, 5.0)
    for row, kept in zip(whole, table, strict=True):
        strongest = np.argsort(-np.abs(row))[:3]
        assert set(np.flatnonzero(kept)) == set(strongest)


def test_a_track_never_speaks_for_itself() -> None:
    for algorithm in (EASE(), EASE(neighbourhood=5), ItemKNN()):
        assert np.diag(weights(algorithm, random_log(2))) == pytest.approx(0)


def test_neighbours_are_those_whom_the_same_people_play() -> None:
    #        a  b  c
    log = np.array([[1, 2, 0], [3, 1, 0], [0, 0, 1], [0, 1, 1]])

    cosine = weights(ItemKNN(shrinkage=0), log)
    jaccard = weights(ItemKNN(shrinkage=0, normalization="jaccard"), log)
    likely = weights(ItemKNN(shrinkage=0, normalization="asymmetric", asymmetry=1.0), log)

    assert cosine[0, 1] == pytest.approx(2 / np.sqrt(2 * 3))  # two play both, two play a, three b
    assert jaccard[0, 1] == pytest.approx(2 / 3)
    assert likely[0, 1] == pytest.approx(1.0)  # who plays a plays b
    assert likely[1, 0] == pytest.approx(2 / 3)
    assert cosine[0, 2] == 0


def test_shrinkage_trusts_few_listeners_less() -> None:
    log = np.zeros((30, 4))
    log[0, :2] = 1  # a and b: one listener, the same
    log[1:21, 2:] = 1  # c and d: twenty

    table = weights(ItemKNN(shrinkage=20), log)

    assert table[0, 1] == pytest.approx(1 / 21)
    assert table[2, 3] == pytest.approx(20 / 40)


@pytest.mark.parametrize("algorithm", [EASE(), EASE(neighbourhood=2), ItemKNN()], ids=["ease", "local", "item_knn"])
def test_what_was_only_skipped_stays_in_the_history_and_out_of_the_model(algorithm: EASE | ItemKNN) -> None:
    data = prepared(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]]))
    data.interactions.matrix.data[0] = 0  # the first user skipped the first track

    arrays = algorithm.fit(data, seed=0, device="cpu", progress=silent).arrays

    assert data.interactions.matrix.nnz == 7
    assert arrays["profile_weights"].tolist() == [0, 1, 1, 1, 1, 1, 1]
