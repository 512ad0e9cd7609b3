"""Everyone's share grows evenly: greedy Nash welfare on sharpened shares.

    v_ui = r_ui ** 3 / sum of r ** 3 over u's own best K tracks      a member's own best list adds up to 1
    i*   = argmax_i sum_u w_u log(U_u + v_ui + 0.5 / K);  U_u += v_ui*

r is relevance, U_u what u has got so far, K a fixed reference length. The sum of logarithms prefers the member
who has least; the cube makes a favourite worth more than two lukewarm tracks.

The list is exactly the one that looking at every track in every step would give, up to ties, but the race is run
on a shortlist: the tracks with the highest weighted sum s_i = sum_u w_u v_ui. A track that is not on it has
s_i <= tau, the lowest sum on the list, and no track with s_i <= tau can gain more than `highest_gain` says. Where a
winner had less than that, the race is run again with a longer list.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import NONE, Ballots
from service.core.ranking import top_k

REFERENCE_LENGTH: Final = 30
"""K: shares are measured against lists of this length, whatever length is asked for."""

SHARPNESS: Final = 3
OFFSET: Final = 0.5 / REFERENCE_LENGTH

_SHORTLIST: Final = 128
"""Tracks in the first race beside those that are asked for."""

_LONGER: Final = 6
"""How much longer the list is each time it proves too short."""

_WATER_FILLING: Final = 3
"""Steps towards the best multiplier of a bound."""

_NOTHING: Final = 1e-18
"""The value of a best list, r ** 3 added up, for which a member has no opinion on what is left to play."""

_ROUNDING: Final = 1e-5
"""Gains that differ by less are a tie in single precision."""

Floats = NDArray[np.float32]


def fair_share(ballots: Ballots, k: int) -> Tensor:
    """Rank greedily by what a track adds to the weighted sum of log shares."""
    ideal = ballots.best_votes(REFERENCE_LENGTH).pow(SHARPNESS).sum(dim=2)
    scale = torch.where(ideal > _NOTHING, 1 / ideal, 0.0)
    sharpened = ballots.votes.pow(SHARPNESS)
    if ballots.allowed is not None:  # an ideal of what is left says nothing about what is not, and may be 0
        sharpened.masked_fill_(~ballots.allowed[:, None, :], 0)
    sums = torch.bmm((ballots.weights * scale)[:, None, :], sharpened)[:, 0]
    if ballots.allowed is not None:
        sums.masked_fill_(~ballots.allowed, -torch.inf)
    k = min(k, sums.shape[1])
    had = (ballots.played_votes().pow(SHARPNESS) * scale[:, :, None]).sum(dim=2).numpy(force=True)
    picks = _rank(sharpened, scale, sums, ballots.weights.numpy(force=True), had, k, _SHORTLIST + k)
    return torch.from_numpy(picks).to(sums.device)


def _rank(
    sharpened: Tensor, scale: Tensor, sums: Tensor, weights: Floats, had: Floats, k: int, size: int
) -> NDArray[np.int64]:
    """Return the lists (groups, k), `NONE` once nothing is left, with a shortlist of at least `size` tracks.

    v is `sharpened` (groups, members, tracks) times `scale` (groups, members); `sums` is s, -inf for excluded tracks;
    `had` is U before the first pick, (groups, members).
    """
    size = min(size, sums.shape[1])
    rows = top_k(sums, size)[1].sort(dim=1).values  # ties go to the lower row
    best = sums.gather(1, rows)
    wide = rows[:, None, :].expand(-1, weights.shape[1], -1)
    listed = sharpened.gather(2, wide)
    values = (listed * scale[:, :, None]).numpy(force=True)
    places, won, shares = race(values, weights, had, (best == -torch.inf).numpy(force=True), k)
    picks = np.where(places == NONE, NONE, np.take_along_axis(rows.numpy(force=True), places.clip(0), axis=1))
    if size == sums.shape[1]:
        return picks
    caps = (sharpened.scatter_(2, wide, 0).amax(dim=2) * scale).numpy(force=True)
    sharpened.scatter_(2, wide, listed)
    bound = highest_gain(best.amin(dim=1).numpy(force=True), caps, weights, shares)
    doubtful = np.flatnonzero((won < bound - _ROUNDING).any(axis=1))
    if len(doubtful):
        again = torch.from_numpy(doubtful).to(sums.device)
        longer = (sharpened[again], scale[again], sums[again], weights[doubtful], had[doubtful])
        picks[doubtful] = _rank(*longer, k, size * _LONGER)
    return picks


def race(
    values: Floats, weights: Floats, had: Floats, closed: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return which tracks win, what they gained, (groups, k), and the shares they found, (groups, k, members).

    `values` is (groups, members, tracks), `weights` and `had` (groups, members), `closed` (groups, tracks) True for
    tracks that may not win. A place is `NONE` once nothing is left to win.
    """
    groups = np.arange(len(values))
    base = (had + OFFSET).astype(values.dtype)
    barred = np.where(closed, -np.inf, 0.0).astype(values.dtype)
    by_weight = weights[:, None, :]
    places = np.empty((len(values), k), dtype=np.int64)
    won = np.empty((len(values), k), dtype=values.dtype)
    shares = np.empty((len(values), k, weights.shape[1]), dtype=values.dtype)
    for step in range(k):
        welfare = base[:, :, None] + values
        np.log(welfare, out=welfare)
        total = np.matmul(by_weight, welfare)[:, 0]
        total += barred
        winner = total.argmax(axis=1)
        shares[:, step] = base
        won[:, step] = total[groups, winner]
        places[:, step] = winner
        barred[groups, winner] = -np.inf
        base += values[groups, :, winner]
    empty = won == -np.inf
    places[empty] = NONE
    won -= np.matmul(np.log(shares), weights[:, :, None])[:, :, 0]
    won[empty] = np.inf  # nothing could do better where nothing is left
    return places, won, shares - OFFSET


def highest_gain(tau: Floats, caps: Floats, weights: Floats, shares: Floats) -> Floats:
    """Return a bound (groups, steps) on what a track off the shortlist can add to the objective.

    Such a track has sum_u w_u v_u <= tau (groups,) and v_u <= caps (groups, members). `weights` is (groups, members),
    `shares` (groups, steps, members). For every multiplier m > 0 the gain sum_u w_u log(1 + v_u / a_u), a = U + c, is
    at most m tau + sum_u w_u max_v (log(1 + v / a_u) - m v) by Lagrangian duality, where the best v is 1 / m - a_u
    clipped to 0..cap. A few steps of water-filling find a good multiplier; any would be right.
    """

    def total(per_member: Floats) -> Floats:
        summed: Floats = np.matmul(per_member, weights[:, :, None])[:, :, 0]
        return summed

    base, high = shares + OFFSET, caps[:, None, :]
    limit = np.maximum(tau, 0)[:, None]
    lightest = weights.min(axis=1, keepdims=True)
    bound = total(np.log1p(high / base))
    level = (limit + total(base)) / weights.sum(axis=1, keepdims=True)
    for _ in range(_WATER_FILLING):
        best = np.clip(level[:, :, None] - base, 0, high)
        room = limit - total(best)
        bound = np.minimum(bound, total(np.log1p(best / base)) + room / level)
        inside = ((best > 0) & (best < high)).astype(base.dtype)
        level = np.maximum(level + room / np.maximum(total(inside), lightest), OFFSET)
    return bound
