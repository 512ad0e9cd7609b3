"""What strategies say of the tracks they chose: one sentence a track, such as "Ann's turn".

A sentence names members as `{0}`, `{1}`, ... by their place among those with a taste; who knows their names puts them
in (`str.format`). It says what was so when the track came, which is worked out from the list and from what its members
think of it: nothing of a race has to be kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

KNOWN: Final = 50
"""Each member's so many highest votes are known; no strategy speaks of more."""

_NAMED: Final = 3
"""Of more members than one above this so many are named, and the others counted."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A list for one group of at least two, and what its members think of it."""

    rows: NDArray[np.int64]
    """(k,) the tracks of the list, best first."""
    votes: Floats
    """(members, k) relevance of the tracks of the list, best first."""
    percentiles: Floats
    """(members, k) the same as percentiles."""
    weights: Floats
    """(members,), all above 0."""
    best: Floats
    """(members, `KNOWN`) each member's highest votes for what they could get, best first."""
    played_rows: NDArray[np.int64]
    """(played,) what was played before in this session."""
    played: Floats
    """(members, played) votes for that."""

    power: int
    """What shares are made of is relevance to this power."""

    @property
    def parts(self) -> NDArray[np.float64]:
        """Return the weights as parts of their sum, (members,)."""
        parts: NDArray[np.float64] = self.weights / self.weights.sum(dtype=np.float64)
        return parts

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
