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

from service.core.ballots import NONE, Ballots
from service.core.race import Floats, highest_gain, race
from service.core.ranking import highest
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
    weights = ballots.weights.numpy(force=True).astype(np.float64)
    power = ballots.model.calibration.sharpness
    best = _raised(ballots.best_votes(REFERENCE_LENGTH).numpy(force=True), power)
    ideal = best.sum(axis=2)
    scale = np.divide(1, ideal, out=np.zeros(ideal.shape), where=ideal > _NOTHING)
    caps = best[:, :, 0] * scale
    had = _raised(ballots.played_votes(), power).sum(axis=2) * scale
    sums = ballots.sums_of_powers(weights * scale, power)
    if ballots.allowed is not None:
        sums.masked_fill_(~ballots.allowed, -torch.inf)
    picks = np.full((len(weights), min(k, sums.shape[1])), NONE)
    waiting = _in_parts(np.arange(len(weights)), weights.shape[1], _SHORTLIST + k)
    while waiting:
        groups, size = waiting.pop()
        every = len(groups) == len(weights)
        some = slice(None) if every else groups
        rows, tau = highest(sums if every else sums[torch.from_numpy(groups).to(sums.device)], size)
        votes = ballots.votes_of(torch.from_numpy(rows), None if every else groups)
        values = _raised(votes, power) * scale[some, :, None]
        places, won, shares = race(values, weights[some], had[some], rows == NONE, picks.shape[1], OFFSET)
        picks[some] = np.where(places == NONE, NONE, rows[np.arange(len(rows))[:, None], places])
        if size >= sums.shape[1]:
            continue
        bound = highest_gain(tau, caps[some], weights[some], shares, OFFSET)
        again = groups[(won < bound - _ROUNDING).any(axis=1)]
        waiting += _in_parts(again, weights.shape[1], size * _LONGER)
    return torch.from_numpy(picks).to(sums.device)


def _in_parts(groups: NDArray[np.int64], members: int, size: int) -> list[tuple[NDArray[np.int64], int]]:
    """Return the groups that race together on lists of this size, with that size."""
    at_once = max(1, _VALUES_AT_ONCE // (members * size))
    return [(groups[first : first + at_once], size) for first in range(0, len(groups), at_once)]


def _raised(votes: NDArray[np.float32], power: int) -> Floats:
    """Return votes ** power; numpy's own power takes ten times as long."""
    doubles = votes.astype(np.float64)
    raised = doubles
    for _ in range(power - 1):
        raised = raised * doubles
    return raised


def fair_share_says(chosen: Chosen) -> list[str | None]:
    """Say whose part of what all have of their own best lists so far is how large."""
    ideal = _raised(chosen.best[:, :REFERENCE_LENGTH], chosen.power).sum(axis=1, keepdims=True)
    heard = _raised(np.concatenate([chosen.played, chosen.votes], axis=1), chosen.power)
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
