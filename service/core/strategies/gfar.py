"""The most likely first hit for each member.

    i* = argmax_i sum_u w_u p(i | u) prod over j in L of (1 - p(j | u))

p(i | u) is u's Borda points of i over the sum of u's points, on u's own favourites (GFAR; Kaya, Bridge & Tintarev,
"Ensuring fairness in group recommendations by rank-sensitive balancing of relevance", RecSys 2020).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen, name
from service.core.shortlist import Floats, Shortlist

FAVOURITES: Final = 20
"""Tracks of their own that each member is likely to hit."""

_DECIMALS: Final = 12
"""Gains that differ by rounding alone are a tie. Those go by mean relevance, as does what is nobody's favourite."""


def gfar(ballots: Ballots, k: int) -> Tensor:
    """Rank greedily by the weighted chance that a track is the first one that a member wanted."""
    shortlist = Shortlist.of(ballots, k)
    favourites = ballots.best_votes(FAVOURITES)
    chance = _chance(shortlist.votes, favourites)
    groups = np.arange(len(chance))
    no_hit = (1 - _chance(ballots.played_votes(), favourites)).prod(axis=2)

    def gains() -> NDArray[np.float64]:
        wanted: NDArray[np.float64] = np.einsum("gm,gmt->gt", no_hit * shortlist.weights, chance).round(_DECIMALS)
        return wanted

    def take(winner: NDArray[np.int64]) -> None:
        no_hit[:] *= 1 - chance[groups, :, winner]

    return shortlist.pick(k, gains, take)


def _chance(votes: Floats, favourites: Floats) -> NDArray[np.float64]:
    """Return p(i | u) of votes (groups, members, tracks), given each member's favourites, best first.

    The best has FAVOURITES points and the last of the favourites 1; the points of a member add up to all they have.
    """
    higher = (favourites[:, :, None, :] > votes[:, :, :, None]).sum(axis=3)
    points = np.where(votes > 0, np.clip(FAVOURITES - higher, 0, None), 0)
    liked = (favourites > 0).sum(axis=2)
    total = liked * FAVOURITES - liked * (liked - 1) // 2
    chance: NDArray[np.float64] = points / np.maximum(total, 1)[:, :, None]
    return chance


def gfar_says(chosen: Chosen) -> list[str | None]:
    """Say whose first hit it is most likely to be, whatever they weigh."""
    favourites = chosen.best[None, :, :FAVOURITES]
    no_hit = (1 - _chance(chosen.played[None], favourites)[0]).prod(axis=1)
    sentences: list[str | None] = []
    for chance in _chance(chosen.votes[None], favourites)[0].T:
        hit = no_hit * chance
        sentences.append(f"most likely first hit for {name(hit.argmax())}" if hit.any() else None)
        no_hit *= 1 - chance
    return sentences
