"""What people call the tracks: titles, artists, lengths, in row order."""

import sys
from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


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


def _shared(text: str | None) -> str | None:
    """Return the one copy of a string that many tracks repeat."""
    return None if text is None else sys.intern(text)
