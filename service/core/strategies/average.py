"""Best for the group in total (Masthoff's additive utilitarian strategy).

`rank_groups` takes a shorter way: scores are linear, so it ranks by the score of the mean vector. There the relevance
of what a member likes least is not cut off at 0, so a deep dislike counts in full.
"""

import torch
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen


def average(ballots: Ballots, k: int) -> Tensor:
    """Rank by the weighted mean of the members' relevance."""
    shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
    return ballots.rank_by(torch.bmm(shares[:, None, :], ballots.votes)[:, 0], k)


def average_says(chosen: Chosen) -> list[str | None]:
    """Say what was looked for."""
    return ["best for the group in total"] * chosen.votes.shape[1]
