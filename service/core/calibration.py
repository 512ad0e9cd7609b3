"""What a score is worth to the one who gave it.

Scores of two members do not compare: one's 0.3 is the best of the whole catalogue, the other's is average. A
calibration keeps each user's score at a fixed set of ranks of their own ranking, the first `EXACT` ranks one by
one and then ever wider steps. From it come, without another pass over the catalogue, the 1 % quantile and the
maximum that relevance is measured between, the value of a user's own best list, and percentiles.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core import compiled
from service.core.errors import DataError
from service.core.ranking import sort_rows

EXACT: Final = 64
"""Ranks 1..EXACT are all kept, so sums over a user's own top list are exact up to this length."""

_STEP: Final = 0.15
"""Growth of the later ranks."""

_WIDEST: Final = 32
"""No two kept ranks are further apart than this part of the catalogue."""

LOW_QUANTILE: Final = 0.01
"""Scores below this quantile of a user's own scores have relevance 0."""

SHARPNESS: Final = 3
"""Shares are made of relevance to this power, or a higher one where scores are flat."""

SHARPEST: Final = 10

_NEAR: Final = 30
_FAR: Final = 1000
_FAR_PART: Final = 4
_FAR_WORTH: Final = 0.05
"""Scores are flat where the track of rank `_FAR`, or of a `_FAR_PART`th of a small catalogue, is worth more than this
part of that of rank `_NEAR`."""

ARRAYS: Final = ("calibration_ranks", "calibration_scores")
"""The names of the two arrays in an artifact."""


def calibration_ranks(tracks: int) -> NDArray[np.int32]:
    """Return the ranks (1 = best, ascending) kept for a catalogue of so many tracks: about 130 for 20,000."""
    ranks = set(range(1, min(EXACT, tracks) + 1)) | {tracks, _low_rank(tracks)}
    rank = float(EXACT)
    while rank < tracks:
        ranks.add(int(rank))
        rank += min(rank * _STEP, tracks / _WIDEST)
    return np.array(sorted(ranks), dtype=np.int32)


def _low_rank(tracks: int) -> int:
    """Return the rank whose score is the `LOW_QUANTILE` quantile."""
    return tracks - int(LOW_QUANTILE * (tracks - 1))


