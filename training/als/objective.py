"""What weighted matrix factorisation minimises, and how much of it is left."""

from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from service.core.errors import TrainingError
from training.compiled import ONE_BLAS_THREAD, compiled_parallel
from training.factors import Factors, Floats

BLOCK: Final = 64
"""Rows a thread takes at a time: enough to share one workspace, few enough to keep all threads busy."""


class Cells(NamedTuple):
    """The observed cells as seen from one side: row r owns `indptr[r]:indptr[r + 1]`."""

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    excess: Floats
    """c - w0 > 0, what an observed cell weighs beyond an unobserved one."""
    target: Floats
    """c p, the pull of a cell on the right side of the normal equations."""
    regularization: Floats
    """lambda_r of each row."""


class Objective(NamedTuple):
    """sum_ui c_ui (p_ui - x_u . y_i)^2 + sum_u lambda_u |x_u|^2 + sum_i lambda_i |y_i|^2.

    c and p are given where a cell is observed; everywhere else c = w0 and p = 0.
    """

    by_user: Cells
    by_item: Cells
    unobserved_weight: float
    """w0."""

    @property
    def shape(self) -> tuple[int, int]:
        """Users and tracks."""
        return len(self.by_user.regularization), len(self.by_item.regularization)


def make_objective(
    observed: csr_array,
    excess: Floats,
    liked: NDArray[np.bool_],
    unobserved_weight: float,
    regularization: float,
    frequency_exponent: float,
) -> Objective:
    """Return the objective for c = w0 + excess and p = liked, both given for the stored cells of `observed`.

    lambda_u = lambda (|S_u| + w0 n)^nu, S_u the cells of user u with p = 1 and n the number of tracks, and likewise
    for tracks (Rendle et al., "Revisiting the Performance of iALS", RecSys 2022, equation 7).
    """
    if not (np.isfinite(excess) & (excess > 0)).all():
        raise TrainingError("an observed cell has to weigh more than an unobserved one, and finitely much")

    def side(matrix: csr_array, cells: NDArray[np.int64]) -> Cells:
        rows, columns = matrix.shape
        p = liked[cells]
        likes = np.bincount(np.repeat(np.arange(rows), np.diff(matrix.indptr)), weights=p, minlength=rows)
        ridge = regularization * (likes + unobserved_weight * columns) ** frequency_exponent
        if not (ridge <= np.finfo(np.float32).max).all():
            raise TrainingError(f"lambda_u reaches {ridge.max():.3g}, which is not finite in single precision")
        return Cells(
            indptr=matrix.indptr.astype(np.int64),
            columns=matrix.indices.astype(np.int32),
            excess=excess[cells],
            target=(np.float32(unobserved_weight) + excess[cells]) * p,
            regularization=ridge.astype(np.float32),
        )

    # The matrix carries the number of each cell, so that its transpose says where the cell went.
    numbered = csr_array((np.arange(len(excess)), observed.indices, observed.indptr), shape=observed.shape)
    transposed = numbered.T.tocsr()
    return Objective(side(numbered, numbered.data), side(transposed, transposed.data), unobserved_weight)


def loss(objective: Objective, factors: Factors) -> float:
    """Return the value of the objective.

    The unobserved cells cost dim^2 a row instead of dim a cell: sum_ui (x_u . y_i)^2 = sum of X'X * Y'Y.
    """
    users, items = factors
    everywhere = objective.unobserved_weight * float(np.sum(gramian(users) * gramian(items)))
    observed = float(_observed_loss(*objective.by_user[:4], users, items).sum())
    return everywhere + observed + _penalty(objective.by_user, users) + _penalty(objective.by_item, items)


def gramian(factors: Floats) -> NDArray[np.float64]:
    """Return Y'Y (dim, dim); its blocks are added in order, so the number of threads changes nothing."""
    with ONE_BLAS_THREAD.limit(limits=1):
        return np.asarray(_block_gramians(factors).sum(axis=0, dtype=np.float64))


def _penalty(cells: Cells, factors: Floats) -> float:
    return float(np.dot(cells.regularization, np.einsum("rk,rk->r", factors, factors, dtype=np.float64)))


@compiled_parallel
def _block_gramians(factors: Floats) -> Floats:
    rows, dim = factors.shape
    size = 1024
    blocks = (rows + size - 1) // size
    out = np.empty((blocks, dim, dim), dtype=np.float32)
    for block in numba.prange(blocks):
        part = factors[block * size : min(rows, (block + 1) * size)]
        np.dot(part.T, part, out[block])
    return out


@compiled_parallel
def _observed_loss(
    indptr: NDArray[np.int64], columns: NDArray[np.int32], excess: Floats, target: Floats, users: Floats, items: Floats
) -> NDArray[np.float64]:
    """Return for each user what the cells of S_u add to w0 s^2: (c - w0) s^2 - 2 c p s + c p, as p is 0 or 1."""
    rows, dim = users.shape
    out = np.empty(rows, dtype=np.float64)
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        for user in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            total = 0.0
            for cell in range(indptr[user], indptr[user + 1]):
                item = columns[cell]
                score = np.float32(0)
                for k in range(dim):
                    score += users[user, k] * items[item, k]
                total += excess[cell] * score * score - 2 * target[cell] * score + target[cell]
            out[user] = total
    return out
