"""Who heard what in the training data: one sparse row of scores a user."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.core.errors import DataError

ARRAYS: Final = ("history_indptr", "history_rows", "history_scores")
"""The names of the three arrays in an artifact."""


@dataclass(frozen=True, eq=False)
class History:
    """The training data as compressed sparse rows; user row u heard `rows[indptr[u]:indptr[u + 1]]`."""

    indptr: NDArray[np.int64]
    """(users + 1,) where each user's entries begin and end."""
    rows: NDArray[np.int32]
    """(pairs,) track rows, ascending within a user."""
    scores: NDArray[np.float32]
    """(pairs,) plays + likes; 0 where a track was only skipped."""
    tracks: int
    """Number of tracks, heard or not."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        pairs = len(self.rows)
        if self.indptr.ndim != 1 or len(self.indptr) == 0 or self.indptr[0] != 0 or self.indptr[-1] != pairs:
            raise DataError(f"history_indptr must run from 0 to the number of pairs, {pairs}")
        if np.any(np.diff(self.indptr) < 0):
            raise DataError("history_indptr must never fall")
        if len(self.scores) != pairs:
            raise DataError(f"history_scores has {len(self.scores)} entries for {pairs} history_rows")
        if pairs and not 0 <= self.rows.min() <= self.rows.max() < self.tracks:
            raise DataError(f"history_rows must lie in 0..{self.tracks - 1}")

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.indptr) - 1

    def tracks_of(self, user_row: int) -> NDArray[np.int32]:
        """Return the track rows that a user heard, refused ones included."""
        return self.rows[self.indptr[user_row] : self.indptr[user_row + 1]]

    def scores_of(self, user_row: int) -> NDArray[np.float32]:
        """Return the scores that go with `tracks_of`."""
        return self.scores[self.indptr[user_row] : self.indptr[user_row + 1]]

    @cached_property
    def listeners(self) -> NDArray[np.int64]:
        """Return for each track the number of users with a score above 0: its popularity."""
        return np.bincount(self.rows[self.scores > 0], minlength=self.tracks)

    @cached_property
    def by_popularity(self) -> NDArray[np.int64]:
        """Return all track rows, most listeners first, ties by row."""
        return np.argsort(-self.listeners, kind="stable")
