"""What the members of some groups think of every track, as strategies see it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from service.core.calibration import EXACT, Calibration
from service.core.ranking import top_k

NONE: Final = -1
"""Stands where a strategy has no track left to name."""


@dataclass(frozen=True, eq=False)
class Ballots:
    """Groups of one size, ranked together; every member here has a taste and a weight above 0."""

    votes: Tensor
    """(groups, members, tracks): relevance 0..1, or the model's own scores where the strategy wants those."""
    weights: Tensor
    """(groups, members), all above 0."""
    calibration: Calibration
    """Of the groups * members rows of `votes`, in the units of `votes`."""
    allowed: Tensor | None
    """(groups, tracks) False for tracks that a group must not get; None where all may."""
    seeds: tuple[int, ...]
    """One a group."""

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.votes.shape[0]

    @property
    def members(self) -> int:
        """Number of members of each group."""
        return self.votes.shape[1]

    def best_votes(self, k: int) -> Tensor:
        """Return each member's k highest votes for tracks they may get, (groups, members, min(k, tracks))."""
        if self.allowed is None and k <= EXACT:
            return self.calibration.best(k).view(self.groups, self.members, -1)
        return self.best_tracks(k)[0].clamp(min=0)

    def best_tracks(self, k: int) -> tuple[Tensor, Tensor]:
        """Return votes (-inf past the last allowed) and rows of each member's k best tracks that they may get."""
        votes = self.votes
        if self.allowed is not None:
            votes = votes.masked_fill(~self.allowed[:, None, :], -torch.inf)
        values, rows = top_k(votes.flatten(0, 1), k)
        shape = (self.groups, self.members, -1)
        return values.view(shape), rows.view(shape)

    def rank_by(self, group_scores: Tensor, k: int) -> Tensor:
        """Return the k allowed tracks (groups, k) with the highest group score (groups, tracks), then `NONE`."""
        if self.allowed is not None:
            group_scores = group_scores.masked_fill(~self.allowed, -torch.inf)
        values, rows = top_k(group_scores, k)
        return rows.masked_fill(values == -torch.inf, NONE)


Strategy = Callable[[Ballots, int], Tensor]
"""Ranks the tracks of each group: ballots and k to rows (groups, at most k), `NONE` where there are no more.

A strategy is fair to k: its list of 10 is the head of its list of 20.
"""
