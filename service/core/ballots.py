"""What the members of some groups think of every track, as strategies see it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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
    eligible: Tensor | None
    """(groups, tracks) False for tracks that filters keep from a group; None where there are none."""
    played: Tensor
    """(groups, most played so far) rows of tracks that the group has heard in this session, then `NONE`."""
    seeds: tuple[int, ...]
    """One a group."""

    @cached_property
    def allowed(self) -> Tensor | None:
        """Return False for tracks that a group must not get, (groups, tracks); None where all may."""
        if not self.played.numel():
            return self.eligible
        tracks = self.votes.shape[2]
        mask = self.votes.new_ones(self.groups, tracks + 1, dtype=torch.bool)
        mask.scatter_(1, self.played.masked_fill(self.played == NONE, tracks), value=False)
        return mask[:, :-1] if self.eligible is None else mask[:, :-1] & self.eligible

    def played_votes(self) -> Tensor:
        """Return what the members think of what was played, (groups, members, played), 0 for `NONE`."""
        wide = self.played.clamp(min=0)[:, None, :].expand(-1, self.members, -1)
        return self.votes.gather(2, wide).masked_fill((self.played == NONE)[:, None, :], 0)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.votes.shape[0]

    @property
    def members(self) -> int:
        """Number of members of each group."""
        return self.votes.shape[1]

    def best_votes(self, k: int) -> Tensor:
        """Return each member's k highest votes for eligible tracks, (groups, members, min(k, tracks)).

        What was played counts: a member's own best list does not get worse while the session goes on.
        """
        if self.eligible is None and k <= EXACT:
            best = torch.from_numpy(self.calibration.best(k)).to(self.votes.device)
            return best.view(self.groups, self.members, -1)
        return self._best(k, self.eligible)[0].clamp(min=0)

    def best_tracks(self, k: int) -> tuple[Tensor, Tensor]:
        """Return votes (-inf past the last allowed) and rows of each member's k best tracks that they may get."""
        return self._best(k, self.allowed)

    def _best(self, k: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        votes = self.votes if mask is None else self.votes.masked_fill(~mask[:, None, :], -torch.inf)
        values, rows = top_k(votes.flatten(0, 1), k)
        shape = (self.groups, self.members, -1)
        return values.view(shape), rows.view(shape)

    def rank_by(self, group_scores: Tensor, k: int) -> Tensor:
        """Return the k allowed tracks (groups, k) with the highest group score (groups, tracks), then `NONE`."""
        return rank_by(group_scores, self.allowed, k)


def rank_by(scores: Tensor, allowed: Tensor | None, k: int) -> Tensor:
    """Return the k allowed tracks (groups, k) with the highest scores (groups, tracks), then `NONE`."""
    if allowed is None:
        return top_k(scores, k)[1]
    values, rows = top_k(scores.masked_fill(~allowed, -torch.inf), k)
    return rows.masked_fill(values == -torch.inf, NONE)


Strategy = Callable[[Ballots, int], Tensor]
"""Ranks the tracks of each group: ballots and k to rows (groups, at most k), `NONE` where there are no more.

A strategy is fair to k: its list of 10 is the head of its list of 20. One that looks at what members had so far counts
what was played as had, so that ten tracks and then ten more are the list of twenty.
"""
