"""Everyone's share grows evenly: greedy Nash welfare on sharpened shares.

    v_ui = r_ui ** p / sum of r ** p over u's own best K tracks      a member's own best list adds up to 1
    i*   = argmax_i sum_u w_u log(U_u + v_ui + 0.5 / K);  U_u += v_ui*

r is relevance, U_u what u has got so far, K a fixed reference length. The sum of logarithms prefers the member
who has least; the power p makes a favourite worth more than two lukewarm tracks. It is the cube, or a higher power for
a model whose scores are flat (`Calibration.sharpness`).

The list is exactly the one that looking at every track in every step would give, up to ties, but the race is run
on a shortlist: the tracks with the highest weighted sum s_i = sum_u w_u v_ui, found in one pass. A track that is not
on it has s_i <= tau, and no track with s_i <= tau can gain more than `highest_gain` says. Where a winner had less than
that, the race is run again with a longer list.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from service.core.ballots import Ballots
from service.core.calibration import raised
from service.core.race import Floats, Voters, race
from service.core.sentences import Chosen, name, percent

REFERENCE_LENGTH: Final = 30
"""K: shares are measured against lists of this length, whatever length is asked for."""

OFFSET: Final = 0.5 / REFERENCE_LENGTH

_SHORTLIST: Final = 66
"""Tracks in the first race beside those that are asked for."""

_LONGER: Final = 6
"""How much longer the list is each time it proves too short."""

_VALUES_AT_ONCE: Final = 1 << 20
"""Values of tracks to members that race at a time, so that memory stays bounded where lists get long."""

_NOTHING: Final = 1e-18
"""The value of a best list, r ** p added up, for which a member has no opinion on what is left to play."""

_NAMED: Final = 4
"""The shares of so many members are all told, of more the smallest and the largest."""

_ROUNDING: Final = 1e-5
"""Gains that differ by less are a tie in single precision."""


def fair_share(ballots: Ballots, k: int) -> torch.Tensor:
    """Rank greedily by what a track adds to the weighted sum of log shares."""
    power = ballots.model.calibration.sharpness
    ideals = ballots.ideals(REFERENCE_LENGTH, power)
    worth = np.divide(1, ideals, out=np.zeros(ideals.shape), where=ideals > _NOTHING)
    had = raised(ballots.played_votes(), power).sum(axis=2) * worth if ballots.played.numel() else np.zeros(worth.shape)
    weights = ballots.weights.numpy(force=True).astype(np.float64)
    weights /= weights.max(axis=1, keepdims=True)  # so that what is a tie does not depend on their unit
    voters = Voters(weights, worth, had)
    k = min(k, len(ballots.model.tracks))
    return torch.from_numpy(_lists(ballots, voters, power, None, k, _SHORTLIST + k)).to(ballots.weights.device)


def _lists(
    ballots: Ballots, voters: Voters, power: int, groups: NDArray[np.int64] | None, k: int, size: int
) -> NDArray[np.int64]:
    """Return the lists (groups, k) of some groups, None for all, and of their voters, by races among `size` tracks."""
    count, members = voters.weights.shape
    at_once = max(1, _VALUES_AT_ONCE // (members * size))
    if count > at_once:
        places = np.arange(count)
        parts = [places[first : first + at_once] for first in range(0, count, at_once)]
        lists = [
            _lists(ballots, voters.of(part), power, part if groups is None else groups[part], k, size) for part in parts
        ]
        return np.concatenate(lists)
    contenders = ballots.contenders(voters.weights * voters.worth, power, size, groups)
    rules = ballots.rules if groups is None or ballots.rules is None else [ballots.rules[group] for group in groups]
    picks, in_doubt = race(contenders, voters, power, k, OFFSET, _ROUNDING, rules)
    if size < len(ballots.model.tracks) and in_doubt.any():
        again = np.flatnonzero(in_doubt)
        asked = again if groups is None else groups[again]
        picks[again] = _lists(ballots, voters.of(again), power, asked, k, size * _LONGER)
    return picks


def fair_share_says(chosen: Chosen) -> list[str | None]:
    """Say whose part of what all have of their own best lists so far is how large."""
    ideal = raised(chosen.best[:, :REFERENCE_LENGTH], chosen.power).sum(axis=1, keepdims=True)
    heard = raised(np.concatenate([chosen.played, chosen.votes], axis=1), chosen.power)
    had = np.divide(heard, ideal, out=np.zeros_like(heard), where=ideal > _NOTHING).cumsum(axis=1)
    return [_says(column) for column in had[:, chosen.played.shape[1] :].T]


def _says(had: Floats) -> str | None:
    total = had.sum()
    if total <= 0:
        return None
    parts = [f"{name(member)} {percent(share / total)}" for member, share in enumerate(had)]
    if len(parts) > _NAMED:
        return f"shares so far from {parts[had.argmin()]} to {parts[had.argmax()]}"
    return f"shares so far: {', '.join(parts)}"
