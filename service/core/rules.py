"""What a list must keep to as a whole, whatever strategy makes it: quotas of artists, novelty and diversity.

All three say of every place which tracks may come there, by what came before. A strategy that picks one track after
another looks only at those that may come now (`Doors`), since what it picks next depends on what it picked. Of one
that orders all tracks once and for all the order is walked (`walk`), and passing over the others comes to the same.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.core.quota import NOBODY, Quota
from service.core.ranking import NONE

LONGER: Final = 4
"""How much longer a list is each time too many of its tracks may not come."""

_ROUNDING: Final = 1e-9
"""What 0.29 * 100 lacks to 29."""

Rows = NDArray[np.int64]

Near = Callable[[int], Rows]
"""Returns the rows of the tracks that resemble a track, given by its row."""


def others_among(length: int, share: float) -> int:
    """Return how many tracks of a list of this length need not be what a share of it, 0..1, has to be."""
    return length - floor(share * length + _ROUNDING)


@dataclass(frozen=True, eq=False)
class Novelty:
    """At least such a share of the list, and of each of its heads, is new to everybody."""

    share: float
    """0..1"""
    heard: NDArray[np.bool_]
    """(tracks,) whether somebody in the group has heard a track."""


@dataclass(frozen=True, eq=False)
class Diversity:
    """At least such a share of the list, and of each of its heads, resembles no track before."""

    share: float
    """0..1"""
    near: Near
    most_near: int
    """No track is resembled by more."""

    def alike(self, rows: Iterable[int]) -> list[bool]:
        """Return of each track of a list whether it resembles one before."""
        near: set[int] = set()
        alike = []
        for row in rows:
            alike.append(row in near)
            near.update(self.near(row).tolist())
        return alike


@dataclass(frozen=True, eq=False)
class Rules:
    """Of the list of one group."""

    quota: Quota | None = None
    novelty: Novelty | None = None
    diversity: Diversity | None = None
    begun: tuple[int, ...] = ()
    """Rows that the list begins with, which are not asked for again."""

    def suffice(self, rows: Rows, k: int) -> bool:
        """Return whether k of these tracks (n,) can be picked, whichever are; `NONE` at the end says all are there.

        A track of the list takes itself, or a seat of its artist, and those that resemble it, and so costs no more.
        """
        if rows[-1] == NONE:
            return True
        own = rows if self.novelty is None else rows[~self.novelty.heard[rows]]
        there = len(own) if self.quota is None else self.quota.longest(own)
        return there >= (k + len(self.begun)) * (1 + (0 if self.diversity is None else self.diversity.most_near))


class Admission:
    """Which tracks may come into a list, by what is there already."""

    def __init__(self, rules: Rules, chosen: Iterable[int] = (), free: Container[int] = ()) -> None:
        """`chosen` is there already, beside what the rules say that the list begins with.

        The rows that are `free` may always come and are not counted.
        """
        self._rules = rules
        self._free: Container[int] = ()
        self._of_artists: Counter[int] = Counter()
        self._near: set[int] = set()
        self._length = self._heard = self._alike = 0
        for row in (*rules.begun, *chosen):
            self.take(row)
        self._free = free

    def admits(self, row: int) -> bool:
        """Return whether a track may come now."""
        return row in self._free or not (self.is_by_the_full(row) or self._has_to_wait(row))

    def ever_admits(self, row: int) -> bool:
        """Return whether a track may come now or later."""
        return row in self._free or not self.is_by_the_full(row)

    def take(self, row: int) -> None:
        """Count a track that came, or `NONE` for one that will be new to everybody and unlike all others."""
        if row in self._free:
            return
        self._length += 1
        if row == NONE:
            return
        quota, novelty, diversity = self._rules.quota, self._rules.novelty, self._rules.diversity
        if quota is not None:
            self._of_artists[int(quota.artists[row])] += 1
        if novelty is not None:
            self._heard += bool(novelty.heard[row])
        if diversity is not None:
            self._alike += row in self._near
            self._near.update(diversity.near(row).tolist())

    def is_by_the_full(self, row: int) -> bool:
        """Return whether the artist of a track has all their seats taken."""
        if (quota := self._rules.quota) is None:
            return False
        artist = int(quota.artists[row])
        return artist != NOBODY and self._of_artists[artist] >= quota.most

    @property
    def takes_heard(self) -> bool:
        """Return whether a track that somebody has heard may come now."""
        novelty = self._rules.novelty
        return novelty is None or self._heard < others_among(self._length + 1, novelty.share)

    @property
    def takes_alike(self) -> bool:
        """Return whether a track that resembles one before it may come now."""
        diversity = self._rules.diversity
        return diversity is None or self._alike < others_among(self._length + 1, diversity.share)

    def is_heard(self, row: int) -> bool:
        """Return whether novelty counts a track as heard."""
        return self._rules.novelty is not None and bool(self._rules.novelty.heard[row])

    def _has_to_wait(self, row: int) -> bool:
        return (self.is_heard(row) and not self.takes_heard) or (row in self._near and not self.takes_alike)


class Order:
    """Tracks in an order in which they come, but for those that may not yet."""

    def __init__(self, rows: Iterable[int]) -> None:
        """`NONE` among the rows keeps its place for a track that will be new to everybody."""
        self._ahead = enumerate(rows)
        self._heard: list[tuple[int, int]] = []
        """Place and row of those passed over that somebody has heard."""
        self._alike: list[tuple[int, int]] = []
        """Likewise of those that only resemble others: apart, so that nothing is looked at while its kind must wait."""

    def next(self, admission: Admission) -> int | None:
        """Return the first track that may come now, which then is not there any more; None where none may."""
        kinds = ((self._heard, admission.takes_heard), (self._alike, admission.takes_alike))
        found = [
            (first, kind)
            for kind, is_taken in kinds
            if is_taken and (first := next((each for each in kind if admission.admits(each[1])), None)) is not None
        ]
        if found:
            first, kind = min(found)
            kind.remove(first)
            return first[1]
        for place, row in self._ahead:
            if row == NONE or admission.admits(row):
                return row
            if admission.ever_admits(row):
                (self._heard if admission.is_heard(row) else self._alike).append((place, row))
        return None

    def has_more(self, admission: Admission) -> bool:
        """Return whether any track may come later, where none may now."""
        return any(admission.ever_admits(row) for _, row in (*self._heard, *self._alike))


def walk(rows: Iterable[int], admission: Admission, *, is_whole: bool = False) -> Iterator[int]:
    """Yield one track of an order after another, each the first that may come then, until none may.

    Where the order is whole and some of it has to wait for what is new to everybody, `NONE` keeps a place for that.
    """
    order = Order(rows)
    while (row := order.next(admission)) is not None or (is_whole and order.has_more(admission)):
        came = NONE if row is None else row
        admission.take(came)
        yield came


class Doors:
    """Which tracks of each group may come next."""

    def __init__(self, rules: Sequence[Rules], rows: Rows, liked: NDArray[np.bool_]) -> None:
        """`rows` is (groups, tracks), `NONE` for none; there are rules for each group.

        A track that is not `liked` by any member, (groups, tracks), keeps its place for another, which will be new to
        everybody and unlike all others.
        """
        self.shut: NDArray[np.bool_] = np.zeros(rows.shape, dtype=np.bool_)
        """(groups, tracks) True for those that may not come now."""
        self._doors = [_Door(*of_group) for of_group in zip(rules, rows, liked, self.shut, strict=True)]

    def take(self, group: int, place: int) -> None:
        """Count the track at this place, which came."""
        self._doors[group].take(place)


class _Door:
    """Which tracks of one group may come next, as `Admission` counts them."""

    def __init__(self, rules: Rules, rows: Rows, liked: NDArray[np.bool_], shut: NDArray[np.bool_]) -> None:
        self._rules, self._rows, self._liked, self._shut = rules, rows, liked, shut
        self._admission = Admission(rules)
        self._full: NDArray[np.bool_] = np.zeros(len(rows), dtype=np.bool_)
        """Whether the artist of each has all their seats taken."""
        self._near: NDArray[np.bool_] = np.zeros(len(rows), dtype=np.bool_)
        if (quota := rules.quota) is not None:
            self._artists = np.where(rows == NONE, NOBODY, quota.artists[rows])
        if (novelty := rules.novelty) is not None:
            self._heard = novelty.heard[rows]
        if rules.diversity is not None:
            self._place_of = {row: place for place, row in enumerate(rows.tolist())}
        for row in rules.begun:
            self._mark(row)
        self._shut_what_may_not_come()

    def take(self, place: int) -> None:
        """Count the track at this place, which came."""
        row = int(self._rows[place]) if self._liked[place] else NONE
        self._admission.take(row)
        if row != NONE:
            self._mark(row)
        self._shut_what_may_not_come()

    def _mark(self, row: int) -> None:
        """Note which tracks are by an artist who is full, or resemble others, now that this one is there."""
        quota, diversity = self._rules.quota, self._rules.diversity
        if quota is not None and self._admission.is_by_the_full(row):
            self._full |= self._artists == quota.artists[row]
        if diversity is not None:
            places = (self._place_of.get(other) for other in diversity.near(row).tolist())
            self._near[[place for place in places if place is not None]] = True

    def _shut_what_may_not_come(self) -> None:
        self._shut[:] = self._full
        if not self._admission.takes_heard:
            self._shut |= self._heard
        if not self._admission.takes_alike:
            self._shut |= self._near
