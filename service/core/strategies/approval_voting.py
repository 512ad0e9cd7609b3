"""Three of four of you have it among your favourites (Masthoff).

A member approves of their own best `FAVOURITES` tracks, fewer where they like fewer.
"""

import numpy as np
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen
from service.core.shortlist import FAVOURITES, Shortlist


def approval_voting(ballots: Ballots, k: int) -> Tensor:
    """Rank by the weight of the members who approve, and tracks with the same by mean relevance.

    Double precision adds up weights, which come in single precision, without rounding: what is equal ties.
    """
    shortlist = Shortlist.of(ballots, k)
    weights = ballots.weights.numpy(force=True).astype(np.float64)
    return shortlist.rank_by(np.einsum("gm,gmt->gt", weights, shortlist.favourites), k)


def approval_voting_says(chosen: Chosen) -> list[str | None]:
    """Say how many approve of it."""
    approvals = chosen.favourites(FAVOURITES)
    return [
        f"{count} of {len(approvals)} of you have it among their {FAVOURITES} best" for count in approvals.sum(axis=0)
    ]
