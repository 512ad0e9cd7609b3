"""Releases of one recording under several track ids, found by title and artist, and their listeners put together."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from service.core.catalogue import TrackInfo

UNLABELLED: Final = -1
"""The label of a track whose artist, or album, nobody knows."""

_REMASTER = re.compile(r"\s*[-(\[]\s*(\d{4}\s+)?(digital(ly)?\s+)?re-?master(ed)?(\s+version)?(\s+\d{4})?\s*[)\]]?\s*$")


class Recordings(NamedTuple):
    """Which tracks are the same recording, and which of its tracks stands for it."""

    of_track: NDArray[np.int64]
    """(tracks,) number of the recording of each track."""
    shown: NDArray[np.int64]
    """(recordings,) row of the track with the most listeners."""

    @classmethod
    def of(cls, catalogue: Sequence[TrackInfo], listeners: NDArray[np.int64]) -> Self:
        """Return the recordings of tracks with so many listeners each, (tracks,); of equals the first row is shown."""
        numbers: dict[object, int] = {}
        keys = recording_keys(catalogue)
        of_track = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
        shown = np.full(len(numbers), len(keys), dtype=np.int64)
        for row in np.lexsort((np.arange(len(keys)), -listeners))[::-1].tolist():
            shown[of_track[row]] = row
        return cls(of_track, shown)

    def played(self, scores: csr_array) -> csr_array:
        """Return who played any release of what as ones, (users, recordings), of scores (users, tracks)."""
        users = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
        heard = scores.data > 0
        return indicator(users[heard], self.of_track[scores.indices[heard]], (scores.shape[0], len(self.shown)))

    def labelled(self, labels: NDArray[np.int64]) -> csr_array:
        """Return which recordings bear which label as ones, (recordings, labels), of labels (tracks,) of releases."""
        known = labels != UNLABELLED
        return indicator(
            self.of_track[known], labels[known], (len(self.shown), int(labels.max(initial=UNLABELLED)) + 1)
        )


def recording_keys(catalogue: Sequence[TrackInfo]) -> list[tuple[object, ...]]:
    """Return for each track what all releases of its recording share, and nothing else does.

    Title and artist; but two tracks of one album are two recordings, whatever they are called.
    """
    times = Counter[tuple[object, ...]]()
    keys: list[tuple[object, ...]] = []
    for row, info in enumerate(catalogue):
        title, artist = plain_title(info.title or ""), artist_of(info)
        if not title or artist is None:
            keys.append((row,))
            continue
        release = (title, artist, row if info.album_id is None else info.album_id)
        keys.append((title, artist, times[release]))
        times[release] += 1
    return keys


def plain_title(title: str) -> str:
    """Return a title as it is compared: without case, spacing and the words by which a remaster is sold."""
    folded = unicodedata.normalize("NFKC", title).casefold().replace("\N{EN DASH}", "-")
    return _REMASTER.sub("", " ".join(folded.split()))


def artist_of(info: TrackInfo) -> str | None:
    """Return what tells one artist from another."""
    return info.artist_id or info.artist


def labels_of(names: Sequence[str | None]) -> NDArray[np.int64]:
    """Return names as numbers from 0, equal ones alike, `UNLABELLED` for None."""
    numbers: dict[str, int] = {}
    return np.array(
        [UNLABELLED if name is None else numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64
    )


def indicator(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> csr_array:
    """Return a matrix with ones at these places, however often each is named."""
    matrix = csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1
    return matrix
