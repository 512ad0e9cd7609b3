"""The compiled loops, with room made for their answers; `BUILT` is False where there was no compiler.

Each has a slower twin in numpy or torch where it is called, which is what runs without it and what judges it in tests.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

try:
    from service.core import _compiled
except ImportError:
    _BUILT = False
else:
    _BUILT = True

BUILT: Final = _BUILT
"""Whether the functions below can be called."""

_BLOCK: Final = 32
"""Tracks a block, as in `_compiled.c`."""

Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]


class ItemFactors:
    """Item factors laid out for products that read them in one stream: (blocks, dim, tracks of a block)."""

    def __init__(self, items: Singles) -> None:
        """`items` is (tracks, dim)."""
        self._items = np.ascontiguousarray(items)
        self.tracks, self.dim = items.shape
        whole, rest = divmod(self.tracks, _BLOCK)
        self._blocks = np.zeros((-(-self.tracks // _BLOCK), self.dim, _BLOCK), dtype=np.float32)
        self._blocks[:whole] = items[: whole * _BLOCK].reshape(whole, _BLOCK, self.dim).transpose(0, 2, 1)
        self._blocks[whole:, :, :rest] = items[whole * _BLOCK :].T

    def scores(self, vectors: Singles) -> Singles:
        """Return the dot products (n, tracks) of vectors (n, dim) with every track."""
        scores = np.empty((len(vectors), self.tracks), dtype=np.float32)
        vectors = np.ascontiguousarray(vectors)
        _compiled.scores(self._blocks, vectors, scores, self.tracks, self.dim, len(vectors))
        return scores

    def scores_of(self, vectors: Singles, rows: NDArray[np.int64]) -> Singles:
        """Return the dot products (groups, members, k) of vectors (groups, members, dim) with rows (groups, k)."""
        groups, members, _ = vectors.shape
        count = rows.shape[1]
        scores = np.empty((groups, members, count), dtype=np.float32)
        vectors, rows = np.ascontiguousarray(vectors), np.ascontiguousarray(rows)
        _compiled.scores_of(self._items, vectors, rows, scores, self.tracks, self.dim, groups, members, count)
        return scores

    def sums_of_powers(self, vectors: Singles, floors: Singles, factors: Singles, power: int) -> Singles:
        """Return sum_u factor_u max(0, score_u - floor_u) ** power, (groups, tracks), without holding the scores.

        `vectors` is (groups, members, dim), `floors` and `factors` are (groups, members).
        """
        groups, members, _ = vectors.shape
        sums = np.empty((groups, self.tracks), dtype=np.float32)
        vectors = np.ascontiguousarray(vectors)
        floors, factors = np.ascontiguousarray(floors), np.ascontiguousarray(factors)
        _compiled.sums_of_powers(
            self._blocks, vectors, floors, factors, sums, self.tracks, self.dim, groups, members, power
        )
        return sums


def best(scores: Singles, k: int) -> tuple[Singles, NDArray[np.int64]]:
    """Return values and columns (rows, k) of the k highest scores of each row, best first, ties by column."""
    rows, n = scores.shape
    columns, values = np.empty((rows, k), dtype=np.int64), np.empty((rows, k), dtype=np.float32)
    _compiled.highest(np.ascontiguousarray(scores), columns, values, rows, n, k, True)
    return values, columns


def highest(scores: Singles, k: int) -> tuple[NDArray[np.int64], Singles]:
    """Return the same columns (rows, k) in ascending order, and the least of each row's values, (rows,)."""
    rows, n = scores.shape
    columns, least = np.empty((rows, k), dtype=np.int64), np.empty(rows, dtype=np.float32)
    _compiled.highest(np.ascontiguousarray(scores), columns, least, rows, n, k, False)
    return columns, least


def race(
    values: Doubles, weights: Doubles, had: Doubles, closed: NDArray[np.bool_], k: int, offset: float
) -> tuple[NDArray[np.int64], Doubles, Doubles]:
    """Return places, gains and shares as `race.race` does."""
    groups, members, tracks = values.shape
    places, won = np.empty((groups, k), dtype=np.int64), np.empty((groups, k))
    shares = np.empty((groups, k, members))
    values, closed = np.ascontiguousarray(values), np.ascontiguousarray(closed)
    weights, had = np.ascontiguousarray(weights), np.ascontiguousarray(had)
    _compiled.race(values, weights, had, closed, places, won, shares, groups, members, tracks, k, offset)
    return places, won, shares


def highest_gain(
    tau: Doubles, caps: Doubles, weights: Doubles, shares: Doubles, levels: Doubles, offset: float
) -> Doubles:
    """Return the bound (groups, steps) of `race.highest_gain`."""
    groups, steps, members = shares.shape
    bound = np.empty((groups, steps))
    tau, caps = np.ascontiguousarray(tau), np.ascontiguousarray(caps)
    weights, shares = np.ascontiguousarray(weights), np.ascontiguousarray(shares)
    _compiled.highest_gain(tau, caps, weights, shares, levels, bound, groups, steps, members, len(levels), offset)
    return bound


def percentiles(table: Singles, ranks: NDArray[np.int32], asked: Singles) -> Singles:
    """Return the percentiles (users, n) of `Calibration.percentiles`, of tables (users, Q)."""
    users, n = asked.shape
    share = np.empty((users, n), dtype=np.float32)
    table, asked = np.ascontiguousarray(table), np.ascontiguousarray(asked)
    _compiled.percentiles(table, ranks, asked, share, users, table.shape[1], n)
    return share
