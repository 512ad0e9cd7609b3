"""From a fitted model to a published artifact: history, calibration and validation figures are added here."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from service.core.artifacts import ArtifactStore, DataFingerprint, Manifest, new_version
from service.core.calibration import Calibration
from service.core.errors import TrainingError
from service.core.ids import count_groups
from service.core.recommender import Recommender
from training.data import PreparedData
from training.metrics import validation_metrics
from training.models.algorithm import Algorithm, Fitted
from training.served import Arrays, history_arrays, served

_SCORES_AT_ONCE: Final = 4_000_000
"""Scores held at a time, 16 MB."""


@dataclass(frozen=True)
class Training:
    """How a model came about."""

    algorithm_name: str
    algorithm: Algorithm
    preset: str
    seed: int
    device: str


def publish(
    store: ArtifactStore, name: str, fitted: Fitted, training: Training, seconds: float, data: PreparedData
) -> Manifest:
    """Publish what a training fitted in so many seconds as the current version of `name`."""
    check_finite(fitted.arrays, training.algorithm_name)
    interactions = data.interactions
    model = served(training.algorithm.kind, fitted.scoring, fitted.arrays, interactions)
    calibration = calibrate(model)
    metrics = {
        **fitted.metrics,
        **validation_metrics(lambda rows: model.score(model.user_vectors(rows)), data),
        "training_seconds": seconds,
    }
    return store.publish(
        draft_manifest(name, fitted, training, data).model_copy(update={"metrics": metrics}),
        {**fitted.arrays, **history_arrays(interactions), **calibration_arrays(calibration)},
        interactions.users.ids,
        interactions.tracks.ids,
        data.catalogue,
    )


def draft_manifest(name: str, fitted: Fitted, training: Training, data: PreparedData) -> Manifest:
    """Return the manifest of a new version, without its metrics and digests."""
    interactions = data.interactions
    groups = count_groups(interactions.users)
    return Manifest(
        name=name,
        version=new_version(),
        algorithm=training.algorithm_name,
        kind=training.algorithm.kind,
        created_at=datetime.now(UTC),
        data=DataFingerprint(
            sha256=data.fingerprint,
            users=len(interactions.users) - groups,
            groups=groups,
            tracks=len(interactions.tracks),
            pairs=interactions.matrix.nnz,
        ),
        scoring=dict(fitted.scoring),
        parameters={
            **training.algorithm.model_dump(mode="json"),
            "preset": training.preset,
            "seed": training.seed,
            "device": training.device,
        },
        curve=fitted.curve,
        sha256={},
    )


def check_finite(arrays: Arrays, algorithm: str) -> None:
    """Raise `TrainingError` for NaN or infinity: there is nothing to publish."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise TrainingError(f"{algorithm} diverged: {name} is not finite; try a smaller learning rate")


def calibration_arrays(calibration: Calibration) -> dict[str, NDArray[np.generic]]:
    """Return a calibration as the arrays every artifact carries."""
    return {
        "calibration_ranks": calibration.ranks,
        "calibration_scores": calibration.scores,
    }


@torch.inference_mode()
def calibrate(model: Recommender) -> Calibration:
    """Return what the scores of all users are worth, some users at a time."""
    users_at_once = max(1, _SCORES_AT_ONCE // len(model.tracks))
    parts = [
        Calibration.measure(model.score(model.user_vectors(rows)))
        for rows in torch.split(torch.arange(len(model.users)), users_at_once)
    ]
    return Calibration(parts[0].ranks, np.concatenate([part.scores for part in parts]))
