"""A world that a reader can solve by eye: half of the listeners like even tracks, half like odd ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from service.core.artifacts import ArtifactStore, DataFingerprint
from service.core.calibration import Calibration
from service.core.catalogue import TrackInfo
from tests.core.worlds import FOLD_IN, calibration_arrays, manifest
from training.data import load

LISTENERS, TRACKS = 12, 20

Pair = tuple[str, str, float]


def write_split(folder: Path, split: str, pairs: list[Pair]) -> None:
    frame = pd.DataFrame(pairs, columns=["user_id", "track_id", "score"]).astype({"score": "float32"})
    frame.to_parquet(folder / f"{split}.parquet")


def write_world(folder: Path) -> None:
    """Each listener heard 8 of the 10 tracks of their parity, later the other 2, and the first of the 8 again."""
    folder.mkdir()
    mine = {u: [t for t in range(TRACKS) if t % 2 == u % 2] for u in range(LISTENERS)}
    heard = {u: [t for t in mine[u] if t % 5 != u % 5] for u in mine}
    new = {u: [t for t in mine[u] if t % 5 == u % 5] for u in mine}
    write_split(folder, "train", [(f"u{u:02}", f"t{t:02}", 1 + u % 3) for u in mine for t in heard[u]])
    held_out = [(f"u{u:02}", f"t{t:02}", 1.0) for u in mine for t in [*new[u], heard[u][0]]]
    write_split(folder, "validation", held_out)
    write_split(folder, "test", [])
    pd.DataFrame({"track_id": [f"t{t:02}" for t in range(TRACKS)]}).to_parquet(folder / "tracks.parquet")


def publish(
    prepared: Path, store: ArtifactStore, name: str, factors: tuple[NDArray[np.float32], NDArray[np.float32]] | None
) -> None:
    """Publish factors (listeners, dim) and (tracks, dim), or play counts where there are none."""
    data = load(prepared)
    matrix, users, tracks = data.interactions.matrix, data.interactions.users, data.interactions.tracks
    scores = matrix.toarray() if factors is None else factors[0] @ factors[1].T
    arrays: dict[str, NDArray[np.generic]] = {
        "history_indptr": matrix.indptr.astype(np.int64),
        "history_rows": matrix.indices.astype(np.int32),
        "history_scores": matrix.data,
        **calibration_arrays(Calibration.measure(torch.from_numpy(scores))),
    }
    if factors is not None:
        arrays |= {"user_factors": factors[0], "item_factors": factors[1]}
    store.publish(
        manifest(
            name,
            "top_tracks" if factors is None else "factors",
            users=len(users),
            tracks=len(tracks),
            data=DataFingerprint(sha256=data.fingerprint, users=len(users), tracks=len(tracks), pairs=matrix.nnz),
            scoring={} if factors is None else {"similarity": "dot", "fold_in": FOLD_IN},
            curve=[] if factors is None else [{"epoch": n, "train_loss": 1 / n} for n in range(1, 6)],
        ),
        arrays,
        users.ids,
        tracks.ids,
        [TrackInfo(title=f"Title {t}", artist=f"Artist {t[-1]}") for t in tracks],
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "prepared"
    write_world(folder)
    return folder


@pytest.fixture(scope="session")
def models(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`basic`; `seer`, who knows who likes what; and `fool`, who believes the opposite."""
    store = ArtifactStore(tmp_path_factory.mktemp("models"))
    data = load(prepared).interactions
    users, tracks = (
        np.eye(2, dtype=np.float32)[[int(public_id[1:]) % 2 for public_id in index]]
        for index in (data.users, data.tracks)
    )
    publish(prepared, store, "basic", None)
    publish(prepared, store, "seer", (users, tracks))
    publish(prepared, store, "fool", (users, -tracks))
    return store.root
