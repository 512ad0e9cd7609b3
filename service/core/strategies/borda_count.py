"""High on everyone's list: rank points added up (Borda 1781; Masthoff)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen, percent


def borda_count(ballots: Ballots, k: int) -> Tensor:
    """Rank by the weighted sum of points: one for each track that a member puts lower, half for each tie."""
    points = _doubled_points(ballots.votes.flatten(0, 1).numpy(force=True))
    per_member = torch.from_numpy(points).to(ballots.votes.device).view_as(ballots.votes)
    return ballots.rank_by(torch.bmm(ballots.weights[:, None, :], per_member)[:, 0], k)


def _doubled_points(votes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return twice the points of each row: whole numbers, so that equal totals are equal and not nearly so.

    Of a run of ties in ascending order that begins at place a and ends before place b, each track has a lower ones
    and b - a - 1 equal ones: 2 a + (b - a - 1) = a + b - 1 half points.
    """
    order = votes.argsort(axis=1)
    rising = np.take_along_axis(votes, order, axis=1)
    places = np.arange(votes.shape[1])
    begins = np.ones(votes.shape, dtype=bool)
    begins[:, 1:] = rising[:, 1:] != rising[:, :-1]
    first = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    ends = np.roll(begins, -1, axis=1)
    ends[:, -1] = True
    last = np.minimum.accumulate(np.where(ends, places, len(places))[:, ::-1], axis=1)[:, ::-1]
    points = np.empty(votes.shape, dtype=np.float32)
    np.put_along_axis(points, order, (first + last).astype(np.float32), axis=1)
    return points


def borda_count_says(chosen: Chosen) -> list[str | None]:
    """Say how high it is on the lists: points are percentiles but for a factor."""
    return [f"above {percent(share)} of all tracks on your lists" for share in chosen.parts @ chosen.percentiles]
