"""What people call the tracks: titles, artists, lengths, in row order; and what requests filter them by."""

import sys
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.core.duration import Durations
from service.core.quota import NOBODY


class TrackInfo(BaseModel):
    """What is known of one track beside its id; None where the data does not say."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str | None = None
    artist: str | None = None
    artist_id: str | None = None
    album_id: str | None = None
    duration_ms: int | None = None
    explicit: bool | None = None
    release_date: str | None = None


class Catalogue:
    """One column a fact, one entry a track: a fraction of the memory of one object a track."""

    __slots__ = ("album_ids", "artist_ids", "artists", "durations_ms", "explicit", "titles")

    def __init__(self) -> None:
        self.titles: list[str | None] = []
        self.artists: list[str | None] = []
        self.artist_ids: list[str | None] = []
        self.album_ids: list[str | None] = []
        self.durations_ms: list[int | None] = []
        self.explicit: list[bool | None] = []

    @classmethod
    def from_objects(cls, objects: Iterable[dict[str, Any]]) -> Self:  # values are checked on publishing
        """Return a catalogue of JSON objects with the fields of `TrackInfo`."""
        catalogue = cls()
        for entry in objects:
            catalogue.titles.append(entry.get("title"))
            catalogue.artists.append(_shared(entry.get("artist")))
            catalogue.artist_ids.append(_shared(entry.get("artist_id")))
            catalogue.album_ids.append(_shared(entry.get("album_id")))
            catalogue.durations_ms.append(entry.get("duration_ms"))
            catalogue.explicit.append(entry.get("explicit"))
        return catalogue

    def __len__(self) -> int:
        return len(self.titles)


class Facets:
    """What requests filter tracks by, made ready once for all of them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.explicit_rows = np.flatnonzero(np.array([told is True for told in catalogue.explicit], dtype=np.bool_))
        """Rows of the tracks that are marked explicit, ascending."""
        self._codes: dict[str, int] = {}
        names: dict[str, int] = {}
        codes = []
        for artist_id, name in zip(catalogue.artist_ids, catalogue.artists, strict=True):
            known, artist = (names, name) if artist_id is None else (self._codes, artist_id)
            codes.append(NOBODY if artist is None else known.setdefault(artist, len(self._codes) + len(names)))
        self._number = len(self._codes) + len(names)
        self.artists = np.array(codes, dtype=np.int32) if self._number else None
        """(tracks,) whose each track is: a code for every id, else for every name, or `NOBODY`; None where all are."""
        durations = catalogue.durations_ms
        self.durations = Durations(durations) if any(each is not None for each in durations) else None
        """None where the data knows of no track how long it is."""

    def knows_artist(self, artist_id: str) -> bool:
        """Return whether any track is by this artist."""
        return artist_id in self._codes

    def rows_by(self, artist_ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the rows of the tracks by any of these artists, ascending; unknown ones have none."""
        if self.artists is None:
            return np.empty(0, dtype=np.int64)
        asked = np.zeros(self._number + 1, dtype=np.bool_)  # the last is nobody's and never asked for
        asked[[self._codes[artist_id] for artist_id in artist_ids if artist_id in self._codes]] = True
        return np.flatnonzero(asked[self.artists])


def _shared(text: str | None) -> str | None:
    """Return the one copy of a string that many tracks repeat."""
    return None if text is None else sys.intern(text)
