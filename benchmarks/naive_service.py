"""What one would write first: a sync route; the mean of the members' factors, one product, one topk a request."""

import os
from pathlib import Path

import torch
from fastapi import FastAPI
from pydantic import BaseModel

from service.core.artifacts import ArtifactStore


class Group(BaseModel):
    """Who listens."""

    user_ids: list[str]
    limit: int = 30


class Track(BaseModel):
    """One line of the playlist."""

    track_id: str
    position: int
    score: float
    title: str | None
    artist: str | None


class Playlist(BaseModel):
    """The answer."""

    tracks: list[Track]


def application() -> FastAPI:
    """Return the application; `MODELS` names the folder of the model "wmf"."""
    torch.set_num_threads(1)
    artifact = ArtifactStore(Path(os.environ["MODELS"])).load("wmf")
    user_factors = artifact.array("user_factors", rows=len(artifact.users), dimensions=2)
    item_factors = artifact.array("item_factors", rows=len(artifact.tracks), dimensions=2)
    titles, artists = artifact.catalogue.titles, artifact.catalogue.artists
    app = FastAPI()

    @app.post("/recommendations/group", response_model=Playlist)
    def recommend(group: Group) -> Playlist:
        rows = torch.tensor([artifact.users.row(user_id) for user_id in group.user_ids])
        best = torch.topk(item_factors @ user_factors[rows].mean(dim=0), group.limit)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Playlist(
            tracks=[
                Track(
                    track_id=artifact.tracks.ids[row],
                    position=place,
                    score=score,
                    title=titles[row],
                    artist=artists[row],
                )
                for place, (row, score) in enumerate(pairs, start=1)
            ]
        )

    return app
