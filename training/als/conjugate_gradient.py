"""Solve rows approximately: a few warm-started steps of preconditioned conjugate gradient."""

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from training.als.objective import BLOCK, Cells
from training.compiled import compiled, compiled_parallel
from training.factors import Floats

STEPS: Final = 3
"""Steps a row; with the start from the last epoch more of them change nothing that matters."""


@compiled_parallel
def solve_rows(cells: Cells, spectrum: Floats, fixed: Floats, factors: Floats) -> None:
    """Move every row of `factors` towards the solution of its normal equations, in place.

    (D + Y_S' E Y_S) x = Y_S' t with D = diag(spectrum + lambda_u), E = diag(c - w0) and t = c p: conjugate gradient
    (Takacs, Pilaszy & Tikk, RecSys 2011), preconditioned by D. What D leaves over has the rank of the row's history,
    which is why short rows are solved almost exactly.
    """
    indptr, columns, excess, target, regularization = cells
    rows, dim = factors.shape
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, min(rows, (block + 1) * BLOCK)
        longest = np.max(indptr[first + 1 : last + 1] - indptr[first:last])
        history = np.empty((longest, dim), dtype=np.float32)
        # One allocation each: as rows of one array they are taken for aliases, and nothing is vectorised.
        diagonal = np.empty(dim, dtype=np.float32)
        residual = np.empty(dim, dtype=np.float32)
        direction = np.empty(dim, dtype=np.float32)
        product = np.empty(dim, dtype=np.float32)
        for row in range(first, last):
            own = slice(indptr[row], indptr[row + 1])
            for k in range(dim):
                diagonal[k] = spectrum[k] + regularization[row]
            x = factors[row]
            _gather(fixed, columns[own], excess[own], target[own], diagonal, x, history, residual)
            _iterate(history, excess[own], diagonal, x, residual, direction, product)


@compiled
def _gather(
    fixed: Floats,
    columns: NDArray[np.int32],
    excess: Floats,
    target: Floats,
    diagonal: Floats,
    x: Floats,
    history: Floats,
    residual: Floats,
) -> None:
    """Write Y_S to the head of `history`, and Y_S' t - (D + Y_S' E Y_S) x to `residual` in the same pass."""
    dim = len(x)
    for k in range(dim):
        residual[k] = -diagonal[k] * x[k]
    for j in range(len(columns)):
        y = fixed[columns[j]]
        score = np.float32(0)
        for k in range(dim):
            history[j, k] = y[k]
            score += x[k] * y[k]
        missing = target[j] - excess[j] * score
        for k in range(dim):
            residual[k] += missing * y[k]


@compiled
def _iterate(
    history: Floats,
    excess: Floats,
    diagonal: Floats,
    x: Floats,
    residual: Floats,
    direction: Floats,
    product: Floats,
) -> None:
    """Improve `x`, whose residual is given, by conjugate gradient; `residual` and what follows are used up."""
    dim = len(x)
    rho = np.float32(0)
    for k in range(dim):
        direction[k] = residual[k] / diagonal[k]
        rho += residual[k] * direction[k]
    solved = rho * np.float32(1e-12) + np.float32(1e-30)  # below, float32 ends and rho / curvature with it
    for _ in range(STEPS):
        if rho <= solved:
            break
        _multiply(history, excess, diagonal, direction, product)
        curvature = np.float32(0)
        for k in range(dim):
            curvature += direction[k] * product[k]
        step, last_rho = rho / curvature, rho
        rho = np.float32(0)
        for k in range(dim):
            x[k] += step * direction[k]
            residual[k] -= step * product[k]
            rho += residual[k] * residual[k] / diagonal[k]
        for k in range(dim):
            direction[k] = residual[k] / diagonal[k] + rho / last_rho * direction[k]


@compiled
def _multiply(history: Floats, excess: Floats, diagonal: Floats, x: Floats, out: Floats) -> None:
    """Write (D + Y_S' E Y_S) x to `out`; four rows at a time, so that x and out are read once for four."""
    dim, n = len(x), len(excess)
    for k in range(dim):
        out[k] = diagonal[k] * x[k]
    for j in range(0, n - 3, 4):
        y0, y1, y2, y3 = history[j], history[j + 1], history[j + 2], history[j + 3]
        s0 = s1 = s2 = s3 = np.float32(0)
        for k in range(dim):
            s0 += x[k] * y0[k]
            s1 += x[k] * y1[k]
            s2 += x[k] * y2[k]
            s3 += x[k] * y3[k]
        s0 *= excess[j]
        s1 *= excess[j + 1]
        s2 *= excess[j + 2]
        s3 *= excess[j + 3]
        for k in range(dim):
            out[k] += s0 * y0[k] + s1 * y1[k] + s2 * y2[k] + s3 * y3[k]
    for j in range(n - n % 4, n):
        s = np.float32(0)
        for k in range(dim):
            s += x[k] * history[j, k]
        s *= excess[j]
        for k in range(dim):
            out[k] += s * history[j, k]
