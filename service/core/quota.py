"""At most so many tracks of one artist in a list: an artist who is full gets no more, and the next best track comes.

A strategy that picks one track after another closes the tracks of an artist who is full (`Seats`), since what it picks
next depends on what it picked. Of one that gives each track a score of its own, whoever called it walks a longer list
and passes over them (`Admission`): that comes to the same.
"""

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

NOBODY: Final = -1
"""Whose tracks those are of which no artist is known: they count for nobody."""

LONGER: Final = 4
"""How much longer a list is each time too many of its tracks are by artists who are full."""

Rows = NDArray[np.int64]


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


class Admission:
    """Whose tracks may still come into a list, by what is there already."""

    def __init__(self, quota: Quota, chosen: Iterable[int] = (), free: Container[int] = ()) -> None:
        """`chosen` is there already; the rows that are `free` count for nobody."""
        self._quota, self._free = quota, free
        self._taken = Counter(int(quota.artists[row]) for row in chosen)

    def admits(self, row: int) -> bool:
        """Return whether a track may come, and count it if so."""
        artist = int(self._quota.artists[row])
        if artist == NOBODY or row in self._free:
            return True
        if self._taken[artist] >= self._quota.most:
            return False
        self._taken[artist] += 1
        return True


@dataclass(frozen=True, eq=False)
class Quotas:
    """The quotas of some groups, and whose each track of their catalogue is."""

    artists: NDArray[np.int32]
    most: Rows
    """(groups,)"""

    def of(self, groups: Rows) -> "Quotas":
        """Return those of some groups."""
        return Quotas(self.artists, self.most[groups])

    def admission(self, group: int, chosen: Iterable[int] = (), free: Container[int] = ()) -> Admission:
        """Return who may come into the list of a group."""
        return Admission(Quota(self.artists, int(self.most[group])), chosen, free)

    def suffice(self, rows: Rows, k: int) -> bool:
        """Return whether lists of k can be made of the tracks of each group (groups, n); -1 says that all are there."""
        return all(
            own[-1] < 0 or _at_most(self.artists[own], most) >= k
            for own, most in zip(rows, self.most.tolist(), strict=True)
        )

    def seats(self, rows: Rows) -> "Seats":
        """Return the seats in lists that are made of these tracks (groups, n), -1 for none."""
        return Seats(np.where(rows < 0, NOBODY, self.artists[rows]), self.most)


class Seats:
    """How many of its artist's seats each track of each group sees taken."""

    def __init__(self, artists: NDArray[np.int32], most: Rows) -> None:
        """`artists` is (groups, tracks), `most` (groups,)."""
        self._artists, self._most = artists, most[:, None]
        self._taken = np.zeros(artists.shape, dtype=np.int64)
        self._groups = np.arange(len(artists))

    def take(self, places: Rows) -> NDArray[np.bool_]:
        """Return the tracks (groups, tracks) whose artists are full once those at these places (groups,) came."""
        own = self._artists[self._groups, places][:, None]
        self._taken += (self._artists == own) & (own != NOBODY)
        return self._taken >= self._most


def _at_most(artists: NDArray[np.int32], most: int) -> int:
    """Return how many tracks by these artists, one entry each, a list can have."""
    return int(np.minimum(np.bincount(artists[artists != NOBODY]), most).sum() + (artists == NOBODY).sum())


def least_that_suffices(artists: NDArray[np.int32], k: int) -> int:
    """Return the lowest quota with which k of these tracks, one entry each, make a list; there are that many."""
    most = 1
    while _at_most(artists, most) < k:
        most += 1
    return most
