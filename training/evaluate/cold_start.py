"""What a guest gets: quality against the number of tracks that they say they like.

The guests are listeners whose history is known: of each so many tracks are drawn and folded in as a guest's are, and
the ranking is judged as the listener's own. What they heard in training is left out of every ranking, named or not, so
all points of a curve choose among the same tracks.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.errors import DataError
from training.bootstrap import estimates, share_of
from training.evaluate.held_out import HeldOut
from training.evaluate.results import ColdStart, ColdStartPoint
from training.evaluate.subject import Subject
from training.metrics import Column, Truth, rank_metrics, sample

LIKED: Final = (1, 2, 5, 10, 20)
"""Tracks that a guest names, beside none, for which they get what is popular."""

LONG_ENOUGH: Final = 20
"""Tracks that a listener must have liked to be a guest, unless somebody says how many."""

MOST_GUESTS: Final = 1000
"""Of more listeners who could be guests so many are drawn, unless somebody says how many."""


def judge_guests(
    held_out: HeldOut,
    subjects: Sequence[Subject],
    user_ids: Sequence[str],
    k: int,
    seed: int,
    at_least: int = LONG_ENOUGH,
    at_most: int | None = MOST_GUESTS,
) -> ColdStart:
    """Return the curve of every model over the same guests, who liked at least so many tracks in training.

    Who has fewer than a point asks for names them all. Of more than `at_most` so many are drawn. DataError where there
    is no such listener.
    """
    allowed = held_out.users("new").intersection(user_ids)
    pairs = held_out.train[(held_out.train["score"] > 0) & held_out.train["user_id"].isin(allowed)]
    histories = {str(user_id): sorted(tracks) for user_id, tracks in pairs.groupby("user_id")["track_id"]}
    able = sorted(user_id for user_id, tracks in histories.items() if len(tracks) >= at_least)
    able = [user_id for user_id in able if all(_knows(subject, histories[user_id]) for subject in subjects)]
    if not able:
        raise DataError(f"a guest curve needs listeners with {at_least} liked tracks and something new to judge by")
    guests = [able[row] for row in sample(np.arange(len(able)), at_most, seed)]
    rng = np.random.default_rng(seed)
    shuffled = {user_id: rng.permutation(np.array(histories[user_id], dtype=object)).tolist() for user_id in guests}
    return ColdStart(
        guests=len(guests),
        able=len(able),
        at_least=at_least,
        metric=f"ndcg@{k}",
        points=[point for subject in subjects for point in _curve(held_out, subject, shuffled, k, seed)],
    )


def _knows(subject: Subject, track_ids: Sequence[str]) -> bool:
    return bool((subject.model.tracks.rows(track_ids) >= 0).all())


def _curve(
    held_out: HeldOut, subject: Subject, histories: dict[str, list[str]], k: int, seed: int
) -> list[ColdStartPoint]:
    """Return a point for each number of liked tracks, for all of them, and for the listener as the model knows them."""
    model = subject.model
    truth = held_out.truth(model.users, model.tracks, "new")
    guests = model.users.rows(list(histories))
    tracks = {
        row: torch.from_numpy(model.tracks.rows(ids))
        for row, ids in zip(guests.tolist(), histories.values(), strict=True)
    }
    popularity = torch.from_numpy(model.history.listeners.astype(np.float32))

    def folded(named: int | None) -> Callable[[Tensor], Tensor]:
        return lambda rows: model.score(model.fold_in([tracks[row][:named] for row in rows.tolist()]))

    popular = _ndcg(lambda rows: popularity.repeat(len(rows), 1), truth, guests, k)
    full = _ndcg(subject.score, truth, guests, k)
    rankings: dict[str, Column] = {
        "0": popular,
        **{str(named): _ndcg(folded(named), truth, guests, k) for named in LIKED},
        "all": _ndcg(folded(None), truth, guests, k),
        "known": full,
    }
    return [
        ColdStartPoint(
            model=subject.name,
            liked=name,
            quality=estimates({"ndcg": column}, seed)["ndcg"],
            share=share_of(column, full, seed) if full.mean() > popular.mean() else None,
        )
        for name, column in rankings.items()
    ]


def _ndcg(score: Callable[[Tensor], Tensor], truth: Truth, guests: NDArray[np.int64], k: int) -> Column:
    return rank_metrics(score, truth, (k,), guests).columns[f"ndcg@{k}"]
