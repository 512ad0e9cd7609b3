"""The tracks among which the strategies that pick one after another look."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import NONE, Ballots
from service.core.ranking import top_k

LENGTH: Final = 400
"""Tracks on the list, twice what a request may ask for."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The most promising tracks of each group, by the sum of the cubes of relevance.

    The cube lets both what everybody likes and what one member loves onto the list.
    """

    rows: Tensor
    """(groups, tracks), best first; `NONE` where a group may get fewer."""
    votes: Floats
    """(groups, members, tracks), 0 where there is no track."""
    weights: Floats
    """(groups, members), adding up to 1."""
    closed: NDArray[np.bool_]
    """(groups, tracks) True where there is no track."""

    @classmethod
    def of(cls, ballots: Ballots) -> "Shortlist":
        """Return the shortlist of each group."""
        shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
        sums = torch.bmm(shares[:, None, :], ballots.votes.pow(3))[:, 0]
        if ballots.allowed is not None:
            sums.masked_fill_(~ballots.allowed, -torch.inf)
        values, rows = top_k(sums, LENGTH)
        closed = values == -torch.inf
        votes = ballots.votes.gather(2, rows[:, None, :].expand(-1, ballots.members, -1))
        votes = votes.masked_fill(closed[:, None, :], 0)
        return cls(
            rows.masked_fill(closed, NONE),
            votes.numpy(force=True),
            shares.numpy(force=True),
            closed.numpy(force=True),
        )

    def pick(
        self, k: int, gains: Callable[[], NDArray[np.floating]], take: Callable[[NDArray[np.int64]], None]
    ) -> Tensor:
        """Return the tracks (groups, k) that gain most one after another, of equal gains the more promising.

        `gains` says what each track (groups, tracks) would add now; `take` is told the place of each group's winner.
        """
        groups = np.arange(len(self.votes))
        barred = np.where(self.closed, -np.inf, 0.0)
        k = min(k, barred.shape[1])
        places = np.empty((len(groups), k), dtype=np.int64)
        for step in range(k):
            gain = gains() + barred
            winner = gain.argmax(axis=1)
            places[:, step] = np.where(gain[groups, winner] > -np.inf, winner, NONE)
            take(winner)
            barred[groups, winner] = -np.inf
        won = torch.from_numpy(places).to(self.rows.device)
        return self.rows.gather(1, won.clamp(min=0)).masked_fill(won == NONE, NONE)
