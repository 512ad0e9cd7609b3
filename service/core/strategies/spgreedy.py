"""Nobody is left out: pick what satisfies most of those who had nothing yet (Serbos et al., WWW 2017).

A member is satisfied by a track among their own favourites. Once everybody is, the next round begins, so that fairness
holds for lists of any length.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen, names
from service.core.shortlist import FAVOURITES, Shortlist


def spgreedy(ballots: Ballots, k: int) -> Tensor:
    """Rank greedily by the weight of the members whom a track is the first of the round to satisfy.

    Mean relevance decides only between tracks for members of the same weight, however light: double precision adds up
    weights, which come in single precision, without rounding.
    """
    shortlist = Shortlist.of(ballots, k)
    weights = ballots.weights.numpy(force=True).astype(np.float64)
    satisfies = shortlist.favourites.astype(np.float64)
    groups = np.arange(len(satisfies))
    waiting = np.ones_like(weights)

    def gains() -> NDArray[np.float64]:
        covered: NDArray[np.float64] = np.einsum("gm,gmt->gt", waiting * weights, satisfies)
        return covered

    def satisfy(members: NDArray[np.bool_]) -> None:
        waiting[members] = 0
        waiting[~waiting.any(axis=1)] = 1

    def take(winner: NDArray[np.int64]) -> None:
        satisfy(satisfies[groups, :, winner] > 0)

    for members in np.moveaxis(shortlist.among_best(ballots.played_votes()), 2, 0):
        satisfy(members)
    return shortlist.pick(k, gains, take)


def spgreedy_says(chosen: Chosen) -> list[str | None]:
    """Say who had nothing in the round yet and now has."""
    waiting = np.ones(len(chosen.weights), dtype=np.bool_)
    sentences: list[str | None] = []
    for satisfied in [*chosen.among_best(chosen.played, FAVOURITES).T, *chosen.favourites(FAVOURITES).T]:
        first = np.flatnonzero(satisfied & waiting)
        sentences.append(f"{names(first)} had nothing yet" if len(first) else None)
        waiting[first] = False
        if not waiting.any():
            waiting[:] = True
    return sentences[chosen.played.shape[1] :]
