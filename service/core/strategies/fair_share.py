"""Everyone's share grows evenly: greedy Nash welfare on sharpened shares.

    v_ui = r_ui ** 3 / sum of r ** 3 over u's own best K tracks      a member's own best list adds up to 1
    i*   = argmax_i sum_u w_u log(U_u + v_ui + 0.5 / K);  U_u += v_ui*

r is relevance, U_u what u has got so far, K a fixed reference length. The sum of logarithms prefers the member
who has least; the cube makes a favourite worth more than two lukewarm tracks.
"""

from typing import Final

import torch
from torch import Tensor

from service.core.ballots import NONE, Ballots

REFERENCE_LENGTH: Final = 30
"""K: shares are measured against lists of this length, whatever length is asked for."""

_SHARPNESS: Final = 3
_OFFSET: Final = 0.5 / REFERENCE_LENGTH

_SHORTLIST: Final = 256
"""Tracks that compete in detail before all the others are looked at again."""


def fair_share(ballots: Ballots, k: int) -> Tensor:
    """Rank greedily; exactly the list that looking at every track in every step would give, up to ties.

    A gain only ever falls while shares grow (the objective is submodular; Minoux 1978), so the best of a
    shortlist wins without a look at the others as long as it beats a bound on all of them.
    """
    ideal = ballots.best_votes(REFERENCE_LENGTH).pow(_SHARPNESS).sum(dim=2)
    scale = ideal.clamp(min=torch.finfo(ideal.dtype).tiny).reciprocal()
    values = ballots.votes.pow(_SHARPNESS).mul_(scale[:, :, None])
    allowed = ballots.allowed
    available = values.new_zeros(values.shape[0], values.shape[2])
    if allowed is not None:
        available.masked_fill_(~allowed, -torch.inf)
    race = _Race(values, ballots.weights, available)
    picks = [race.next_pick() for _ in range(min(k, values.shape[2]))]
    return torch.stack(picks, dim=1)


def gains(values: Tensor, weights: Tensor, shares: Tensor) -> Tensor:
    """Return what each track would add to the objective, (groups, tracks).

    `values` is (groups, members, tracks), `weights` and `shares`, U, are (groups, members).
    """
    logs = torch.log1p(values / (shares + _OFFSET)[:, :, None])
    return torch.bmm(weights[:, None, :], logs)[:, 0]


class _Race:
    """The state of some groups' greedy selections."""

    def __init__(self, values: Tensor, weights: Tensor, available: Tensor) -> None:
        self._values, self._weights = values, weights
        self._available = available
        """0, or -inf for tracks that are excluded or picked already."""
        self._shares = torch.zeros_like(weights)
        self._highest = values.amax(dim=2)
        groups = torch.arange(len(values), device=values.device)
        self._groups = groups
        size = min(_SHORTLIST, values.shape[2])
        self._rows = groups.new_empty(len(values), size)
        self._shortlist = values.new_empty(*weights.shape, size)
        self._open = values.new_empty(len(values), size)
        self._bound = values.new_empty(len(values))
        self._bound_shares = self._shares.clone()
        self._refresh(groups)

    def _refresh(self, groups: Tensor) -> None:
        """Look at every track of these groups and keep the best as the shortlist."""
        gain = gains(self._values[groups], self._weights[groups], self._shares[groups])
        gain += self._available[groups]
        best, rows = torch.topk(gain, self._rows.shape[1], dim=1)
        self._rows[groups] = rows
        wide = rows[:, None, :].expand(-1, self._weights.shape[1], -1)
        self._shortlist[groups] = self._values[groups].gather(2, wide)
        self._open[groups] = torch.where(best == -torch.inf, -torch.inf, 0.0)
        everything = rows.shape[1] == self._values.shape[2]
        self._bound[groups] = -torch.inf if everything else best[:, -1]
        self._bound_shares[groups] = self._shares[groups]

    def _others(self) -> Tensor:
        """Return a bound (groups,) on the gain of every track that is not on the shortlist.

        Since the bound was taken, the gain log(1 + v / (U + c)) of member u has fallen at least by the factor
        it has fallen by for u's best v, because that factor rises with v.
        """
        now = torch.log1p(self._highest / (self._shares + _OFFSET))
        then = torch.log1p(self._highest / (self._bound_shares + _OFFSET))
        factor = torch.where(then > 0, now / then, 0.0).amax(dim=1)
        return self._bound * factor

    def next_pick(self) -> Tensor:
        """Return the next track of each group, (groups,), `NONE` where none is left."""
        gain = gains(self._shortlist, self._weights, self._shares) + self._open
        best, place = gain.max(dim=1)
        overtaken = best < self._others()
        if bool(overtaken.any()):
            self._refresh(overtaken.nonzero()[:, 0])
            gain = gains(self._shortlist, self._weights, self._shares) + self._open
            best, place = gain.max(dim=1)
        rows = self._rows[self._groups, place]
        self._shares += self._shortlist[self._groups, :, place]
        self._open[self._groups, place] = -torch.inf
        self._available[self._groups, rows] = -torch.inf
        return rows.masked_fill(best == -torch.inf, NONE)
