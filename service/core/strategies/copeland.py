"""Head to head: how many others a track beats by majority, less how many beat it (Copeland 1951; Masthoff)."""

import numpy as np
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen
from service.core.shortlist import LENGTH, Floats, Shortlist


def copeland(ballots: Ballots, k: int) -> Tensor:
    """Rank by wins minus losses; who prefers which track counts, with weight, not by how much.

    Those of the highest mean relevance meet, `LENGTH` of them; all others come behind, by mean relevance.
    """
    shortlist = Shortlist.of(ballots, k)
    wins = np.full(shortlist.closed.shape, -LENGTH, dtype=np.float32)
    for lead, votes, weights in zip(wins, shortlist.votes, shortlist.weights, strict=True):
        lead[:LENGTH] = _wins(votes[:, :LENGTH], weights)
    return shortlist.rank_by(wins, k)


def _wins(votes: Floats, weights: Floats) -> Floats:
    """Return wins minus losses (tracks,) of one group's votes (members, tracks)."""
    lead = np.zeros((votes.shape[1], votes.shape[1]))
    for member, weight in zip(votes.astype(np.float64), weights, strict=True):
        lead += weight * np.sign(member[:, None] - member[None, :])
    majority: Floats = np.sign(np.round(lead, 6)).sum(axis=1).astype(np.float32)
    return majority


def copeland_says(chosen: Chosen) -> list[str | None]:
    """Say how many of the others on the list it beats."""
    others = chosen.votes.shape[1] - 1
    lead = np.einsum("m,mij->ij", chosen.weights, np.sign(chosen.votes[:, :, None] - chosen.votes[:, None, :]))
    beaten = (np.round(lead, 6) > 0).sum(axis=1)
    return [f"beats {count} of the {others} others here, head to head" for count in beaten] if others else [None]
