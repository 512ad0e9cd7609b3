"""Everyone is owed their share of the whole (EP-FuzzDA; Malecek & Peska, UMAP 2021).

A fuzzy D'Hondt: with TOT the relevance of the list and the candidate for all members together, u is owed
e_u = max(0, TOT * w_u - what u has), and a candidate gains sum_u min(r_ui, e_u): nobody can be given more than they
are owed.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen, name, percent
from service.core.shortlist import Floats, Shortlist


def ep_fuzzda(ballots: Ballots, k: int) -> Tensor:
    """Rank greedily by how much of what the members are owed a track pays."""
    shortlist = Shortlist.of(ballots, k)
    totals = shortlist.votes.sum(axis=1)
    weights = shortlist.weights[:, :, None]
    groups = np.arange(len(totals))
    received = ballots.played_votes().sum(axis=2)

    def gains() -> Floats:
        total = received.sum(axis=1)[:, None] + totals
        owed = np.maximum(total[:, None, :] * weights - received[:, :, None], 0)
        paid: Floats = np.minimum(shortlist.votes, owed).sum(axis=1)
        return paid

    def take(winner: NDArray[np.int64]) -> None:
        received[:] += shortlist.votes[groups, :, winner]

    return shortlist.pick(k, gains, take)


def ep_fuzzda_says(chosen: Chosen) -> list[str | None]:
    """Say who is paid most by it, and what they were owed of all that everybody then has."""
    parts, received = chosen.parts, chosen.played.sum(axis=1, dtype=np.float64)
    sentences: list[str | None] = []
    for votes in chosen.votes.T:
        total = received.sum() + votes.sum()
        paid = np.minimum(votes, np.maximum(total * parts - received, 0))
        most = paid.argmax()
        sentences.append(
            f"{name(most)} is owed {percent(parts[most])} and had {percent(received[most] / total)}"
            if paid[most] > 0
            else None
        )
        received += votes
    return sentences
