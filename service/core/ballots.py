"""What the members of some groups think of every track, as strategies see it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.calibration import EXACT, Calibration
from service.core.ranking import top_k
from service.core.recommender import Recommender, is_group_scorer

NONE: Final = -1
"""Stands where a strategy has no track left to name."""


@dataclass(frozen=True, eq=False)
class Ballots:
    """Groups of one size, ranked together; every member here has a taste and a weight above 0.

    A vote is relevance 0..1, or the model's own score where the strategy wants that.
    """

    model: Recommender
    vectors: Tensor
    """(groups, members, dim) of the members."""
    scores: Calibration
    """Of the groups * members rows of the model's scores."""
    by_relevance: bool
    """Whether members vote by relevance."""
    weights: Tensor
    """(groups, members), all above 0."""
    eligible: Tensor | None
    """(groups, tracks) False for tracks that filters keep from a group; None where there are none."""
    played: Tensor
    """(groups, most played so far) rows of tracks that the group has heard in this session, then `NONE`."""
    seeds: tuple[int, ...]
    """One a group."""
    heard: Tensor | None = None
    """(groups, members, tracks) True where a track is worth nothing to a member, who knows it; None for nowhere."""

    @cached_property
    def calibration(self) -> Calibration:
        """Return the calibration of the votes."""
        return self.scores.of_relevance() if self.by_relevance else self.scores

    @cached_property
    def votes(self) -> Tensor:
        """Return what each member thinks of every track, (groups, members, tracks)."""
        scores = self.model.score(self.vectors.flatten(0, 1))
        votes = (self.scores.relevance(scores) if self.by_relevance else scores).view(self.groups, self.members, -1)
        return votes if self.heard is None else votes.masked_fill_(self.heard, 0)

    def sums_of_powers(self, factors: NDArray[np.float64], power: int) -> Tensor:
        """Return sum_u factor_u vote_u ** power, (groups, tracks), for factors (groups, members)."""
        by_member = torch.from_numpy(factors.astype(np.float32)).to(self.vectors.device)
        if self._all_are_counted or not (self.by_relevance and is_group_scorer(self.model)):
            return torch.bmm(by_member[:, None, :], self.votes.pow(power))[:, 0]
        scale, low = (torch.from_numpy(part).to(self.vectors.device) for part in (self.scores.scale, self.scores.low))
        vectors = self.vectors * scale.view(self.groups, self.members, 1)  # relevance is their score less the floor
        return self.model.sums_of_powers(vectors, (low * scale).view_as(by_member), by_member, power)

    def votes_of(self, rows: Tensor, groups: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the votes (groups, members, k) for the tracks of each group (groups, k), anything for `NONE`.

        `groups` says whose tracks these are, where they are not of all.
        """
        asked = None if groups is None else torch.from_numpy(groups).to(self.vectors.device)
        rows = rows.to(self.vectors.device).clamp(min=0)
        if self._all_are_counted:
            votes: NDArray[np.float32] = _gather(_some(self.votes, asked), rows).numpy(force=True)
            return votes
        vectors = _some(self.vectors, asked)
        if rows.shape[1] * vectors.shape[2] < self.members * len(self.model.tracks):
            scores = self.model.score_tracks(vectors, rows)
        else:  # tracks have more numbers to look at than members have scores
            scores = _gather(self.model.score(vectors.flatten(0, 1)).view(*vectors.shape[:2], -1), rows)
        votes = scores.numpy(force=True)
        if not self.by_relevance:
            return votes
        calibration = self.scores
        if groups is not None:
            calibration = calibration.of(np.arange(len(calibration.scores)).reshape(-1, self.members)[groups].ravel())
        return calibration.relevance_of_some(votes.reshape(-1, votes.shape[2])).reshape(votes.shape)

    @property
    def _all_are_counted(self) -> bool:
        return "votes" in self.__dict__ or self.heard is not None

    @cached_property
    def allowed(self) -> Tensor | None:
        """Return False for tracks that a group must not get, (groups, tracks); None where all may."""
        if not self.played.numel():
            return self.eligible
        tracks = len(self.model.tracks)
        mask = torch.ones(self.groups, tracks + 1, dtype=torch.bool, device=self.vectors.device)
        mask.scatter_(1, self.played.masked_fill(self.played == NONE, tracks), value=False)
        return mask[:, :-1] if self.eligible is None else mask[:, :-1] & self.eligible

    def played_votes(self) -> NDArray[np.float32]:
        """Return what the members think of what was played, (groups, members, played), 0 for `NONE`."""
        if not self.played.numel():
            return np.empty((self.groups, self.members, 0), dtype=np.float32)
        heard = (self.played != NONE).numpy(force=True)
        votes: NDArray[np.float32] = self.votes_of(self.played) * heard[:, None, :]
        return votes

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.weights.shape[0]

    @property
    def members(self) -> int:
        """Number of members of each group."""
        return self.weights.shape[1]

    def best_votes(self, k: int) -> Tensor:
        """Return each member's k highest votes for eligible tracks, (groups, members, min(k, tracks)).

        What was played counts: a member's own best list does not get worse while the session goes on.
        """
        if self.eligible is None and self.heard is None and k <= EXACT:
            best = self.scores.best(k)
            votes = self.scores.relevance_of_some(best) if self.by_relevance else best
            return torch.from_numpy(votes).to(self.vectors.device).view(self.groups, self.members, -1)
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


def _some(of_groups: Tensor, asked: Tensor | None) -> Tensor:
    """Return what belongs to the groups that are asked for, None for all."""
    return of_groups if asked is None else of_groups[asked]


def _gather(votes: Tensor, rows: Tensor) -> Tensor:
    """Return the votes (groups, members, k) of (groups, members, tracks) for the tracks of each group (groups, k)."""
    return votes.gather(2, rows[:, None, :].expand(-1, votes.shape[1], -1))


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
