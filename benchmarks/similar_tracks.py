"""What ten similar tracks are worth, for several models side by side, on playlists-2018.

    TUTTI_DATA=... python -m benchmarks.similar_tracks [MODEL ...]

Each playlist of the hold-out whose order is known asks with its last known track and is answered with the ten nearest:
`held out` is the share of playlists that find any of their held-out tracks among them, `artist` and `album` the mean
share of the ten by the artist, on the album of the track asked with. Over all tracks of the catalogue: `coverage`, the
share of it in somebody's ten, and `listeners`, the median of the neighbours'. Parameters were chosen on `validation`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import process_time
from typing import Final, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.holdout_2018 import FOLDERS, prepared_holdout
from service.core.ranking import top_k
from service.core.recommender import SimilarTracks
from training.bootstrap import differences, estimates
from training.cold_tracks import with_cold_tracks
from training.data import PreparedData
from training.models import ALGORITHMS
from training.models.algorithm import silent
from training.recordings import UNLABELLED, artist_of, labels_of
from training.served import served

RESULTS: Final = Path(__file__).parent / "results" / "similar_tracks.json"
HOLDOUT: Final = FOLDERS["targets"]
ANCHOR: Final = "item_knn cosine, shrinkage 20"
K: Final = 10
NOBODY: Final = -1
_ROWS_AT_ONCE: Final = 512

Lists = NDArray[np.int64]
"""(tracks, K) rows of the nearest of each track, best first, `NOBODY` where it has fewer."""
Columns = dict[str, NDArray[np.float64]]
Row = dict[str, float]
Split = Literal["validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("validation", "test")


@dataclass(frozen=True, eq=False)
class Questions:
    """Tracks that playlists ask with, and what would have been a good answer."""

    tracks: NDArray[np.int64]
    """(playlists,) row of the last known track."""
    held_out: list[NDArray[np.int64]]
    """Rows of the held-out tracks of each."""

    @classmethod
    def of(cls, data: PreparedData, split: Split) -> "Questions":
        """Return what the playlists ask whose held-out tracks are the end of a known order."""
        train, hidden = (
            pd.read_parquet(HOLDOUT / f"{name}.parquet").dropna(subset="position") for name in ("train", split)
        )
        held_out = hidden.groupby("user_id")["track_id"].agg(list)
        known = train[train["user_id"].isin(held_out.index)].sort_values("position")
        last = known.groupby("user_id")["track_id"].last()
        rows = data.interactions.tracks.rows
        return cls(rows(last.tolist()), [rows(held_out[playlist]) for playlist in last.index])

    def judged(self, lists: Lists, labels: Mapping[str, NDArray[np.int64]]) -> Columns:
        """Return the figures of every playlist, all (playlists,); labels are those of all tracks, (tracks,)."""
        answers = lists[self.tracks]
        hits = [np.isin(answer, held_out).any() for answer, held_out in zip(answers, self.held_out, strict=True)]
        shares = {name: same_label(label, self.tracks, answers) for name, label in labels.items()}
        return {"held out": np.array(hits, dtype=np.float64), **shares}


def same_label(labels: NDArray[np.int64], tracks: NDArray[np.int64], answers: Lists) -> NDArray[np.float64]:
    """Return the share of the K places that bear the label of the track; an empty place bears none."""
    own = labels[tracks][:, None]
    same: NDArray[np.float64] = ((labels[answers] == own) & (own != UNLABELLED) & (answers != NOBODY)).mean(axis=1)
    return same


def popular(data: PreparedData) -> Lists:
    """Return the same tracks for all, those that most have."""
    best = np.argsort(-listeners_of(data), kind="stable")[: K + 1]
    return np.stack([best[best != track][:K] for track in range(data.interactions.matrix.shape[1])])


def cooccurring(data: PreparedData) -> Lists:
    """Return those that most have beside the track."""
    played = data.interactions.matrix
    by_track = played.T.tocsr()
    return in_blocks(by_track.shape[0], lambda block: torch.from_numpy((by_track[block] @ played).toarray()))


def in_blocks(tracks: int, scores: Callable[[slice], torch.Tensor]) -> Lists:
    """Return the lists that scores (tracks of the block, tracks) give; what scores 0 is no neighbour."""
    parts = []
    for begin in range(0, tracks, _ROWS_AT_ONCE):
        block = scores(slice(begin, begin + _ROWS_AT_ONCE))
        own = torch.arange(len(block))
        block[own, begin + own] = 0
        values, rows = top_k(block, K)
        parts.append(rows.masked_fill(values <= 0, NOBODY).numpy())
    return np.concatenate(parts)


def factors(name: str, similarity: str) -> Callable[[PreparedData], Lists]:
    """Return how a model of kind `factors` answers: by the dot products of its item factors or by their cosines."""

    def lists(data: PreparedData) -> Lists:
        y = item_factors(name, data)
        if similarity == "cosine":
            y = torch.nn.functional.normalize(y, dim=1)
        return in_blocks(len(y), lambda block: y[block] @ y.T)

    return lists


@cache
def item_factors(name: str, data: PreparedData) -> torch.Tensor:
    """Return the item factors of a model, fitted once for both similarities."""
    fit = ALGORITHMS[name].preset().fit(data, seed=0, device="cpu", progress=silent)
    return torch.from_numpy(fit.arrays["item_factors"])


def item_item(name: str, preset: str = "default", **parameters: object) -> Callable[[PreparedData], Lists]:
    """Return how a model of kind `item_item` answers, asked as the service asks it."""

    def lists(data: PreparedData) -> Lists:
        algorithm = ALGORITHMS[name].preset(preset, parameters)
        known = with_cold_tracks(data, HOLDOUT) if algorithm.whole_catalogue else data
        fit = algorithm.fit(known, seed=0, device="cpu", progress=silent)
        model = served(algorithm.kind, fit.scoring, fit.arrays, known.interactions)
        assert isinstance(model, SimilarTracks)
        answers = np.full((len(known.interactions.tracks), K), NOBODY)
        for track in range(len(answers)):
            rows = model.similar(track, K).rows
            answers[track, : len(rows)] = rows
        return answers

    return lists


MODELS: Final[dict[str, Callable[[PreparedData], Lists]]] = {
    "popularity": popular,
    "co-occurrence": cooccurring,
    "wmf dot": factors("wmf", "dot"),
    "wmf cosine": factors("wmf", "cosine"),
    "softmax cosine": factors("softmax", "cosine"),
    "ease": item_item("ease"),
    ANCHOR: item_item("item_knn", "original"),
    "item_knn jaccard": item_item("item_knn", "original", normalization="jaccard"),
    "item_knn": item_item("item_knn"),
    "similar, content 0": item_item("similar", content=0),
    "similar": item_item("similar"),
}


def listeners_of(data: PreparedData) -> NDArray[np.int64]:
    """Return how many playlists have each track, (tracks,)."""
    return np.bincount(data.interactions.matrix.indices, minlength=data.interactions.matrix.shape[1])


def measured(name: str, data: PreparedData, catalogue: PreparedData, anchor: dict[Split, Columns]) -> Row:
    """Return the figures of a model, and how they differ from those of the anchor, which is measured first."""
    started = process_time()
    lists = MODELS[name](data)
    row: Row = {"cpu_s": process_time() - started}
    labels = {
        "artist": labels_of([artist_of(info) for info in catalogue.catalogue]),
        "album": labels_of([info.album_id for info in catalogue.catalogue]),
    }
    for split in SPLITS:
        columns = Questions.of(data, split).judged(lists, labels)
        gaps = differences(columns, anchor.setdefault(split, columns), seed=0)
        for figure, estimate in estimates(columns, seed=0).items():
            for suffix, value in (("", estimate), (" minus anchor", gaps[figure])):
                title = f"{split} {figure}{suffix}"
                low, high = value.ends
                row |= {title: value.mean, f"{title} low": low, f"{title} high": high}
    shown = lists[lists != NOBODY]
    row["coverage"] = len(np.unique(shown)) / len(catalogue.catalogue)
    row["listeners"] = float(np.median(listeners_of(catalogue)[shown]))
    return row


def line(name: str, row: Row) -> str:
    """Return a line of the table."""
    figures = [
        f"{figure} {row[title]:.3f} [{row[f'{title} low']:.3f}, {row[f'{title} high']:.3f}]"
        for figure in ("held out", "artist", "album")
        if (title := f"test {figure}")
    ]
    return "  ".join([f"{name:30}", *figures, f"coverage {row['coverage']:.3f}", f"listeners {row['listeners']:.0f}"])


def main() -> None:
    """Run the models that are asked for, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all by default")
    chosen = parser.parse_args().models or list(MODELS)
    source = os.environ.get("TUTTI_DATA")
    if not source:
        print("similar_tracks: TUTTI_DATA is not set, left out", file=sys.stderr)
        return
    data = prepared_holdout(Path(source) / "playlists-2018", "targets")
    catalogue = with_cold_tracks(data, HOLDOUT)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    anchor: dict[Split, Columns] = {}
    for name in [ANCHOR, *(name for name in chosen if name != ANCHOR)]:
        results[name] = measured(name, data, catalogue, anchor)
        print(line(name, results[name]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({name: results[name] for name in MODELS if name in results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
