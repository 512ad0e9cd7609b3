"""A greedy race for the sum of weighted logarithms of what everybody has, and what no track outside of it could gain.

A track adds sum_u w_u log(1 + v_u / (U_u + c)), where v_u is its value to member u, U_u what u has, c an offset.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core import compiled
from service.core.calibration import raised
from service.core.ranking import NONE, Contenders
from service.core.rules import Doors, Rules

Floats = NDArray[np.float64]

_LEVELS: Final = np.array([0.5, 0.75, 1, 1.5])
"""Where a bound looks for the water level, in levels that would do if all members were under water and none full."""


class Voters(NamedTuple):
    """The members of each group, (groups, members) all of it."""

    weights: Floats
    worth: Floats
    """What a vote of 1, the highest, is worth: a track's value is worth * vote ** power."""
    had: Floats
    """What they have before the race."""

    def of(self, groups: NDArray[np.int64]) -> "Voters":
        """Return those of some groups."""
        return Voters(*(part[groups] for part in self))


def race(
    contenders: Contenders,
    voters: Voters,
    power: int,
    k: int,
    offset: float,
    rounding: float,
    rules: Sequence[Rules] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return which tracks win, one after another, and for which groups that is in doubt, (groups,).

    The rows of the winners are (groups, k), `NONE` once nothing is left; of tracks that gain alike the first wins. In
    doubt is a race in which a track that was not in it may have gained more than a winner, by more than `rounding`, or
    taken a place that rules left empty.
    """
    rows = contenders.rows
    doors = None if rules is None else Doors(rules, rows, contenders.votes.max(axis=1) > 0)
    if compiled.BUILT:
        watched = (None, None) if doors is None else (doors.shut, doors.take)
        picks, in_doubt = compiled.race(*contenders, *voters, _LEVELS, power, k, offset, rounding, *watched)
    else:
        picks, in_doubt = _race(contenders, voters, power, k, offset, rounding, doors)
    if doors is not None:
        in_doubt |= (picks == NONE).any(axis=1) & (rows != NONE).all(axis=1)
    return picks, in_doubt


def _race(
    contenders: Contenders, voters: Voters, power: int, k: int, offset: float, rounding: float, doors: Doors | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the same of those that are not shut, without a word on places that are left empty."""
    rows, votes, tau = contenders
    values = raised(votes, power) * voters.worth[:, :, None]
    places, shares = _places(values, voters, rows == NONE, k, offset, doors)
    empty, winners = places == NONE, places.clip(min=0)
    picks = np.where(empty, NONE, np.take_along_axis(rows, winners, axis=1))
    won = np.take_along_axis(values, winners[:, None, :], axis=2).transpose(0, 2, 1)
    gains = (voters.weights[:, None, :] * np.log1p(won / (shares + offset))).sum(axis=2)
    bound = highest_gain(tau, voters.worth, voters.weights, shares, offset)
    return picks, ((gains + rounding < bound) & ~empty).any(axis=1)


def _places(
    values: Floats, voters: Voters, closed: NDArray[np.bool_], k: int, offset: float, doors: Doors | None
) -> tuple[NDArray[np.int64], Floats]:
    """Return which tracks win, (groups, k), `NONE` once none may, and the shares they found, (groups, k, members).

    `values` is (groups, members, tracks), `closed` (groups, tracks) True for tracks that may not win.
    """
    groups, members, tracks = values.shape
    begins = np.arange(groups) * tracks
    base = voters.had + offset
    by_track = np.ascontiguousarray((values / base[:, :, None]).transpose(1, 0, 2)).reshape(members, -1)
    welfare = (by_track + 1).reshape(members, groups, tracks)  # of each member, if the track came next
    equal = bool((voters.weights == voters.weights[:, :1]).all())
    barred = np.where(closed, -np.inf, 0.0)
    places = np.empty((k, groups), dtype=np.int64)
    won = np.empty((k, groups), dtype=np.bool_)
    total = np.empty((groups, tracks))
    for step in range(k):
        if equal:  # the product has its maximum where the sum of logarithms has
            np.multiply.reduce(welfare, axis=0, out=total)
        else:
            np.einsum("gm,mgt->gt", voters.weights, np.log(welfare), out=total)
        total += barred
        if doors is not None:
            total[doors.shut] = -np.inf
        winner = total.argmax(axis=1, out=places[step]) + begins
        np.greater(total.reshape(-1)[winner], -np.inf, out=won[step])
        barred.reshape(-1)[winner] = -np.inf
        if doors is not None:
            for group in np.flatnonzero(won[step]).tolist():
                doors.take(group, int(places[step, group]))
        welfare += by_track[:, winner][:, :, None]
    won_values = by_track[:, places + begins].transpose(2, 1, 0) * base[:, None, :]
    shares = voters.had[:, None, :] + won_values.cumsum(axis=1) - won_values
    return np.where(won.T, places.T, NONE), shares


def highest_gain(tau: Floats, caps: Floats, weights: Floats, shares: Floats, offset: float) -> Floats:
    """Return a bound (groups, steps) on what a track off the shortlist can add to the objective.

    Such a track has sum_u w_u v_u <= tau (groups,) and v_u <= caps (groups, members). `weights` is (groups, members),
    `shares` (groups, steps, members). For every level l > 0 the gain sum_u w_u log(1 + v_u / a_u), a = U + c, is at
    most tau / l + sum_u w_u max_v (log(1 + v / a_u) - v / l) by Lagrangian duality, where the best v is l - a_u
    clipped to 0..cap. The best level is where water poured over the a_u, tau in all, would stand: near that of all
    members together, lower where some stand above it, higher where some are full. Any level is right, and near the best
    one the bound hardly changes.
    """
    base, by_member = shares + offset, weights[:, None, :]
    tau = np.maximum(tau, 0)[:, None]
    level = _LEVELS[:, None, None] * ((tau + (by_member * base).sum(axis=2)) / weights.sum(axis=1, keepdims=True))
    filled = np.clip(level[..., None] - base, 0, caps[:, None, :])
    gain = (by_member * (np.log1p(filled / base) - filled / level[..., None])).sum(axis=3)
    bound: Floats = (gain + tau / level).min(axis=0)
    return bound
