"""Lists that are to last for a time, not for a number of tracks."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_TRACKS: Final = 200
"""No list is longer."""


class Durations:
    """How long the tracks of a catalogue are; one of which that is not known counts as the mean of the others."""

    def __init__(self, durations_ms: Sequence[int | None]) -> None:
        """`durations_ms` has an entry a track, at least one of them known."""
        self._of_tracks = durations_ms
        known = [duration for duration in durations_ms if duration is not None]
        self.mean_ms = sum(known) / len(known)
        rising = np.sort(np.array([self.mean_ms if each is None else each for each in durations_ms]))
        self._least: NDArray[np.float64] = rising[:MOST_TRACKS].cumsum()
        """What the shortest 1, 2, ... tracks last together."""

    def of(self, rows: Sequence[int]) -> list[float]:
        """Return how long these tracks are, in milliseconds."""
        return [self.mean_ms if (known := self._of_tracks[row]) is None else known for row in rows]

    def enough_for(self, target_ms: int) -> int:
        """Return a number of tracks that last as long as a target whichever they are."""
        return int(np.searchsorted(self._least, target_ms)) + 1


def nearest_head(durations_ms: Sequence[float], target_ms: int) -> int:
    """Return how many tracks the head of a list has that lasts nearest to a target, of equals the least, at least 1."""
    distances = np.abs(np.cumsum(durations_ms) - target_ms)
    return int(distances.argmin()) + 1 if len(distances) else 0
