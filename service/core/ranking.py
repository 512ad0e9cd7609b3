"""Exact top-k of score rows, best first."""

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 64
"""Width of a block in the two-level search; one maximum stands for each block."""

_DIRECT = 16
"""With fewer than this many blocks a pick, the two-level search cannot save anything."""


class Ranking(NamedTuple):
    """Tracks best first; both have one entry a track."""

    rows: Tensor
    scores: Tensor


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return values and columns, both (rows, min(k, columns)), of the k highest scores of each row, best first.

    Exact. The k best columns lie in the k blocks with the highest maxima (a column of any other block has
    k blocks before it that each hold something at least as good), so after one pass that takes the maxima only
    k * `BLOCK` columns are ever sorted. `scores` is (rows, columns).
    """
    columns = scores.shape[1]
    k = min(k, columns)
    blocks = columns // BLOCK
    if blocks < _DIRECT or k * 4 > blocks:
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
