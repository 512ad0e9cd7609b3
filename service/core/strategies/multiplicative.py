"""Everyone likes it a little: the product of the members' relevance (Masthoff)."""

import torch
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen


def multiplicative(ballots: Ballots, k: int) -> Tensor:
    """Rank by the product of relevance ** weight, added up as logarithms so that 64 members do not underflow."""
    shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
    logs = ballots.votes.clamp(min=torch.finfo(ballots.votes.dtype).tiny).log_()
    return ballots.rank_by(torch.bmm(shares[:, None, :], logs)[:, 0], k)


def multiplicative_says(chosen: Chosen) -> list[str | None]:
    """Say whether everyone likes it."""
    return [
        "everyone likes it a little" if liked else "no track is left that everyone likes"
        for liked in chosen.votes.min(axis=0) > 0
    ]