@cache
def _low_column(tracks: int) -> int:
    """Return the place of that rank among those that are kept."""
    return int(np.searchsorted(calibration_ranks(tracks), _low_rank(tracks)))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of some users (or guests) at fixed ranks of their own rankings; small tables, kept by the CPU."""

    ranks: NDArray[np.int32]
    """(Q,) ascending, first 1, last the number of tracks."""
    scores: NDArray[np.float32]
    """(users, Q), falling along each row."""

    @classmethod
    def measure(cls, scores: Tensor) -> Self:
        """Return the calibration of score rows (users, tracks)."""
        ranks = calibration_ranks(scores.shape[1])
        places = torch.from_numpy(scores.shape[1] - ranks.astype(np.int64)).to(scores.device)
        return cls(ranks, sort_rows(scores)[:, places].numpy(force=True))

    def check(self, users: int, tracks: int) -> None:
        """Refuse a calibration that is not of so many users and tracks."""
        if self.ranks.tolist() != calibration_ranks(tracks).tolist():
            raise DataError(f"calibration_ranks are not those of {tracks} tracks")
        if self.scores.shape != (users, len(self.ranks)):
            raise DataError(f"calibration_scores is {self.scores.shape}, not {(users, len(self.ranks))}")

    def of(self, rows: NDArray[np.int64]) -> "Calibration":
        """Return the calibration of some rows, in their order."""
        some = Calibration(self.ranks, self.scores[rows])
        vars(some).update(low=self.low[rows], scale=self.scale[rows])  # which are cached: looked up, not computed again
        return some

    @property
    def high(self) -> NDArray[np.float32]:
        """Return each row's best score, (users,)."""
        return self.scores[:, 0]

    @cached_property
    def low(self) -> NDArray[np.float32]:
        """Return each row's `LOW_QUANTILE` quantile, (users,)."""
        return self.scores[:, _low_column(int(self.ranks[-1]))]

    @cached_property
    def scale(self) -> NDArray[np.float32]:
        """Return what a difference in score is worth in relevance, (users,): 0 for who scores everything alike."""
        reach = self.high - self.low
        scale: NDArray[np.float32] = np.divide(1, reach, out=np.zeros(reach.shape, np.float32), where=reach > 0)
        return scale

    @cached_property
    def sharpness(self) -> int:
        """Return the power of relevance that shares are made of, one for all users of a model.

        It is the highest at which the median user's track of rank `_FAR` keeps `_FAR_WORTH` of the worth of that of
        rank `_NEAR`, within `SHARPNESS`..`SHARPEST`. A single user with flat scores has a taste that is hard to tell;
        a model with flat scores tells everybody's tastes by small differences.
        """
        rank = min(_FAR, int(self.ranks[-1]) // _FAR_PART)
        if rank <= _NEAR:
            return SHARPNESS
        near, far = (self.scores[:, place] - self.low for place in np.searchsorted(self.ranks, [_NEAR, rank]))
        told_apart = near > 0
        if not told_apart.any():
            return SHARPNESS
        ratio = min(max(float(np.median(far[told_apart] / near[told_apart])), 1e-9), 1 - 1e-9)  # in float32 that is 1
        return int(np.clip(np.log(_FAR_WORTH) / np.log(ratio), SHARPNESS, SHARPEST))

    def relevance(self, scores: Tensor) -> Tensor:
        """Return scores (users, n) as relevance 0..1: 0 at `low` and below, 1 at `high`.

        A user who scores everything alike has no opinion: relevance 0 throughout.
        """
        low, scale = (torch.from_numpy(column).to(scores.device)[:, None] for column in (self.low, self.scale))
        return scores.sub(low).mul_(scale).clamp_(0, 1)

    def relevance_of_some(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the same of scores (users, n) of a few tracks, for which numpy takes less than torch."""
        relevance: NDArray[np.float32] = scores - self.low[:, None]
        relevance *= self.scale[:, None]
        np.maximum(relevance, 0, out=relevance)
        np.minimum(relevance, 1, out=relevance)
        return relevance

    def of_relevance(self) -> "Calibration":
        """Return this calibration in units of relevance."""
        return Calibration(self.ranks, self.relevance_of_some(self.scores))

    def best(self, k: int) -> NDArray[np.float32]:
        """Return each row's k best scores, (users, min(k, tracks)); k is at most `EXACT`."""
        return self.scores[:, : min(k, int(self.ranks[-1]))]

    def ideals(self, k: int, power: int) -> NDArray[np.float64]:
        """Return what relevance ** power of each row's k best tracks adds up to, (users,); k is at most `EXACT`."""
        if compiled.BUILT:
            return compiled.ideals(self.scores, self.low, self.scale, k, power)
        sums: NDArray[np.float64] = raised(self.relevance_of_some(self.best(k)), power).sum(axis=1)
        return sums

    def percentiles(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the share (users, n) of the other tracks that each user scores lower than these scores (users, n).

        1 for the user's best track, 0 for a track that is no better than any. Exact for the best `EXACT`
        tracks, interpolated between the kept ranks further down.
        """
        if compiled.BUILT:
            return compiled.percentiles(self.scores, self.ranks, scores)
        rising, asked = self.scores[:, ::-1].copy(), np.ascontiguousarray(scores)
        lower = torch.searchsorted(torch.from_numpy(rising), torch.from_numpy(asked)).numpy()
        last = len(self.ranks) - 1
        above = np.maximum(last - lower, 0)  # the last kept rank that scores no less, unless there is none
        below = np.minimum(above + 1, last)
        users = np.arange(len(scores))[:, None]
        high, low = self.scores[users, above], self.scores[users, below]
        gap = high - low
        step = np.divide(np.minimum(scores, high) - low, gap, out=np.ones_like(gap), where=gap > 0)
        rank = self.ranks[below] + (self.ranks[above] - self.ranks[below]) * step
        tracks = float(self.ranks[-1])
        share: NDArray[np.float32] = ((tracks - rank) / max(1.0, tracks - 1)).astype(np.float32)
        return share.clip(0, 1, out=share)

    def percentiles_of_relevance(self, relevance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the same of relevance (users, n)."""
        if compiled.BUILT:
            return compiled.percentiles(self.scores, self.ranks, relevance, self.low, self.scale)
        return self.of_relevance().percentiles(relevance)


def raised(votes: NDArray[np.float32], power: int) -> NDArray[np.float64]:
    """Return votes ** power; numpy's own power takes ten times as long."""
    doubles = votes.astype(np.float64)
    powers = doubles
    for _ in range(power - 1):
        powers = powers * doubles
    return powers
