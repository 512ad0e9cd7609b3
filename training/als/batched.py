"""Alternating least squares in batches of rows of similar length, on any device of torch."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.als.alternating import eigenbasis
from training.als.objective import Cells, Objective
from training.factors import Factors

FLOATS_AT_ONCE: Final = {"cpu": 2**23, "cuda": 2**28}
"""Floats of one batch of histories: what stays in a CPU's caches, and 1 GiB on a GPU."""


class Bucket(NamedTuple):
    """Rows whose histories are padded to one length; a padded cell weighs nothing."""

    rows: Tensor
    """(n,) rows of the side that is solved."""
    columns: Tensor
    """(n, length) rows of the fixed side."""
    root: Tensor
    """(n, length) square root of c - w0."""
    pull: Tensor
    """(n, length) c p over that root."""


def alternate(objective: Objective, start: Factors, device: str) -> Iterator[Factors]:
    """Yield the factors after every epoch, without end: the exact solution of `cholesky`, batch by batch."""
    dim = start.items.shape[1]
    by_user, by_item = (list(buckets(cells, dim, device)) for cells in (objective.by_user, objective.by_item))
    user_ridge, item_ridge = (
        torch.from_numpy(cells.regularization).to(device) for cells in (objective.by_user, objective.by_item)
    )
    items = torch.from_numpy(start.items).to(device)
    while True:
        users, items = solve_side(by_user, user_ridge, objective.unobserved_weight, items)
        items, users = solve_side(by_item, item_ridge, objective.unobserved_weight, users)
        yield Factors(users.cpu().numpy(), items.cpu().numpy())


def buckets(cells: Cells, dim: int, device: str) -> Iterator[Bucket]:
    """Yield all rows with a cell, sorted by length, in batches that pad no history to twice its length."""
    lengths = np.diff(cells.indptr)
    order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    while len(order):
        shortest = lengths[order[0]]
        alike = np.searchsorted(lengths[order], 2 * shortest)
        # The batch holds n x length x dim histories, and n systems of at most dim x dim.
        most = max(1, FLOATS_AT_ONCE[torch.device(device).type] // int(dim * max(2 * shortest, dim)))
        rows, order = order[: min(alike, most)], order[min(alike, most) :]
        yield _padded(cells, rows, lengths[rows], device)


def _padded(cells: Cells, rows: np.ndarray, lengths: np.ndarray, device: str) -> Bucket:
    there = np.arange(lengths.max()) < lengths[:, None]
    cell = np.where(there, cells.indptr[rows][:, None] + np.arange(lengths.max()), 0)
    root = np.sqrt(cells.excess[cell])
    tables = (rows, cells.columns[cell].astype(np.int64), there * root, there * (cells.target[cell] / root))
    return Bucket(*(torch.from_numpy(table).to(device) for table in tables))


def solve_side(
    side: list[Bucket], regularization: Tensor, unobserved_weight: float, fixed: Tensor
) -> tuple[Tensor, Tensor]:
    """Return (factors, fixed): new factors (rows, dim), both in the basis of the fixed side's Gramian.

    The systems are those of `cholesky.solve_rows`.
    """
    # On the CPU: a GPU is slow at one small eigenvalue problem.
    gram = (fixed.T @ fixed).double().cpu().numpy()
    spectrum, basis = (torch.from_numpy(part).to(fixed) for part in eigenbasis(gram))
    fixed = fixed @ basis
    factors = torch.zeros(len(regularization), fixed.shape[1], device=fixed.device)
    for bucket in side:
        ridge = regularization[bucket.rows, None]
        shrink = torch.rsqrt(unobserved_weight * spectrum.clamp(min=0) + ridge)
        v = fixed[bucket.columns] * bucket.root[:, :, None] * shrink[:, None, :]
        pull = bucket.pull[:, :, None]
        solution = v.mT @ _solve(v @ v.mT, pull) if v.shape[1] < v.shape[2] else _solve(v.mT @ v, v.mT @ pull)
        factors[bucket.rows] = shrink * solution[:, :, 0]
    return factors, fixed


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """Return (I + A)^-1 b for a batch of systems; NaN where a system holds one."""
    a.diagonal(dim1=1, dim2=2).add_(1)
    lower, _ = torch.linalg.cholesky_ex(a)
    return torch.cholesky_solve(b, lower)
