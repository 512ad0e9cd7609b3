"""From a fitted model to a published artifact: history, calibration and validation figures are added here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from service.core.artifacts import Artifact, ArtifactStore, DataFingerprint, Manifest, new_version
from service.core.calibration import Calibration, calibration_ranks
from service.core.catalogue import Catalogue
from service.core.errors import TrainingError
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from training.data import Interactions, PreparedData
from training.metrics import validation_metrics
from training.models.algorithm import Algorithm, Fitted

Arrays = Mapping[str, NDArray[np.generic]]

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
    arrays = {**fitted.arrays, **history_arrays(interactions)}
    draft = draft_manifest(name, fitted, training, data)
    model = served(draft, arrays, interactions)
    calibration = calibrate(model)
    metrics = {
        **fitted.metrics,
        **validation_metrics(lambda rows: model.score(model.user_vectors(rows)), data),
        "training_seconds": seconds,
    }
    return store.publish(
        draft.model_copy(update={"metrics": metrics}),
        {**arrays, **calibration_arrays(calibration)},
        interactions.users.ids,
        interactions.tracks.ids,
        data.catalogue,
    )


def draft_manifest(name: str, fitted: Fitted, training: Training, data: PreparedData) -> Manifest:
    """Return the manifest of a new version, without its metrics and digests."""
    interactions = data.interactions
    return Manifest(
        name=name,
        version=new_version(),
        algorithm=training.algorithm_name,
        kind=training.algorithm.kind,
        created_at=datetime.now(UTC),
        data=DataFingerprint(
            sha256=data.fingerprint,
            users=len(interactions.users),
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


def history_arrays(interactions: Interactions) -> dict[str, NDArray[np.generic]]:
    """Return the training data as the arrays every artifact carries."""
    matrix = interactions.matrix
    return {
        "history_indptr": matrix.indptr.astype(np.int64),
        "history_rows": matrix.indices.astype(np.int32),
        "history_scores": matrix.data.astype(np.float32),
    }


def calibration_arrays(calibration: Calibration) -> dict[str, NDArray[np.generic]]:
    """Return a calibration as the arrays every artifact carries."""
    return {
        "calibration_ranks": calibration.ranks,
        "calibration_scores": calibration.scores,
    }


def served(manifest: Manifest, arrays: Arrays, interactions: Interactions) -> Recommender:
    """Return the model as the service would load it, so that what is measured is what is served.

    A recommender needs a calibration and a calibration the recommender's scores: this one starts with zeros.
    """
    users, tracks = interactions.matrix.shape
    ranks = calibration_ranks(tracks)
    blank = {"calibration_ranks": ranks, "calibration_scores": np.zeros((users, len(ranks)), dtype=np.float32)}
    artifact = Artifact(
        path=Path(manifest.name),
        manifest=manifest,
        arrays={**arrays, **blank},
        users=interactions.users,
        tracks=interactions.tracks,
        catalogue=Catalogue(),
        device=torch.device("cpu"),
    )
    return recommender_of(artifact)


@torch.inference_mode()
def calibrate(model: Recommender) -> Calibration:
    """Return what the scores of all users are worth, some users at a time."""
    users_at_once = max(1, _SCORES_AT_ONCE // len(model.tracks))
    parts = [
        Calibration.measure(model.score(model.user_vectors(rows)))
        for rows in torch.split(torch.arange(len(model.users)), users_at_once)
    ]
    return Calibration(parts[0].ranks, np.concatenate([part.scores for part in parts]))
