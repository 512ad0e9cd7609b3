"""Item factors of half the width: scores that are a little off, by no more than is said, in a fraction of the time."""

from collections.abc import Callable
from time import thread_time
from typing import Final

import torch
from torch import Tensor

from service.core.recommender import RoughScores

_ROUNDING: Final = 2.0**-8
"""Of bfloat16, relative."""

_SLACK: Final = 1.01
"""For what single precision rounds while it adds up."""

_WORTH: Final = 1 << 18
"""Factors to multiply with, below which nothing can be gained."""

_TRACKS: Final = 1 << 14
"""Rows that are looked at together: enough to time a product, and few enough to need no memory to speak of."""

_LISTENERS, _TRIALS = 8, 10
"""Rows on the other side of the products that are timed, and their number."""


class HalfFactors:
    """Item factors in bfloat16."""

    def __init__(self, item_factors: Tensor) -> None:
        self._factors = item_factors.bfloat16()
        self._longest = self._furthest = 0.0
        for wide, narrow in zip(torch.split(item_factors, _TRACKS), torch.split(self._factors, _TRACKS), strict=True):
            self._longest = max(self._longest, float(narrow.float().norm(dim=1).max()))
            self._furthest = max(self._furthest, float((wide - narrow).norm(dim=1).max()))

    def score(self, vectors: Tensor) -> RoughScores:
        """Return the dot products of vectors (n, dim) with every track.

        |x . y - x' . y'| <= |x| |y - y'| + |x - x'| |y'| by Cauchy and Schwarz, where ' is what rounding leaves.
        """
        narrow = vectors.bfloat16()
        error = self._furthest * vectors.norm(dim=1) + self._longest * (vectors - narrow).norm(dim=1)
        return RoughScores(torch.nn.functional.linear(narrow, self._factors), _SLACK * error, _SLACK * _ROUNDING)


def half_if_faster(item_factors: Tensor) -> HalfFactors | None:
    """Return half-width factors if this processor multiplies them faster: some know bfloat16, some do not."""
    if item_factors.device.type != "cpu" or item_factors.numel() < _WORTH:
        return None
    listeners, tracks = item_factors[:_LISTENERS], item_factors[:_TRACKS]
    half = HalfFactors(tracks)
    if _seconds(lambda: half.score(listeners)) > _seconds(lambda: listeners @ tracks.T):
        return None
    return HalfFactors(item_factors)


def _seconds(product: Callable[[], object]) -> float:
    """Return the least time that this thread needs: what else the machine does takes more, never less."""

    def once() -> float:
        begun = thread_time()
        product()
        return thread_time() - begun

    return min(once() for _ in range(_TRIALS))
