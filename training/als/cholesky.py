"""Solve rows exactly, through the smaller of two systems."""

import numba
import numpy as np

from training.als.objective import BLOCK, Cells
from training.compiled import compiled, compiled_parallel
from training.factors import Floats


@compiled_parallel
def solve_rows(cells: Cells, spectrum: Floats, fixed: Floats, factors: Floats) -> None:
    """Replace every row of `factors` by the solution of its normal equations.

    With D = diag(spectrum + lambda_u), E = diag(c - w0), V = E^1/2 Y_S D^-1/2 and t = c p over the n cells of the row,

        n >= dim:  (I + V'V) z = V' E^-1/2 t,   x = D^-1/2 z           a dim x dim system
        n < dim:   (I + VV') w = E^-1/2 t,      x = D^-1/2 V' w        an n x n system, by (I + V'V) V' = V' (I + VV')

    and as most histories are shorter than dim, most rows cost n^2 dim instead of n dim^2 + dim^3 / 3.
    """
    indptr, columns, excess, target, regularization = cells
    rows, dim = factors.shape
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, min(rows, (block + 1) * BLOCK)
        longest = np.max(indptr[first + 1 : last + 1] - indptr[first:last])
        history = np.empty((longest, dim), dtype=np.float32)
        pull = np.empty(longest, dtype=np.float32)
        shrink = np.empty(dim, dtype=np.float32)
        z = np.empty(dim, dtype=np.float32)
        memory = np.empty(min(longest, dim) ** 2, dtype=np.float32)
        for row in range(first, last):
            begin, n = indptr[row], indptr[row + 1] - indptr[row]
            for k in range(dim):
                shrink[k] = 1 / np.sqrt(spectrum[k] + regularization[row])
            for j in range(n):
                y, root = fixed[columns[begin + j]], np.sqrt(excess[begin + j])
                pull[j] = target[begin + j] / root
                for k in range(dim):
                    history[j, k] = root * y[k] * shrink[k]
            v = history[:n]
            size = min(n, dim)
            system = memory[: size * size].reshape(size, size)
            if n < dim:
                np.dot(v, v.T, system)
                _solve_identity_plus(system, pull)
                _combine(v, pull, z)
            else:
                np.dot(v.T, v, system)
                _combine(v, pull, z)
                _solve_identity_plus(system, z)
            for k in range(dim):
                factors[row, k] = shrink[k] * z[k]


@compiled
def _combine(v: Floats, weights: Floats, out: Floats) -> None:
    """Write V'w to `out`."""
    for k in range(len(out)):
        out[k] = 0
    for j in range(len(v)):
        for k in range(len(out)):
            out[k] += weights[j] * v[j, k]


@compiled
def _solve_identity_plus(a: Floats, b: Floats) -> None:
    """Write (I + A)^-1 b to `b`: Cholesky by rows of the upper triangle, I + A = U'U, which ends up in `a`."""
    n = len(a)
    for i in range(n):
        a[i, i] += 1
    for i in range(n):
        root = 1 / np.sqrt(a[i, i])
        for k in range(i, n):
            a[i, k] *= root
        for j in range(i + 1, n):
            factor = a[i, j]
            for k in range(j, n):
                a[j, k] -= factor * a[i, k]
    for i in range(n):  # U'z = b
        b[i] /= a[i, i]
        for k in range(i + 1, n):
            b[k] -= a[i, k] * b[i]
    for i in range(n - 1, -1, -1):  # Ux = z
        total = np.float32(0)
        for k in range(i + 1, n):
            total += a[i, k] * b[k]
        b[i] = (b[i] - total) / a[i, i]
