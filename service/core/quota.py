"""At most so many tracks of one artist in a list: an artist who is full gets no more, and the next best track comes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

NOBODY: Final = -1
"""Whose tracks those are of which no artist is known: they count for nobody."""


@dataclass(frozen=True, eq=False)
class Quota:
    """How many tracks of one artist a list may have."""

    artists: NDArray[np.int32]
    """(tracks,) whose each track is, 0 and up, or `NOBODY`."""
    most: int

    def highest(self, rows: Iterable[int]) -> int:
        """Return how many tracks of a list are by the artist who has most of them."""
        counts = Counter(artist for artist in self.artists[list(rows)].tolist() if artist != NOBODY)
        return max(counts.values(), default=0)

    def longest(self, rows: NDArray[np.integer]) -> int:
        """Return how many of these tracks, one entry each, a list can have."""
        return longest_list(self.artists[rows], self.most)


def longest_list(artists: NDArray[np.int32], most: int) -> int:
    """Return how many tracks by these artists, one entry each, a list can have."""
    return int(np.minimum(np.bincount(artists[artists != NOBODY]), most).sum() + (artists == NOBODY).sum())


def least_that_suffices(artists: NDArray[np.int32], k: int) -> int:
    """Return the lowest quota with which k of these tracks, one entry each, make a list; there are that many."""
    most = 1
    while longest_list(artists, most) < k:
        most += 1
    return most
