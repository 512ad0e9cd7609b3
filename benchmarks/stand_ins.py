"""What a liked track that nobody has played is worth to a guest, if others stand in for it.

`python -m benchmarks.stand_ins --data DIR --models DIR`: listeners of prepared data are guests who like five tracks of
their history, drawn at random; their test pairs judge, the whole history is left out. Some of the five are taken for
tracks that nobody has played. What stands in is what the model `similar` says of such a track: the most played of its
album, then of its artist.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from service.core.artifacts import ArtifactStore
from service.core.catalogue import TrackInfo
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from training.bootstrap import estimates
from training.data import PreparedData, load
from training.metrics import Truth, rank_metrics, sample
from training.recordings import artist_of

GUESTS: Final = 2000
LIKED: Final = 5
METRIC: Final = "ndcg@10"
SEED: Final = 0

Likes = Callable[[list[int]], list[int]]
"""What is folded in for five liked tracks."""


def main() -> None:
    """Print a table: what is folded in, and the quality of what guests get, for every model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--model", nargs="+", default=["ease", "item_knn", "wmf"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load(args.data)
    for name in args.model:
        judge(name, recommender_of(ArtifactStore(args.models).load(name)), data)


def judge(name: str, model: Recommender, data: PreparedData) -> None:
    """Print the lines of one model."""
    heard = data.interactions.positives
    truth = Truth.of(data.test, data.interactions.matrix.shape, excluded=data.interactions.matrix)
    able = truth.users[np.diff(heard.indptr)[truth.users] >= 2 * LIKED]
    guests = sample(able, GUESTS, SEED)
    rng = np.random.default_rng(SEED)
    five = {row: rng.choice(heard[[row]].indices, LIKED, replace=False).tolist() for row in guests.tolist()}
    kin = Kin(data.catalogue, model.history.listeners)

    def first_and_cold(known: int, size: int) -> Likes:
        return lambda rows: [*rows[:known], *(other for row in rows[known:] for other in kin.of(row, size))]

    cases: dict[str, Likes] = {
        "five tracks that the model knows": list,
        "three of them": lambda rows: rows[:3],
        **{f"three, and {size} for each of the others": first_and_cold(3, size) for size in (1, 2, 3)},
        **{f"{size} for each of the five": first_and_cold(0, size) for size in (1, 2, 3)},
    }
    popularity = torch.from_numpy(model.history.listeners.astype(np.float32))

    def scores(likes: Likes) -> Callable[[Tensor], Tensor]:
        return lambda rows: torch.cat([_scores(model, likes(five[row]), popularity) for row in rows.tolist()])

    for case, likes in {"nothing: popular tracks": lambda _: [], **cases}.items():
        column = rank_metrics(scores(likes), truth, (10,), guests).columns[METRIC]
        estimate = estimates({METRIC: column}, SEED)[METRIC]
        low, high = estimate.ends
        print(f"{name:10} {case:40} {estimate.mean:.4f} [{low:.4f}, {high:.4f}]", flush=True)


def _scores(model: Recommender, liked: list[int], popularity: Tensor) -> Tensor:
    return model.score(model.fold_in([torch.tensor(sorted(set(liked)))])) if liked else popularity[None].clone()


class Kin:
    """Who is on an album or by an artist, the most played first."""

    def __init__(self, catalogue: Sequence[TrackInfo], listeners: np.ndarray) -> None:
        self._catalogue = catalogue
        self._albums: defaultdict[str, list[int]] = defaultdict(list)
        self._artists: defaultdict[str, list[int]] = defaultdict(list)
        for row in np.argsort(-listeners, kind="stable").tolist():
            info = catalogue[row]
            if info.album_id is not None:
                self._albums[info.album_id].append(row)
            if (artist := artist_of(info)) is not None:
                self._artists[artist].append(row)

    def of(self, row: int, size: int) -> list[int]:
        """Return so many tracks that are most like one, without itself; fewer where there are no more."""
        info = self._catalogue[row]
        found = [*self._albums.get(info.album_id or "", []), *self._artists.get(artist_of(info) or "", [])]
        return [other for other in dict.fromkeys(found) if other != row][:size]


if __name__ == "__main__":
    main()
