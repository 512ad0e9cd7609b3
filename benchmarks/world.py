"""A synthetic artifact of any size, published like a trained one, for benchmarks of the service."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.artifacts import ArtifactStore, DataFingerprint, Manifest
from service.core.calibration import Calibration
from service.core.catalogue import TrackInfo

HEARD = 40
"""Tracks in a user's history."""

FOLD_IN = {"unobserved_weight": 0.1, "liked_confidence": 1.0, "regularization": 0.01}


def publish(root: Path, name: str, users: int, tracks: int, dim: int, seed: int = 0) -> None:
    """Publish factors whose lengths vary as popularity does, with histories, titles and artists."""
    rng = np.random.default_rng(seed)
    user_factors = rng.normal(size=(users, dim)).astype(np.float32) / dim**0.5
    lengths = rng.lognormal(0, 0.5, (tracks, 1))
    item_factors = (rng.normal(size=(tracks, dim)) * lengths).astype(np.float32) / dim**0.5
    calibration = measure_calibration(torch.from_numpy(user_factors), torch.from_numpy(item_factors))
    arrays: dict[str, NDArray[np.generic]] = {
        "user_factors": user_factors,
        "item_factors": item_factors,
        "calibration_ranks": calibration.ranks,
        "calibration_scores": calibration.scores,
        "history_indptr": np.arange(0, (users + 1) * HEARD, HEARD),
        "history_rows": np.sort(rng.integers(0, tracks - HEARD, (users, HEARD)) + np.arange(HEARD))
        .ravel()
        .astype(np.int32),
        "history_scores": np.ones(users * HEARD, dtype=np.float32),
    }
    manifest = Manifest(
        name=name,
        version="benchmark",
        algorithm="synthetic",
        kind="factors",
        created_at=datetime.now(UTC),
        data=DataFingerprint(sha256="0" * 64, users=users, tracks=tracks, pairs=users * HEARD),
        parameters={"seed": seed, "dim": dim},
        scoring={"fold_in": FOLD_IN},
        sha256={},
    )
    catalogue = [
        TrackInfo(
            title=f"Title of track {row}", artist=f"Artist {row // 10}", artist_id=f"a{row // 10}", duration_ms=180_000
        )
        for row in range(tracks)
    ]
    user_ids, track_ids = [f"u{row}" for row in range(users)], [f"t{row}" for row in range(tracks)]
    ArtifactStore(root).publish(manifest, arrays, user_ids, track_ids, catalogue)


def measure_calibration(user_factors: Tensor, item_factors: Tensor, users_at_once: int = 256) -> Calibration:
    """Return the calibration of all users (users, dim) over all tracks (tracks, dim)."""
    parts = [Calibration.measure(chunk @ item_factors.T) for chunk in torch.split(user_factors, users_at_once)]
    return Calibration(parts[0].ranks, np.concatenate([part.scores for part in parts]))
