"""Everyone's share grows evenly: greedy Nash welfare on sharpened shares.

    v_ui = r_ui ** 3 / sum of r ** 3 over u's own best K tracks      a member's own best list adds up to 1
    i*   = argmax_i sum_u w_u log(U_u + v_ui + 0.5 / K);  U_u += v_ui*

r is relevance, U_u what u has got so far, K a fixed reference length. The sum of logarithms prefers the member
who has least; the cube makes a favourite worth more than two lukewarm tracks.

The list is exactly the one that looking at every track in every step would give, up to ties, but the race is run
on a shortlist: the tracks with the highest weighted sum s_i = sum_u w_u v_ui, for which rough votes are enough. A
track that is not on it has s_i <= tau, and no track with s_i <= tau can gain more than `highest_gain` says. Where a
winner had less than that, the race is run again with a longer list.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from service.core.ballots import NONE, Ballots
from service.core.ranking import at_least

REFERENCE_LENGTH: Final = 30
"""K: shares are measured against lists of this length, whatever length is asked for."""

SHARPNESS: Final = 3
OFFSET: Final = 0.5 / REFERENCE_LENGTH

_SHORTLIST: Final = 66
"""Tracks in the first race beside those that are asked for."""

_LONGER: Final = 6
"""How much longer the list is each time it proves too short."""

_VALUES_AT_ONCE: Final = 1 << 20
"""Values of tracks to members that race at a time, so that memory stays bounded where lists get long."""

_LEVELS: Final = np.array([0.5, 0.75, 1, 1.5])[:, None, None]
"""Where a bound looks for the water level, in levels that would do if all members were under water and none full."""

_NOTHING: Final = 1e-18
"""The value of a best list, r ** 3 added up, for which a member has no opinion on what is left to play."""

_ROUNDING: Final = 1e-5
"""Gains that differ by less are a tie in single precision."""

Floats = NDArray[np.float64]


def fair_share(ballots: Ballots, k: int) -> torch.Tensor:
    """Rank greedily by what a track adds to the weighted sum of log shares."""
    weights = ballots.weights.numpy(force=True).astype(np.float64)
    best = _cube(ballots.best_votes(REFERENCE_LENGTH).numpy(force=True))
    ideal = best.sum(axis=2)
    scale = np.divide(1, ideal, out=np.zeros_like(ideal), where=ideal > _NOTHING)
    caps = best[:, :, 0] * scale
    had = (_cube(ballots.played_votes()) * scale[:, :, None]).sum(axis=2)
    sums, error = ballots.rough_sums(weights * scale, SHARPNESS)
    if ballots.allowed is not None:
        sums.masked_fill_(~ballots.allowed, -torch.inf)
    picks = np.full((len(weights), min(k, sums.shape[1])), NONE)
    waiting = _in_parts(np.arange(len(weights)), weights.shape[1], _SHORTLIST + k)
    while waiting:
        groups, size = waiting.pop()
        some = None if len(groups) == len(sums) else groups
        rows, tau = at_least(sums if some is None else sums[torch.from_numpy(some).to(sums.device)], size)
        values = _cube(ballots.votes_of(torch.from_numpy(rows), some)) * scale[groups, :, None]
        places, won, shares = race(values, weights[groups], had[groups], rows == NONE, picks.shape[1])
        picks[groups] = np.where(places == NONE, NONE, np.take_along_axis(rows, places.clip(0), axis=1))
        if size >= sums.shape[1]:
            continue
        tau = _with_error(tau, error[groups], weights[groups] * scale[groups])
        bound = highest_gain(tau, caps[groups], weights[groups], shares)
        again = groups[(won < bound - _ROUNDING).any(axis=1)]
        waiting += _in_parts(again, weights.shape[1], size * _LONGER)
    return torch.from_numpy(picks).to(sums.device)


def _in_parts(groups: NDArray[np.int64], members: int, size: int) -> list[tuple[NDArray[np.int64], int]]:
    """Return the groups that race together on lists of this size, with that size."""
    at_once = max(1, _VALUES_AT_ONCE // (members * size))
    return [(groups[first : first + at_once], size) for first in range(0, len(groups), at_once)]


def _cube(votes: NDArray[np.float32]) -> Floats:
    """Return votes ** SHARPNESS; numpy's own power takes ten times as long."""
    doubles = votes.astype(np.float64)
    return doubles * doubles * doubles


