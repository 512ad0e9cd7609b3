"""Raises the least served: the mean of the members' utilities and their minimum in balance (Xiao et al., RecSys 2017).

A member's utility of a list is its mean relevance; greedily, lambda * mean + (1 - lambda) * min.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots
from service.core.ranking import NONE
from service.core.sentences import Chosen, name, percent
from service.core.shortlist import Floats, Shortlist

BALANCE: Final = 0.5
"""Lambda: 1 is the average strategy, 0 looks at the least served member alone."""


def greedy_lm(ballots: Ballots, k: int) -> Tensor:
    """Rank greedily by BALANCE * mean utility + (1 - BALANCE) * utility of the least served member.

    A light member's misery counts less, as in `least_misery`.
    """
    shortlist = Shortlist.of(ballots, k)
    importance = shortlist.weights / shortlist.weights.max(axis=1, keepdims=True)
    means = np.einsum("gm,gmt->gt", shortlist.weights, shortlist.votes)
    heeded = importance[:, :, None] * shortlist.votes
    heard = (ballots.played != NONE).sum(dim=1, keepdim=True).float().numpy(force=True)
    had = importance * ballots.played_votes().sum(axis=2) + (1 - importance) * (heard + 1)
    groups = np.arange(len(had))

    def gains() -> Floats:
        """Return what is wanted, times the length of the list, less what is the same for all tracks."""
        balanced: Floats = BALANCE * means + (1 - BALANCE) * (had[:, :, None] + heeded).min(axis=1)
        return balanced

    def take(winner: NDArray[np.int64]) -> None:
        had[:] += heeded[groups, :, winner] + 1 - importance

    return shortlist.pick(k, gains, take)


def greedy_lm_says(chosen: Chosen) -> list[str | None]:
    """Say who is served least after it, by mean relevance, and how well."""
    heard = np.concatenate([chosen.played, chosen.votes], axis=1)
    utility = heard.cumsum(axis=1, dtype=np.float64) / np.arange(1, heard.shape[1] + 1)
    return [
        f"{name(column.argmin())} is served least, with {percent(column.min())}"
        for column in utility[:, chosen.played.shape[1] :].T
    ]
