"""Prepared folders small enough to solve by eye."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from service.core.catalogue import TrackInfo
from training.data import PreparedData, interactions_of, pairs_of

Pair = tuple[str, str, float]
"""user_id, track_id, score."""


def frame(pairs: Iterable[Pair]) -> pd.DataFrame:
    """Pairs as a table of the prepared folder."""
    table = pd.DataFrame(pairs, columns=["user_id", "track_id", "score"])
    return table.astype({"user_id": "str", "track_id": "str", "score": np.float32})


def prepared(train: Iterable[Pair], validation: Iterable[Pair] = (), test: Iterable[Pair] = ()) -> PreparedData:
    """Prepared data that was never on the disk."""
    interactions = interactions_of(frame(train))
    catalogue = [TrackInfo() for _ in interactions.tracks]
    held_out = (pairs_of(frame(pairs), interactions) for pairs in (validation, test))
    return PreparedData(interactions, *held_out, catalogue, "0" * 64)


def write(
    folder: Path, train: Iterable[Pair], validation: Iterable[Pair] = (), titles: dict[str, str] | None = None
) -> Path:
    """Write the files of a prepared folder that training reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in {"train": train, "validation": validation, "test": ()}.items():
        frame(pairs).to_parquet(folder / f"{split}.parquet", index=False)
    tracks = titles or {track: None for _, track, _ in train}
    catalogue = pd.DataFrame({"track_id": list(tracks), "title": pd.array(list(tracks.values()), dtype="str")})
    catalogue.to_parquet(folder / "tracks.parquet", index=False)
    return folder


def checkerboard(users: int = 30, tracks: int = 20) -> tuple[list[Pair], list[Pair]]:
    """Train and validation of a world where u0, u2, … like t0, t2, …, and odd users odd tracks.

    Every user has yet to hear one track of their own colour. Only every third even user is there, so odd tracks are
    far more popular: popularity alone is wrong about every even user.
    """
    liked, held_out = [], []
    for user in (user for user in range(users) if user % 2 == 1 or user % 3 == 0):
        own = range(user % 2, tracks, 2)
        unheard = own[user % len(own)]
        held_out.append((f"u{user}", f"t{unheard}", 1.0))
        liked += [(f"u{user}", f"t{track}", 1.0) for track in own if track != unheard]
    return liked, held_out
