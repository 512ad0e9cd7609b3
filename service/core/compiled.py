"""The compiled loops, with room made for their answers; `BUILT` is False where there was no compiler.

Each has a slower twin in numpy or torch where it is called, which is what runs without it and what judges it in tests.
"""

from collections.abc import Callable
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
Rows = NDArray[np.int64]

_NONE: Final[Singles] = np.empty(0, dtype=np.float32)
"""Stands where nothing is handed over."""

_plain = np.ascontiguousarray


class ItemFactors:
    """Item factors laid out for products that read them in one stream: (blocks, dim, tracks of a block)."""

    def __init__(self, items: Singles) -> None:
        """`items` is (tracks, dim)."""
        self._items = _plain(items)
        self.tracks, self.dim = items.shape
        whole, rest = divmod(self.tracks, _BLOCK)
        self._blocks = np.zeros((-(-self.tracks // _BLOCK), self.dim, _BLOCK), dtype=np.float32)
        self._blocks[:whole] = items[: whole * _BLOCK].reshape(whole, _BLOCK, self.dim).transpose(0, 2, 1)
        self._blocks[whole:, :, :rest] = items[whole * _BLOCK :].T

    def scores(self, vectors: Singles) -> Singles:
        """Return the dot products (n, tracks) of vectors (n, dim) with every track."""
        scores = np.empty((len(vectors), self.tracks), dtype=np.float32)
        _compiled.scores(self._blocks, _plain(vectors), scores, self.tracks, self.dim, len(vectors))
        return scores

    def scores_of(self, vectors: Singles, rows: Rows, low: Singles = _NONE, scale: Singles = _NONE) -> Singles:
        """Return the dot products (groups, members, k) of vectors (groups, members, dim) with rows (groups, k).

        With `low` and `scale` (groups * members,) they are relevance. For a row of -1 they are anything.
        """
        groups, members, _ = vectors.shape
        count = rows.shape[1]
        scores = np.empty((groups, members, count), dtype=np.float32)
        _compiled.scores_of(
            self._items,
            _plain(low),
            _plain(scale),
            _plain(vectors),
            _plain(rows),
            scores,
            self.tracks,
            self.dim,
            groups,
            members,
            count,
        )
        return scores

    def contenders(
        self,
        vectors: Singles,
        low: Singles,
        scale: Singles,
        factors: Doubles,
        power: int,
        allowed: NDArray[np.bool_] | None,
        count: int,
    ) -> tuple[Rows, Singles, Doubles]:
        """Return what `GroupScorer.contenders` does; what members think of any other track is not stored."""
        groups, members, _ = vectors.shape
        rows, votes = np.empty((groups, count), dtype=np.int64), np.empty((groups, members, count), dtype=np.float32)
        tau = np.empty(groups)
        _compiled.contenders(
            self._items,
            self._blocks,
            _plain(vectors),
            _plain(low),
            _plain(scale),
            _plain(factors),
            _NONE if allowed is None else _plain(allowed),
            rows,
            votes,
            tau,
            self.tracks,
            self.dim,
            groups,
            members,
            count,
            power,
        )
        return rows, votes, tau


def best(scores: Singles, k: int) -> tuple[Singles, Rows]:
    """Return values and columns (rows, k) of the k highest scores of each row, best first, ties by column."""
    rows, n = scores.shape
    columns, values = np.empty((rows, k), dtype=np.int64), np.empty((rows, k), dtype=np.float32)
    _compiled.highest(_plain(scores), columns, values, rows, n, k, True)
    return values, columns


def highest(scores: Singles, k: int) -> tuple[Rows, Singles]:
    """Return the same columns (rows, k) in ascending order, and the least of each row's values, (rows,)."""
    rows, n = scores.shape
    columns, least = np.empty((rows, k), dtype=np.int64), np.empty(rows, dtype=np.float32)
    _compiled.highest(_plain(scores), columns, least, rows, n, k, False)
    return columns, least


def race(
    rows: Rows,
    votes: Singles,
    tau: Doubles,
    weights: Doubles,
    worth: Doubles,
    had: Doubles,
    levels: Doubles,
    power: int,
    k: int,
    offset: float,
    rounding: float,
    shut: NDArray[np.bool_] | None = None,
    take: Callable[[int, int], None] | None = None,
) -> tuple[Rows, NDArray[np.bool_]]:
    """Return picks (groups, k) and what is in doubt (groups,), as `race.race` does.

    A track may not win while it is `shut` (groups, tracks), which is looked at again after `take` was told of the group
    and place of a winner.
    """
    groups, members, tracks = votes.shape
    picks, in_doubt = np.empty((groups, k), dtype=np.int64), np.empty(groups, dtype=np.bool_)
    _compiled.race(
        _plain(rows),
        _plain(votes),
        _plain(tau),
        _plain(weights),
        _plain(worth),
        _plain(had),
        levels,
        picks,
        in_doubt,
        _NONE if shut is None else shut,
        take,
        groups,
        members,
        tracks,
        len(levels),
        k,
        power,
        offset,
        rounding,
    )
    return picks, in_doubt


def ideals(table: Singles, low: Singles, scale: Singles, best: int, power: int) -> Doubles:
    """Return `Calibration.ideals` (users,) of tables (users, Q)."""
    users, kept = table.shape
    sums = np.empty(users)
    _compiled.ideals(_plain(table), _plain(low), _plain(scale), sums, users, kept, best, power)
    return sums


def percentiles(
    table: Singles, ranks: NDArray[np.int32], asked: Singles, low: Singles = _NONE, scale: Singles = _NONE
) -> Singles:
    """Return the percentiles (users, n) of `Calibration.percentiles`, of tables (users, Q).

    With `low` and `scale` (users,), what is asked for is relevance, while the tables are of scores.
    """
    users, n = asked.shape
    share = np.empty((users, n), dtype=np.float32)
    _compiled.percentiles(
        _plain(table), ranks, _plain(low), _plain(scale), _plain(asked), share, users, table.shape[1], n
    )
    return share
