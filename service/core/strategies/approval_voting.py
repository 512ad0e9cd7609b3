"""Three of four of you have it among your favourites (Masthoff)."""

from typing import Final

import torch
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen

APPROVED: Final = 50
"""A member approves of their own best so many tracks, fewer where they like fewer."""

_TIE_BREAK: Final = 1e-3
"""Weight of the mean relevance among equally approved tracks; one vote in 64 is worth 16 times as much."""


def approval_voting(ballots: Ballots, k: int) -> Tensor:
    """Rank by the weighted share of members with the track in their top `APPROVED`, then by mean relevance."""
    threshold = torch.from_numpy(ballots.best_votes(APPROVED)[:, :, -1:]).to(ballots.votes.device)
    approvals = (ballots.votes >= threshold) & (ballots.votes > 0)
    shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
    approval = torch.bmm(shares[:, None, :], approvals.to(shares.dtype))[:, 0].double()
    relevance = torch.bmm(shares[:, None, :], ballots.votes)[:, 0].double()
    return ballots.rank_by(approval + _TIE_BREAK * relevance, k)


def approval_voting_says(chosen: Chosen) -> list[str | None]:
    """Say how many approve of it."""
    approvals = chosen.favourites(APPROVED)
    return [
        f"{count} of {len(approvals)} of you have it among their {APPROVED} best" for count in approvals.sum(axis=0)
    ]
