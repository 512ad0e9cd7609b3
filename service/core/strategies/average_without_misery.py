"""The best on average among what nobody hates (Masthoff; MusicFX)."""

from typing import Final

import torch
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen
from service.core.strategies.least_misery import least_relevance

MISERY: Final = 0.2
"""Relevance that is too little for any member."""


def average_without_misery(ballots: Ballots, k: int) -> Tensor:
    """Rank by the mean of relevance, tracks that give everybody more than `MISERY` before all others."""
    shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
    average = torch.bmm(shares[:, None, :], ballots.votes)[:, 0]
    return ballots.rank_by(average + 2 * (least_relevance(ballots) > MISERY), k)


def average_without_misery_says(chosen: Chosen) -> list[str | None]:
    """Say whether nobody vetoes it."""
    importance = (chosen.weights / chosen.weights.max())[:, None]
    least = (1 - importance * (1 - chosen.votes)).min(axis=0) if (importance < 1).any() else chosen.votes.min(axis=0)
    return [
        "nobody is below the veto" if relevance > MISERY else "of every track left somebody is below the veto"
        for relevance in least
    ]
