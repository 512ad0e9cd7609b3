"""Nobody dislikes it: a track is worth what the least happy member gives it (Masthoff; PolyLens)."""

from typing import Final

import torch
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen, name, percent

_TIE_BREAK: Final = 1e-6
"""Weight of the mean relevance: where somebody has no opinion on anything, the others' opinions count."""


def least_misery(ballots: Ballots, k: int) -> Tensor:
    """Rank by the minimum of relevance, in which a light member's no counts less."""
    shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
    average = torch.bmm(shares[:, None, :], ballots.votes)[:, 0].double()
    return ballots.rank_by(least_relevance(ballots).double() + _TIE_BREAK * average, k)


def least_relevance(ballots: Ballots) -> Tensor:
    """Return what the least happy member, by weight, gives each track, (groups, tracks).

    1 - w (1 - relevance), w = weight / heaviest weight: the weighted minimum of fuzzy logic (Dubois & Prade,
    "Weighted minimum and maximum operations in fuzzy set theory", 1986) with Reichenbach's implication, which is
    relevance itself for equal weights.
    """
    importance = (ballots.weights / ballots.weights.amax(dim=1, keepdim=True))[:, :, None]
    votes = ballots.votes if bool((importance == 1).all()) else 1 - importance * (1 - ballots.votes)
    return votes.amin(dim=1)


def least_misery_says(chosen: Chosen) -> list[str | None]:
    """Say how much even the least fond member likes it."""
    return [
        f"nobody likes it less than {name(least)}, who puts it above {percent(column[least])} of all tracks"
        for column, least in zip(chosen.percentiles.T, chosen.percentiles.argmin(axis=0).tolist(), strict=True)
    ]
