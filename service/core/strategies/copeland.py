"""Head to head: how many others a track beats by majority, less how many beat it (Copeland 1951; Masthoff)."""

import numpy as np
import torch
from torch import Tensor

from service.core.ballots import Ballots
from service.core.shortlist import Floats, Shortlist


def copeland(ballots: Ballots, k: int) -> Tensor:
    """Rank by wins minus losses within the shortlist; who prefers which track counts, with weight, not by how much."""
    shortlist = Shortlist.of(ballots)
    wins = np.stack([_wins(*group) for group in zip(shortlist.votes, shortlist.weights, strict=True)])
    wins[shortlist.closed] = -np.inf
    order = torch.from_numpy((-wins).argsort(axis=1, kind="stable")[:, :k]).to(shortlist.rows.device)
    return shortlist.rows.gather(1, order)


def _wins(votes: Floats, weights: Floats) -> Floats:
    """Return wins minus losses (tracks,) of one group's votes (members, tracks)."""
    lead = np.zeros((votes.shape[1], votes.shape[1]))
    for member, weight in zip(votes.astype(np.float64), weights, strict=True):
        lead += weight * np.sign(member[:, None] - member[None, :])
    majority: Floats = np.sign(np.round(lead, 6)).sum(axis=1).astype(np.float32)
    return majority
