"""Exact top-k of score rows."""

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core import compiled

NONE: Final = -1
"""Stands where there is no track."""

BLOCK = 64
"""Width of a block in the two-level search; one maximum stands for each block."""

_DIRECT = 1 << 16
"""Up to so many scores one call is faster than the half dozen of the two-level search."""

_NARROWEST = 8
"""Blocks of fewer columns tell too little to be worth a pass."""


class Ranking(NamedTuple):
    """Tracks best first; both have one entry a track."""

    rows: Tensor
    scores: Tensor


class Contenders(NamedTuple):
    """The tracks of each group among which a race is run."""

    rows: NDArray[np.int64]
    """(groups, tracks) ascending, -1 where a group may get fewer."""
    votes: NDArray[np.float32]
    """(groups, members, tracks) what the members think of them, anything for -1."""
    tau: NDArray[np.float64]
    """(groups,) what the sums of the other tracks do not exceed."""


def sort_rows(scores: Tensor) -> Tensor:
    """Return each row of scores (rows, columns) in ascending order.

    On the CPU numpy sorts, whose vectorised sort of single precision measured 25 times torch's.
    """
    if scores.device.type == "cpu":
        return torch.from_numpy(np.sort(scores.numpy(), axis=-1))
    return scores.sort(dim=-1).values


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return values and columns, both (rows, min(k, columns)), of the k highest scores of each row, best first.

    Exact, and of equal scores the lower column comes first, so a short list is the head of a long one. `scores` is
    (rows, columns).
    """
    k = min(k, scores.shape[1])
    if _is_for_compiled(scores, k):
        best, places = compiled.best(scores.numpy(), k)
        return torch.from_numpy(best), torch.from_numpy(places)
    highest, columns = _highest(scores, min(k + 1, scores.shape[1]))
    values, found = highest.numpy(force=True), columns.numpy(force=True)
    if not (values[:, 1:] == values[:, :-1]).any():
        return highest[:, :k], columns[:, :k]
    if values.shape[1] > k:
        last = values[:, k - 1]
        for row in np.flatnonzero((last == values[:, k]) & (last > -np.inf)):
            found[row, :k] = _lowest_columns(scores[row].numpy(force=True), last[row], k)
    for row in np.flatnonzero((values[:, 1:k] == values[:, : k - 1]).any(axis=1)):
        found[row, :k] = found[row, np.lexsort((found[row, :k], -values[row, :k]))]
    return highest[:, :k], torch.from_numpy(found[:, :k]).to(scores.device)


def _lowest_columns(scores: NDArray[np.floating], last: np.floating, k: int) -> NDArray[np.int64]:
    """Return k columns of one row, best first: all better than `last`, the k-th best score, then its lowest equals."""
    better = np.flatnonzero(scores > last)
    equal = np.flatnonzero(scores == last)
    return np.concatenate([better[np.argsort(-scores[better], kind="stable")], equal[: k - len(better)]])


def _highest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k highest scores of each row, best first, with any of the columns that tie.

    The k best lie in the k blocks with the highest maxima (a column of any other block has k blocks before it that
    each hold something at least as good), so after one pass for the maxima only k * `BLOCK` columns are sorted.
    """
    columns = scores.shape[1]
    blocks = columns // BLOCK
    if scores.numel() < _DIRECT or k * 4 > blocks:
        values, found = torch.topk(scores, k, dim=1)
        return values, found
    head = scores[:, : blocks * BLOCK].reshape(len(scores), blocks, BLOCK)
    best_blocks = torch.topk(head.amax(dim=2), k, dim=1).indices
    candidates = head.gather(1, best_blocks[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    columns_of = (best_blocks[:, :, None] * BLOCK + torch.arange(BLOCK, device=scores.device)).flatten(1)
    if blocks * BLOCK < columns:
        tail = torch.arange(blocks * BLOCK, columns, device=scores.device).expand(len(scores), -1)
        candidates = torch.cat([candidates, scores[:, blocks * BLOCK :]], dim=1)
        columns_of = torch.cat([columns_of, tail], dim=1)
    values, found = torch.topk(candidates, k, dim=1)
    return values, columns_of.gather(1, found)


def highest(scores: Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the columns (rows, min(k, columns)) of the k highest scores of each row, ascending; -1 where that is -inf.

    Of equal scores the lower columns. The second array (rows,) says what no score that is left out exceeds.
    """
    k = min(k, scores.shape[1])
    if _is_for_compiled(scores, k):
        found, least = compiled.highest(scores.numpy(), k)
    else:
        values, columns = (part.numpy(force=True) for part in top_k(scores, k))
        found, least = np.sort(columns, axis=1), values[:, -1]
    if least.min() == -np.inf:
        found[scores.numpy(force=True)[np.arange(len(found))[:, None], found] == -np.inf] = -1
    return found, least.astype(np.float64)


def _is_for_compiled(scores: Tensor, k: int) -> bool:
    return compiled.BUILT and k > 0 and scores.dtype == torch.float32 and scores.device.type == "cpu"
