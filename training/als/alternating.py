"""Alternating least squares: the best users for fixed tracks, then the best tracks for these users, and again."""

from collections.abc import Callable, Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from service.core.errors import TrainingError
from training.als.objective import Cells, Objective, gramian
from training.compiled import ONE_BLAS_THREAD, compiled_parallel
from training.factors import Factors, Floats

SolveRows = Callable[[Cells, Floats, Floats, Floats], None]
"""(cells, spectrum (dim,), fixed (columns, dim), factors (rows, dim)): improve the factors in place.

The fixed side comes in the basis of its Gramian, where w0 Y'Y is the diagonal matrix of `spectrum`.
"""


def alternate(objective: Objective, start: Factors, solve: SolveRows) -> Iterator[Factors]:
    """Yield the factors after every epoch, without end.

    Before each half both sides turn into the eigenbasis of the fixed side's Gramian. Scores and norms, and so the
    loss, stay. But w0 Y'Y + lambda_u I, which all rows share, becomes diagonal: a row costs only its own cells.
    """
    users, items = start
    while True:
        with ONE_BLAS_THREAD.limit(limits=1):
            users, items = _half_epoch(objective.by_user, objective.unobserved_weight, items, users, solve)
            items, users = _half_epoch(objective.by_item, objective.unobserved_weight, users, items, solve)
        yield Factors(users, items)


def _half_epoch(
    cells: Cells, unobserved_weight: float, fixed: Floats, factors: Floats, solve: SolveRows
) -> tuple[Floats, Floats]:
    """Return (factors, fixed): new factors of the rows, both sides in the basis of the fixed one."""
    spectrum, basis = eigenbasis(gramian(fixed))
    fixed, factors = _turn(fixed, basis), _turn(factors, basis)
    solve(cells, np.float32(unobserved_weight) * spectrum, fixed, factors)
    return factors, fixed


def eigenbasis(gram: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return eigenvalues (dim,) and eigenvectors as columns (dim, dim) of a Gramian."""
    if not np.isfinite(gram).all():
        raise TrainingError("the factors are not finite any more; give less weight or another regularization")
    spectrum, basis = np.linalg.eigh(gram)
    return np.maximum(spectrum, 0).astype(np.float32), np.ascontiguousarray(basis, dtype=np.float32)


@compiled_parallel
def _turn(factors: Floats, basis: Floats) -> Floats:
    """Return factors @ basis, block by block."""
    size = 256
    out = np.empty_like(factors)
    for block in numba.prange((len(factors) + size - 1) // size):
        rows = slice(block * size, min(len(factors), (block + 1) * size))
        np.dot(factors[rows], basis, out[rows])
    return out