def _with_error(sums: NDArray[np.floating], error: Floats, factors: Floats) -> Floats:
    """Return the highest sums of factors * vote ** 3 (groups,) of votes that are off by `error` (groups, members).

    The cube root of such a sum is a norm of the votes, so errors add to it at most their own (Minkowski).
    """
    most: Floats = (np.cbrt(np.maximum(sums, 0)) + np.cbrt((factors * error**SHARPNESS).sum(axis=1))) ** 3
    return most


def race(
    values: Floats, weights: Floats, had: Floats, closed: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return which tracks win, what they gained, (groups, k), and the shares they found, (groups, k, members).

    `values` is (groups, members, tracks), `weights` and `had` (groups, members), `closed` (groups, tracks) True for
    tracks that may not win. A place is `NONE` once nothing is left to win.
    """
    groups, members, tracks = values.shape
    begins = np.arange(groups) * tracks
    base = had + OFFSET
    by_track = np.ascontiguousarray((values / base[:, :, None]).transpose(1, 0, 2)).reshape(members, -1)
    welfare = (by_track + 1).reshape(members, groups, tracks)  # of each member, if the track came next
    equal = bool((weights == weights[:, :1]).all())
    barred = np.where(closed, -np.inf, 0.0)
    places = np.empty((k, groups), dtype=np.int64)
    total = np.empty((groups, tracks))
    for step in range(k):
        if equal:  # the product has its maximum where the sum of logarithms has
            np.multiply.reduce(welfare, axis=0, out=total)
        else:
            np.einsum("gm,mgt->gt", weights, np.log(welfare), out=total)
        total += barred
        winner = total.argmax(axis=1, out=places[step]) + begins
        barred.reshape(-1)[winner] = -np.inf
        welfare += by_track[:, winner][:, :, None]
    won_values = by_track[:, places + begins].transpose(2, 1, 0) * base[:, None, :]
    shares = had[:, None, :] + won_values.cumsum(axis=1) - won_values
    won = (weights[:, None, :] * np.log1p(won_values / (shares + OFFSET))).sum(axis=2)
    empty = np.arange(k) >= (~closed).sum(axis=1, keepdims=True)
    won[empty] = np.inf  # nothing could do better where nothing is left
    return np.where(empty, NONE, places.T), won, shares


def highest_gain(tau: Floats, caps: Floats, weights: Floats, shares: Floats) -> Floats:
    """Return a bound (groups, steps) on what a track off the shortlist can add to the objective.

    Such a track has sum_u w_u v_u <= tau (groups,) and v_u <= caps (groups, members). `weights` is (groups, members),
    `shares` (groups, steps, members). For every level l > 0 the gain sum_u w_u log(1 + v_u / a_u), a = U + c, is at
    most tau / l + sum_u w_u max_v (log(1 + v / a_u) - v / l) by Lagrangian duality, where the best v is l - a_u
    clipped to 0..cap. The best level is where water poured over the a_u, tau in all, would stand: near that of all
    members together, lower where some stand above it, higher where some are full. Any level is right, and near the best
    one the bound hardly changes.
    """
    base, by_member = shares + OFFSET, weights[:, None, :]
    tau = np.maximum(tau, 0)[:, None]
    level = _LEVELS * ((tau + (by_member * base).sum(axis=2)) / weights.sum(axis=1, keepdims=True))
    filled = np.clip(level[..., None] - base, 0, caps[:, None, :])
    gain = (by_member * (np.log1p(filled / base) - filled / level[..., None])).sum(axis=3)
    bound: Floats = (gain + tau / level).min(axis=0)
    return bound
