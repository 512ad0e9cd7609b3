"""A world to solve by eye: three tastes, four tracks each, one listener each, who have heard two of them."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from fastapi import FastAPI

from service.app import create_app
from service.core.artifacts import ArtifactStore, DataFingerprint, Manifest
from service.core.calibration import Calibration
from service.core.catalogue import TrackInfo
from service.settings import Settings

USERS = ["ann", "bob", "cid"]  # ann likes rock, bob jazz, cid pop
TRACKS = [f"{genre}-{number}" for genre in ("rock", "jazz", "pop") for number in (1, 2, 3)] + [
    "rock/4:a",
    "jazz-4",
    "pop-4",
]
ARTISTS = {"rock": "The Stones", "jazz": "Miles", "pop": "Abba"}

FULL_REQUEST: dict[str, Any] = {
    "group_id": "trip",
    "members": [
        {"user_id": "ann", "weight": 2.0, "blocked_track_ids": ["rock-1"]},
        {"liked_track_ids": ["pop-1", "nope"], "label": "guest"},
    ],
    "limit": 5,
    "strategy": "average",
    "novelty": 0.3,
    "diversity": 0.02,
    "model": "wmf",
    "seed": 7,
    "already_played": ["rock-2"],
    "filters": {
        "exclude_track_ids": ["jazz-1"],
        "exclude_artist_ids": ["nobody", 7],
        "explicit": "exclude",
        "max_per_artist": 2,
        "target_duration_ms": 900_000,
        "only_new": True,
    },
    "explain": True,
}
"""A request that says all that can be said."""


def genre_of(track_id: str) -> str:
    return track_id[:4].strip("-/")


def strength_of(track_id: str) -> float:
    """rock-1 is the most rock of all: 1.0, then 0.9, 0.8, 0.7."""
    number = next(int(letter) for letter in track_id if letter.isdigit())
    return 1.1 - number / 10


def factors_of(tracks: Sequence[str]) -> np.ndarray:
    return np.array(
        [[strength_of(track) * (genre_of(track) == genre) for genre in ARTISTS] for track in tracks], dtype=np.float32
    )


def info_of(track: str) -> TrackInfo:
    if genre_of(track) == "pop":
        return TrackInfo()
    return TrackInfo(title=track.title(), artist=ARTISTS[genre_of(track)], duration_ms=180_000)


FACTORS = factors_of(TRACKS)
CATALOGUE = [info_of(track) for track in TRACKS]
HEARD = {"ann": ["rock-1", "rock-2"], "bob": ["jazz-1", "jazz-2"], "cid": ["pop-1", "pop-2"]}

HISTORY = {
    "history_indptr": np.array([0, 2, 4, 6]),
    "history_rows": np.array([TRACKS.index(track) for user in USERS for track in sorted(HEARD[user])], dtype=np.int32),
    "history_scores": np.array([2, 1] * 3, dtype=np.float32),
}


def calibration_of(scores: np.ndarray) -> dict[str, np.ndarray]:
    calibration = Calibration.measure(torch.from_numpy(scores))
    return {
        "calibration_ranks": calibration.ranks,
        "calibration_scores": calibration.scores,
    }


def publish(
    root: Path,
    name: str,
    kind: str,
    version: str = "v1",
    cold: Sequence[str] = (),
    info: Callable[[str], TrackInfo] = info_of,
) -> None:
    """Publish the world as factors, or as counts of what was heard; cold tracks are some that nobody has heard."""
    taste, known = np.eye(3, dtype=np.float32), [*TRACKS, *cold]
    factors = factors_of(known)
    counts = np.zeros((len(USERS), len(known)), dtype=np.float32)
    for user, tracks in enumerate(HEARD.values()):
        counts[user, [TRACKS.index(track) for track in tracks]] = [2, 1]
    scores = taste @ factors.T if kind == "factors" else counts
    arrays = HISTORY | calibration_of(scores)
    if kind == "factors":
        arrays |= {"user_factors": taste, "item_factors": factors}
    manifest = Manifest(
        name=name,
        version=version,
        algorithm=name,
        kind=kind,
        created_at=datetime(2025, 1, 2, tzinfo=UTC),
        data=DataFingerprint(sha256="0" * 64, users=len(USERS), tracks=len(known), pairs=6),
        scoring={"fold_in": {"unobserved_weight": 0.1, "liked_confidence": 1.0, "regularization": 0.1}}
        if kind == "factors"
        else {},
        sha256={},
    )
    ArtifactStore(root).publish(manifest, arrays, USERS, known, [info(track) for track in known])


EXPERIMENTS = """
[[experiments]]
name = "basic-vs-wmf"
salt = "pepper"
variants = [
  {name = "control", model = "basic", strategy = "shared_first", share = 0.5},
  {name = "advanced", model = "wmf", strategy = "fair_share", share = 0.5},
]
"""


@asynccontextmanager
async def serving(
    settings: Settings, pinned: Mapping[str, str | None] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, when all that can be loaded is."""
    app = create_app(settings, pinned)
    async with running(app) as client:
        yield client


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        await app.state.runtime.loaded()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def exposures(settings: Settings) -> list[dict]:
    """All lines of the exposure log."""
    return [json.loads(line) for line in Path(settings.exposures).read_text(encoding="utf-8").splitlines()]
