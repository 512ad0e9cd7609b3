"""High on everyone's list: rank points added up (Borda 1781; Masthoff)."""

import torch
from torch import Tensor

from service.core.ballots import Ballots


def borda_count(ballots: Ballots, k: int) -> Tensor:
    """Rank by the weighted sum of points: one for each track that a member puts lower, half for each tie."""
    votes = ballots.votes
    rising = votes.sort(dim=2).values
    lower = torch.searchsorted(rising, votes)
    not_higher = torch.searchsorted(rising, votes, right=True)
    points = (lower + not_higher).to(votes.dtype)  # twice the points, whole numbers, so that ties stay ties
    return ballots.rank_by(torch.bmm(ballots.weights[:, None, :], points)[:, 0], k)
