"""A model that was just fitted, as the service would load it: what is measured is what is served."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from service.core.artifacts import Artifact, DataFingerprint, Manifest
from service.core.calibration import calibration_ranks
from service.core.catalogue import Catalogue
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from training.data import Interactions

Arrays = Mapping[str, NDArray[np.generic]]


def history_arrays(interactions: Interactions) -> dict[str, NDArray[np.generic]]:
    """Return the training data as the arrays every artifact carries."""
    matrix = interactions.matrix
    return {
        "history_indptr": matrix.indptr.astype(np.int64),
        "history_rows": matrix.indices.astype(np.int32),
        "history_scores": matrix.data.astype(np.float32),
    }


def served(kind: str, scoring: Mapping[str, JsonValue], arrays: Arrays, interactions: Interactions) -> Recommender:
    """Return a model of these arrays, those that its kind needs, as the service would load it.

    A recommender needs a calibration and a calibration the recommender's scores: this one starts with zeros.
    """
    users, tracks = interactions.matrix.shape
    manifest = Manifest(
        name="draft",
        version="draft",
        algorithm="draft",
        kind=kind,
        created_at=datetime.now(UTC),
        data=DataFingerprint(sha256="", users=users, tracks=tracks, pairs=interactions.matrix.nnz),
        scoring=dict(scoring),
        sha256={},
    )
    ranks = calibration_ranks(tracks)
    blank = {"calibration_ranks": ranks, "calibration_scores": np.zeros((users, len(ranks)), dtype=np.float32)}
    artifact = Artifact(
        path=Path(manifest.name),
        manifest=manifest,
        arrays={**arrays, **history_arrays(interactions), **blank},
        users=interactions.users,
        tracks=interactions.tracks,
        catalogue=Catalogue(),
        device=torch.device("cpu"),
    )
    return recommender_of(artifact)
