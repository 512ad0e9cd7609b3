"""Small worlds that a reader can solve by eye."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.core.artifacts import ArtifactStore, DataFingerprint, Manifest, new_version
from service.core.ballots import Ballots
from service.core.calibration import Calibration
from service.core.catalogue import TrackInfo
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from service.core.rules import Rules

FOLD_IN = {"unobserved_weight": 0.1, "liked_confidence": 1.0, "regularization": 0.01}


class Table:
    """A model whose vectors are what their owners think of each track."""

    def __init__(self, tracks: int) -> None:
        self.tracks = range(tracks)
        self.calibration = Calibration.measure(torch.empty(0, tracks))

    def score(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.clone()

    def score_tracks(self, vectors: torch.Tensor, track_rows: torch.Tensor) -> torch.Tensor:
        return vectors.gather(2, track_rows[:, None, :].expand(-1, vectors.shape[1], -1))


def ballots(
    votes: Sequence[Sequence[float]],
    weights: Sequence[float] | None = None,
    *,
    excluded: Sequence[int] = (),
    played: Sequence[int] = (),
    seed: int = 0,
    model: type[Table] = Table,
    rules: Rules | None = None,
) -> Ballots:
    """One group: a line of votes a member, a column a track."""
    table = torch.tensor([votes], dtype=torch.float32)
    eligible = None
    if excluded:
        eligible = torch.ones(1, table.shape[2], dtype=torch.bool)
        eligible[0, list(excluded)] = False
    member_weights = torch.tensor([weights or [1.0] * len(votes)], dtype=torch.float32)
    heard = torch.tensor([list(played)], dtype=torch.long)
    return Ballots(
        model(table.shape[2]),
        table,
        Calibration.measure(table[0]),
        by_relevance=False,
        weights=member_weights,
        eligible=eligible,
        played=heard,
        seeds=(seed,),
        rules=None if rules is None else [rules],
    )


def falling(far: float, users: int = 1) -> Calibration:
    """Scores of 4,000 tracks that fall from 1 to .8 by the 30th, `far` by the 1,000th and 0 by the last."""
    corners = ([1, 30, 1000, 3960], [1.0, 0.8, far, 0.0])
    scores = np.interp(np.arange(1, 4001), *corners).astype(np.float32)
    return Calibration.measure(torch.from_numpy(scores).expand(users, -1))


def history_arrays(plays: Mapping[str, Mapping[str, float]], tracks: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """The three arrays of a history from {user: {track: score}}."""
    rows = [sorted((tracks.index(track), score) for track, score in heard.items()) for heard in plays.values()]
    return {
        "history_indptr": np.cumsum([0, *map(len, rows)]).astype(np.int64),
        "history_rows": np.array([row for line in rows for row, _ in line], dtype=np.int32),
        "history_scores": np.array([score for line in rows for _, score in line], dtype=np.float32),
    }


def dense(plays: Mapping[str, Mapping[str, float]], tracks: Sequence[str]) -> torch.Tensor:
    """The same as a table, (users, tracks)."""
    return torch.tensor([[heard.get(track, 0.0) for track in tracks] for heard in plays.values()])


def manifest(name: str, kind: str, *, users: int, tracks: int, **changes: object) -> Manifest:
    """A manifest for a model that nobody trained."""
    return Manifest.model_validate(
        {
            "name": name,
            "version": new_version(),
            "algorithm": name,
            "kind": kind,
            "created_at": datetime.now(UTC),
            "data": DataFingerprint(sha256="0" * 64, users=users, tracks=tracks, pairs=0),
            "sha256": {},
            **changes,
        }
    )


def publish_counts(
    root: Path, plays: Mapping[str, Mapping[str, float]], tracks: Sequence[str], name: str = "basic"
) -> Manifest:
    """Publish a model of kind top_tracks."""
    calibration = Calibration.measure(dense(plays, tracks))
    arrays = history_arrays(plays, tracks) | calibration_arrays(calibration)
    return ArtifactStore(root).publish(
        manifest(name, "top_tracks", users=len(plays), tracks=len(tracks)),
        arrays,
        list(plays),
        list(tracks),
        [TrackInfo(title=f"Song {track}", artist=f"Band {track[0]}") for track in tracks],
    )


def publish_factors(
    root: Path,
    user_factors: Mapping[str, Sequence[float]],
    item_factors: Mapping[str, Sequence[float]],
    plays: Mapping[str, Mapping[str, float]] | None = None,
    *,
    name: str = "wmf",
    similarity: str = "dot",
    fold_in: Mapping[str, float] = FOLD_IN,
) -> Manifest:
    """Publish a model of kind factors."""
    users, tracks = list(user_factors), list(item_factors)
    x = torch.tensor(list(user_factors.values()), dtype=torch.float32)
    y = torch.tensor(list(item_factors.values()), dtype=torch.float32)
    heard = {user: (plays or {}).get(user, {}) for user in users}
    arrays = (
        {"user_factors": x.numpy(), "item_factors": y.numpy()}
        | history_arrays(heard, tracks)
        | calibration_arrays(Calibration.measure(x @ y.T))
    )
    return ArtifactStore(root).publish(
        manifest(
            name,
            "factors",
            users=len(users),
            tracks=len(tracks),
            scoring={"similarity": similarity, "fold_in": fold_in},
        ),
        arrays,
        users,
        tracks,
        [TrackInfo(title=f"Song {track}", artist=f"Band {track[0]}") for track in tracks],
    )


def publish_item_item(
    root: Path,
    weights: Mapping[str, Mapping[str, float]],
    plays: Mapping[str, Mapping[str, float]],
    *,
    name: str = "ease",
) -> Manifest:
    """Publish a model of kind item_item from {track: {neighbour: weight}}."""
    tracks = list(weights)
    rows = history_arrays(weights, tracks)
    heard = history_arrays(plays, tracks)
    table = dense(weights, tracks)
    profile = (heard["history_scores"] > 0).astype(np.float32)
    scores = (dense(plays, tracks) > 0).float() @ table
    arrays = {
        "neighbour_indptr": rows["history_indptr"],
        "neighbour_rows": rows["history_rows"],
        "neighbour_weights": rows["history_scores"],
        "profile_weights": profile,
    }
    return ArtifactStore(root).publish(
        manifest(name, "item_item", users=len(plays), tracks=len(tracks)),
        arrays | heard | calibration_arrays(Calibration.measure(scores)),
        list(plays),
        tracks,
        [TrackInfo(title=f"Song {track}", artist=f"Band {track[0]}") for track in tracks],
    )


def publish_blend(root: Path, weights: Mapping[str, float], *, name: str = "blend") -> Manifest:
    """Publish a blend of models that are published already, with these weights."""
    artifacts = [ArtifactStore(root).load(part) for part in weights]
    models = [recommender_of(artifact) for artifact in artifacts]
    users = torch.arange(len(artifacts[0].users))
    scores = [model.score(model.user_vectors(users)) for model in models]
    spread = torch.stack([table.std(dim=1, correction=0) for table in scores], dim=1)
    blended = sum(
        weight * table / table.std(dim=1, correction=0, keepdim=True).clamp(min=1e-9)
        for weight, table in zip(weights.values(), scores, strict=True)
    )
    assert isinstance(blended, torch.Tensor)
    parts = [
        {"name": part, "kind": artifact.manifest.kind, "scoring": artifact.manifest.scoring, "weight": weight}
        for (part, weight), artifact in zip(weights.items(), artifacts, strict=True)
    ]
    own = {
        f"{place}.{array}": values
        for place, artifact in enumerate(artifacts)
        for array, values in artifact.arrays.items()
        if not array.startswith(("history", "calibration"))
    }
    history = {array: values for array, values in artifacts[0].arrays.items() if array.startswith("history")}
    return ArtifactStore(root).publish(
        manifest(name, "blend", users=len(users), tracks=len(artifacts[0].tracks), scoring={"parts": parts}),
        {**own, **history, **calibration_arrays(Calibration.measure(blended)), "part_spreads": spread.numpy()},
        artifacts[0].users.ids,
        artifacts[0].tracks.ids,
        [TrackInfo(title=f"Song {track}", artist=f"Band {track[0]}") for track in artifacts[0].tracks],
    )


def calibration_arrays(calibration: Calibration) -> dict[str, NDArray[np.generic]]:
    """The two arrays of a calibration."""
    return {
        "calibration_ranks": calibration.ranks,
        "calibration_scores": calibration.scores,
    }


def load(root: Path, name: str) -> Recommender:
    """Load a model from its files."""
    return recommender_of(ArtifactStore(root).load(name))
