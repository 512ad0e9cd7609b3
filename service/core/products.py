"""Dot products of listeners' vectors with item factors: compiled where that was built, else by torch."""

from typing import Final

import torch
from torch import Tensor

from service.core import compiled

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

    def sums_of_powers(self, vectors: Tensor, floors: Tensor, factors: Tensor, power: int) -> Tensor:
        """Return sum_u factor_u max(0, score_u - floor_u) ** power, (groups, tracks)."""
        sums = self._factors.sums_of_powers(vectors.numpy(), floors.numpy(), factors.numpy(), power)
        return torch.from_numpy(sums)


def products_with(item_factors: Tensor) -> TorchProducts | CompiledProducts:
    """Return what multiplies with these factors (tracks, dim) fastest."""
    if compiled.BUILT and item_factors.device.type == "cpu":
        return CompiledProducts(item_factors)
    return TorchProducts(item_factors)
