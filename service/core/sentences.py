"""What strategies say of the tracks they chose: one sentence a track, such as "Ann's turn".

A sentence names members as `{0}`, `{1}`, ... by their place among those with a taste; who knows their names puts them
in (`str.format`). It says what was so when the track came, which is worked out from the list and from what its members
think of it: nothing of a race has to be kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from service.core.ballots import Ballots

FAVOURITES: Final = 50
"""Each member's so many highest votes are known; no strategy speaks of more."""

_NAMED: Final = 3
"""Of more members than one above this so many are named, and the others counted."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A list for one group of at least two, and what its members think of it."""

    votes: Floats
    """(members, k) for the tracks of the list, best first: relevance, or scores where the strategy votes with those."""
    percentiles: Floats
    """(members, k) the same as percentiles."""
    weights: NDArray[np.float64]
    """(members,) adding up to 1."""
    best: Floats
    """(members, `FAVOURITES`) each member's highest votes for what they could get, best first."""
    played: Floats
    """(members, played) votes for what was played before in this session."""

    @classmethod
    def of(cls, ballots: Ballots, rows: Sequence[int]) -> Self:
        """Return what the only group of these ballots thinks of a list."""
        votes = ballots.votes_of(torch.tensor([rows]))[0]
        weights = ballots.weights[0].numpy(force=True).astype(np.float64)
        return cls(
            votes=votes,
            percentiles=ballots.calibration.percentiles(votes),
            weights=weights / weights.sum(),
            best=ballots.best_votes(FAVOURITES)[0].numpy(force=True),
            played=ballots.played_votes()[0],
        )

    def favourites(self, number: int) -> NDArray[np.bool_]:
        """Return whether a track of the list is among a member's own best so many, and liked, (members, k)."""
        return self.among_best(self.votes, number)

    def among_best(self, votes: Floats, number: int) -> NDArray[np.bool_]:
        """Return the same of any votes (members, n)."""
        threshold = self.best[:, :number][:, -1:]
        liked: NDArray[np.bool_] = (votes >= threshold) & (votes > 0)
        return liked


Sentences = Callable[[Chosen], list[str | None]]
"""What a strategy says of each track of a list, None where nothing is true."""


def name(member: int | np.integer) -> str:
    """Return the place where a member's name will be."""
    return f"{{{member}}}"


def names(members: NDArray[np.int64]) -> str:
    """Return the places where the names of some members will be, the last of many as a number."""
    places = [name(member) for member in members.tolist()]
    if len(places) > _NAMED + 1:
        places = [*places[:_NAMED], f"{len(places) - _NAMED} others"]
    return " and ".join([", ".join(places[:-1]), places[-1]] if len(places) > 1 else places)


def percent(share: float) -> str:
    """Return a share as whole per cent."""
    return f"{100 * share:.0f} %"
