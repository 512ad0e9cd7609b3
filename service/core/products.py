"""Dot products of listeners' vectors with item factors: compiled where that was built, else by torch."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core import compiled
from service.core.calibration import Calibration
from service.core.ranking import Contenders, highest

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Votes = NDArray[np.float32]

_CACHED: Final = 1 << 17
"""Votes held at a time on a CPU: they stay in the second-level cache of a core from pass to pass."""

_HELD: Final = 1 << 21
"""Votes held at a time elsewhere."""


class TorchProducts:
    """Products on any device."""

    def __init__(self, item_factors: Tensor) -> None:
        self._item_factors = item_factors
        self._by_dim = item_factors.T.contiguous()

    def scores(self, vectors: Tensor) -> Tensor:
        """Return the dot products (n, tracks) of vectors (n, dim) with every track."""
        return vectors @ self._by_dim

    def scores_of(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return the dot products (groups, n, k) of vectors (groups, n, dim) with some tracks a group, (groups, k)."""
        return vectors @ self._item_factors[track_rows].mT

    def sums_of_powers(self, vectors: Tensor, floors: Tensor, factors: Tensor, power: int) -> Tensor:
        """Return sum_u factor_u max(0, score_u - floor_u) ** power, (groups, tracks).

        `vectors` is (groups, members, dim), `floors` and `factors` are (groups, members).
        """
        groups, members, _ = vectors.shape
        tracks = len(self._item_factors)
        sums = vectors.new_empty(groups, 1, tracks)
        at_once = max(1, (_CACHED if vectors.device.type == "cpu" else _HELD) // (members * tracks))
        for first in range(0, groups, at_once):
            part = slice(first, first + at_once)
            votes = (vectors[part] @ self._by_dim).sub_(floors[part, :, None]).clamp_(min=0).pow_(power)
            torch.bmm(factors[part, None, :], votes, out=sums[part])
        return sums[:, 0]

    def contenders(
        self, vectors: Tensor, of: Calibration, factors: Doubles, power: int, allowed: Tensor | None, count: int
    ) -> Contenders:
        """Return what `GroupScorer.contenders` does."""
        device, shape = vectors.device, vectors.shape[:2]
        low, scale = (torch.from_numpy(part).to(device).view(shape) for part in (of.low, of.scale))
        by_member = torch.from_numpy(factors.astype(np.float32)).to(device)
        sums = self.sums_of_powers(vectors * scale[:, :, None], low * scale, by_member, power)
        if allowed is not None:
            sums.masked_fill_(~allowed, -torch.inf)
        rows, tau = highest(sums, count)
        return Contenders(rows, self.votes_of(vectors, of, rows), tau)

    def votes_of(self, vectors: Tensor, of: Calibration, rows: Rows) -> Votes:
        """Return what `GroupScorer.votes_of` does."""
        asked = torch.from_numpy(rows.clip(min=0)).to(vectors.device)
        scores: Votes = self.scores_of(vectors, asked).numpy(force=True)
        return of.relevance_of_some(scores.reshape(-1, scores.shape[2])).reshape(scores.shape)


class CompiledProducts:
    """The same by this package's own loops, on the CPU: votes are added up in registers and never stored."""

    def __init__(self, item_factors: Tensor) -> None:
        self._factors = compiled.ItemFactors(item_factors.numpy())

    def scores(self, vectors: Tensor) -> Tensor:
        """Return the dot products (n, tracks) of vectors (n, dim) with every track."""
        return torch.from_numpy(self._factors.scores(vectors.numpy()))

    def scores_of(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return the dot products (groups, n, k), the very numbers that `scores` gives."""
        return torch.from_numpy(self._factors.scores_of(vectors.numpy(), track_rows.numpy()))

    def contenders(
        self, vectors: Tensor, of: Calibration, factors: Doubles, power: int, allowed: Tensor | None, count: int
    ) -> Contenders:
        """Return what `GroupScorer.contenders` does, looking at every track once."""
        count, mask = min(count, self._factors.tracks), None if allowed is None else allowed.numpy()
        found = self._factors.contenders(vectors.numpy(), of.low, of.scale, factors, power, mask, count)
        return Contenders(*found)

    def votes_of(self, vectors: Tensor, of: Calibration, rows: Rows) -> Votes:
        """Return what `GroupScorer.votes_of` does."""
        return self._factors.scores_of(vectors.numpy(), rows, of.low, of.scale)


def products_with(item_factors: Tensor) -> TorchProducts | CompiledProducts:
    """Return what multiplies with these factors (tracks, dim) fastest."""
    if compiled.BUILT and item_factors.device.type == "cpu":
        return CompiledProducts(item_factors)
    return TorchProducts(item_factors)
