"""Worlds for factorisation, and the textbook that judges the fast solvers: dense, in float64, one row after another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from service.core.catalogue import TrackInfo
from service.core.ids import IdIndex
from training.als.objective import Objective
from training.data import Interactions, Pairs, PreparedData
from training.factors import Factors
from training.models.algorithm import silent
from training.models.wmf import WMF

Table = NDArray[np.float64]
Rows = Sequence[Sequence[float]] | NDArray[np.float32]

CHECKERBOARD = np.add.outer(np.arange(12), np.arange(10)) % 2 * np.float32(1)
"""Every even user likes every odd track, every odd user every even one."""


def prepared(train: csr_array, validation: Rows | None = None) -> PreparedData:
    """Prepared data of scores (users, tracks); explicit zeros were heard and skipped."""
    users, tracks = train.shape
    held_out = csr_array(np.zeros((users, tracks)) if validation is None else np.asarray(validation)).tocoo()
    pairs = Pairs(held_out.row.astype(np.int64), held_out.col.astype(np.int64), held_out.data.astype(np.float32))
    nothing = Pairs(pairs.user_rows[:0], pairs.track_rows[:0], pairs.scores[:0])
    ids = (IdIndex(f"u{row}" for row in range(users)), IdIndex(f"t{row}" for row in range(tracks)))
    return PreparedData(Interactions(*ids, train), pairs, nothing, [TrackInfo()] * tracks, "")


def scores(rows: Rows) -> csr_array:
    return csr_array(np.asarray(rows, dtype=np.float32))


def sparse(values: Sequence[float], rows: Sequence[int], columns: Sequence[int], shape: tuple[int, int]) -> csr_array:
    """Scores of single cells, where a 0 is stored."""
    return csr_array((np.array(values, dtype=np.float32), (np.array(rows), np.array(columns))), shape=shape)


def listening(users: int, tracks: int, seed: int = 0) -> csr_array:
    """Plays of two tastes with some noise; user 0 and track 0 have one play each, track 1 was only skipped."""
    rng = np.random.default_rng(seed)
    taste = np.add.outer(np.arange(users), np.arange(tracks)) % 2
    plays = rng.poisson(0.2 + 0.8 * taste).astype(np.float32)
    plays[0], plays[:, :2] = 0, 0
    plays[0, 2], plays[1, 0] = 1, 1
    plays[plays.sum(axis=1) == 0, 2] = 1
    rows, columns = np.nonzero(plays)
    return sparse([*plays[rows, columns], 0], [*rows, 3], [*columns, 1], (users, tracks))


def fit(model: WMF, train: csr_array, seed: int = 0) -> Factors:
    arrays = model.fit(prepared(train), seed=seed, device="cpu", progress=silent).arrays
    return Factors(*(np.asarray(arrays[name], dtype=np.float32) for name in ("user_factors", "item_factors")))


def dense(objective: Objective) -> tuple[Table, Table]:
    """Return c and p (users, tracks)."""
    confidence, preference = np.full(objective.shape, objective.unobserved_weight), np.zeros(objective.shape)
    indptr, columns, excess, target, _ = objective.by_user
    for user in range(len(indptr) - 1):
        for cell in range(indptr[user], indptr[user + 1]):
            confidence[user, columns[cell]] += excess[cell]
            preference[user, columns[cell]] = target[cell] > 0
    return confidence, preference


def textbook_loss(objective: Objective, factors: Factors) -> float:
    users, items = (side.astype(np.float64) for side in factors)
    confidence, preference = dense(objective)
    penalty = objective.by_user.regularization @ (users**2).sum(axis=1)
    penalty += objective.by_item.regularization @ (items**2).sum(axis=1)
    return float((confidence * (preference - users @ items.T) ** 2).sum() + penalty)


def textbook_rows(confidence: Table, preference: Table, ridge: NDArray[np.float32], y: Table) -> Table:
    """Return x_u = (Y'C_uY + lambda_u I)^-1 Y'C_u p_u for every row, equation 4 of Hu et al. 2008."""
    return np.array(
        [
            np.linalg.solve((y.T * c) @ y + regularization * np.eye(y.shape[1]), (y.T * c) @ p)
            for c, p, regularization in zip(confidence, preference, ridge, strict=True)
        ]
    )


def textbook_epoch(objective: Objective, items: Table) -> tuple[Table, Table]:
    """Return the best users for these tracks, and the best tracks for those users."""
    confidence, preference = dense(objective)
    users = textbook_rows(confidence, preference, objective.by_user.regularization, items)
    return users, textbook_rows(confidence.T, preference.T, objective.by_item.regularization, users)
