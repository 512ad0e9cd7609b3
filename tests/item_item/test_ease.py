"""EASE against its formula, item-kNN against counting, on a log small enough to invert by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from service.core.catalogue import TrackInfo
from service.core.ids import IdIndex
from training.data import Interactions, Pairs, PreparedData
from training.models.algorithm import silent
from training.models.ease import EASE
from training.models.item_knn import ItemKNN

NOBODY = np.empty(0, dtype=np.int64)


def plain(algorithm: type[EASE] | type[ItemKNN], **parameters: object) -> EASE | ItemKNN:
    """The algorithm as its inventors wrote it, but for these parameters."""
    return algorithm.preset("original", parameters)


def prepared(
    scores: np.ndarray, positions: list[int] | None = None, catalogue: list[TrackInfo] | None = None
) -> PreparedData:
    interactions = Interactions(
        IdIndex(f"u{row}" for row in range(scores.shape[0])),
        IdIndex(f"t{row}" for row in range(scores.shape[1])),
        csr_array(scores.astype(np.float32)),
        None if positions is None else np.array(positions, dtype=np.int32),
    )
    held_out = Pairs(NOBODY, NOBODY, NOBODY.astype(np.float32))
    return PreparedData(interactions, held_out, held_out, catalogue or [TrackInfo()] * scores.shape[1], "")


def weights(algorithm: EASE | ItemKNN, scores: np.ndarray, catalogue: list[TrackInfo] | None = None) -> np.ndarray:
    """B as a table, (tracks, tracks)."""
    arrays = algorithm.fit(prepared(scores, None, catalogue), seed=0, device="cpu", progress=silent).arrays
    tracks = scores.shape[1]
    return csr_array(
        (arrays["neighbour_weights"], arrays["neighbour_rows"], arrays["neighbour_indptr"]), shape=(tracks, tracks)
    ).toarray()


def closed_form(played: np.ndarray, regularization: float, dropout: float = 0.0) -> np.ndarray:
    """Steck 2019, equation 8, B = I - P diag(P)^-1, with the ridge of Steck 2020 for the dropout."""
    gram = played.T.astype(float) @ played
    ridge = regularization + dropout / (1 - dropout) * np.diag(gram)
    inverse = np.linalg.inv(gram + np.diag(ridge))
    table = np.eye(len(gram)) - inverse / np.diag(inverse)
    np.fill_diagonal(table, 0)
    return table


def random_log(seed: int, users: int = 60, tracks: int = 25) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.3, size=(users, tracks))


@pytest.mark.parametrize("neighbourhood", [0, 24], ids=["exact", "all others as neighbours"])
@given(seed=st.integers(0, 10**6), regularization=st.sampled_from([0.5, 5.0, 500.0]))
def test_weights_are_those_of_the_closed_form(neighbourhood: int, seed: int, regularization: float) -> None:
    log = random_log(seed)

    table = weights(plain(EASE, regularization=regularization, neighbourhood=neighbourhood), log)

    assert table == pytest.approx(closed_form(log > 0, regularization), abs=2e-4)


@pytest.mark.parametrize("neighbourhood", [0, 24], ids=["exact", "all others as neighbours"])
def test_gaps_long_histories_and_albums_are_rows_and_ridges_of_the_closed_form(neighbourhood: int) -> None:
    log = random_log(4)
    catalogue = [TrackInfo(album_id=f"album {row // 3}", artist_id=None if row else "alone") for row in range(25)]
    algorithm = EASE(
        regularization=5.0,
        dropout=0.2,
        length_exponent=0.5,
        album_weight=4.0,
        artist_weight=9.0,
        neighbourhood=neighbourhood,
    )

    table = weights(algorithm, log, catalogue)

    played = (log > 0).astype(float)
    counts = np.maximum(played.sum(axis=1), 1) ** -0.5
    counts *= played.sum() / (counts @ played.sum(axis=1))  # mean 1 over all pairs
    albums = 2.0 * (np.arange(25) // 3 == np.arange(8)[:, None])  # 4 listeners each; one artist has one track only
    rows = np.vstack([np.sqrt(counts)[:, None] * played, albums])
    assert table == pytest.approx(closed_form(rows, 5.0, dropout=0.2), abs=2e-4)


def test_a_neighbourhood_is_the_ridge_regression_on_the_nearest() -> None:
    #        a  b  c  d
    log = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 1]])

    table = weights(plain(EASE, regularization=1.0, neighbourhood=2), log)

    # in common with a: b 2 of 3, c 2 of 2, d 1 of 2; so c and b are nearest, d is left out
    played = log[:, [2, 1]]
    expected = np.linalg.solve(played.T @ played + np.eye(2), played.T @ log[:, 0])
    assert table[[2, 1, 3], 0] == pytest.approx([*expected, 0], abs=1e-6)


def test_only_the_strongest_weights_of_a_row_are_kept() -> None:
    log = random_log(1)

    table = weights(plain(EASE, regularization=5.0, kept=3), log)

    whole = closed_form(log > 0, 5.0)
    for row, kept in zip(whole, table, strict=True):
        strongest = np.argsort(-np.abs(row))[:3]
        assert set(np.flatnonzero(kept)) == set(strongest)


def test_a_track_never_speaks_for_itself() -> None:
    for algorithm in (EASE(), EASE(neighbourhood=5), ItemKNN()):
        assert np.diag(weights(algorithm, random_log(2))) == pytest.approx(0)


def test_neighbours_are_those_whom_the_same_people_play() -> None:
    #        a  b  c
    log = np.array([[1, 2, 0], [3, 1, 0], [0, 0, 1], [0, 1, 1]])

    cosine = weights(plain(ItemKNN, shrinkage=0), log)
    jaccard = weights(plain(ItemKNN, shrinkage=0, normalization="jaccard"), log)
    likely = weights(plain(ItemKNN, shrinkage=0, normalization="asymmetric", asymmetry=1.0), log)

    assert cosine[0, 1] == pytest.approx(2 / np.sqrt(2 * 3))  # two play both, two play a, three b
    assert jaccard[0, 1] == pytest.approx(2 / 3)
    assert likely[0, 1] == pytest.approx(1.0)  # who plays a plays b
    assert likely[1, 0] == pytest.approx(2 / 3)
    assert cosine[0, 2] == 0


def test_shrinkage_trusts_few_listeners_less() -> None:
    log = np.zeros((30, 4))
    log[0, :2] = 1  # a and b: one listener, the same
    log[1:21, 2:] = 1  # c and d: twenty

    table = weights(plain(ItemKNN, shrinkage=20), log)

    assert table[0, 1] == pytest.approx(1 / 21)
    assert table[2, 3] == pytest.approx(20 / 40)


def test_what_everybody_plays_says_less_of_a_listener() -> None:
    #        a  b  c
    log = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 1], [1, 1, 0]])

    table = weights(plain(ItemKNN, shrinkage=0, popularity_exponent=0.5), log)

    assert table[0, 1] == pytest.approx(2**-0.5 * 2 / np.sqrt(2 * 4))  # a has two listeners
    assert table[1, 0] == pytest.approx(4**-0.5 * 2 / np.sqrt(2 * 4))  # b has four


def test_tracks_of_an_album_are_neighbours_though_nobody_plays_both() -> None:
    log = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    catalogue = [TrackInfo(album_id="one"), TrackInfo(album_id="one"), TrackInfo()]

    for algorithm in (EASE(), EASE(neighbourhood=2), ItemKNN()):
        table = weights(algorithm, log, catalogue)

        assert table[0, 1] > 0
        assert table[0, 2] == 0


def test_the_end_of_an_ordered_history_counts_more() -> None:
    data = prepared(np.array([[1, 1, 1, 1], [1, 0, 1, 0]]), positions=[7, 0, 5, 2, -1, -1])

    for algorithm in (EASE(tail_boost=3.0, tail_length=2), ItemKNN(tail_boost=3.0, tail_length=2)):
        profiles = algorithm.fit(data, seed=0, device="cpu", progress=silent).arrays["profile_weights"]

        assert profiles.tolist() == [3, 1, 2, 1, 1, 1]  # at 7 the last, at 5 the one before; the second has no order


@pytest.mark.parametrize("algorithm", [EASE(), EASE(neighbourhood=2), ItemKNN()], ids=["ease", "local", "item_knn"])
def test_what_was_only_skipped_stays_in_the_history_and_out_of_the_model(algorithm: EASE | ItemKNN) -> None:
    data = prepared(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]]))
    data.interactions.matrix.data[0] = 0  # the first user skipped the first track

    arrays = algorithm.fit(data, seed=0, device="cpu", progress=silent).arrays

    assert data.interactions.matrix.nnz == 7
    assert arrays["profile_weights"].tolist() == [0, 1, 1, 1, 1, 1, 1]


def test_the_bar_says_when_the_matrix_is_inverted() -> None:
    shown: list[tuple[int, int, str]] = []

    plain(EASE).fit(
        prepared(np.eye(3)),
        seed=0,
        device="cpu",
        progress=lambda done, total, note="": shown.append((done, total, note)),
    )

    assert shown == [(3, 9, "counting"), (3, 9, "inverting"), (9, 9, "keeping the strongest")]
