"""Best for the group in total (Masthoff's additive utilitarian strategy)."""

import torch
from torch import Tensor

from service.core.ballots import Ballots


def average(ballots: Ballots, k: int) -> Tensor:
    """Rank by the weighted mean of the members' relevance."""
    shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
    return ballots.rank_by(torch.bmm(shares[:, None, :], ballots.votes)[:, 0], k)
