"""What the members of some groups think of every track, as strategies see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.calibration import EXACT, Calibration, raised
from service.core.ranking import NONE, Contenders, highest, top_k
from service.core.recommender import Recommender, is_group_scorer
from service.core.rules import Rules


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
    rules: Sequence[Rules] | None = None
    """Of each group, None where no group has any; a strategy that picks one track after another keeps to them."""

    @cached_property
    def votes(self) -> Tensor:
        """Return what each member thinks of every track, (groups, members, tracks)."""
        scores = self.model.score(self.vectors.flatten(0, 1))
        votes = (self.scores.relevance(scores) if self.by_relevance else scores).view(self.groups, self.members, -1)
        return votes if self.heard is None else votes.masked_fill_(self.heard, 0)

    def contenders(
        self, factors: NDArray[np.float64], power: int, count: int, groups: NDArray[np.int64] | None = None
    ) -> Contenders:
        """Return the `count` allowed tracks of each group with the highest sum_u factor_u vote_u ** power.

        `groups` says whose tracks are asked for, None those of all; `factors` is (groups, members).
        """
        asked = None if groups is None else torch.from_numpy(groups).to(self.vectors.device)
        allowed = None if self.allowed is None else _some(self.allowed, asked)
        if not self._all_are_counted and self.by_relevance and is_group_scorer(self.model):
            scores = self._scores_of(groups)
            return self.model.contenders(_some(self.vectors, asked), scores, factors, power, allowed, count)
        votes = _some(self.votes, asked)
        by_member = torch.from_numpy(factors.astype(np.float32)).to(votes.device)
        sums = torch.bmm(by_member[:, None, :], votes.pow(power))[:, 0]
        if allowed is not None:
            sums.masked_fill_(~allowed, -torch.inf)
        rows, tau = highest(sums, count)
        of_rows = _gather(votes, torch.from_numpy(rows.clip(min=0)).to(votes.device))
        return Contenders(rows, of_rows.numpy(force=True), tau)

    def _scores_of(self, groups: NDArray[np.int64] | None) -> Calibration:
        """Return the calibration of the members of some groups, None for all."""
        if groups is None:
            return self.scores
        return self.scores.of((groups[:, None] * self.members + np.arange(self.members)).ravel())

    def votes_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the votes (groups, members, k) for the tracks of each group (groups, k), anything for `NONE`."""
        if not self._all_are_counted and self.by_relevance and is_group_scorer(self.model):
            return self.model.votes_of(self.vectors, self.scores, rows)
        asked = torch.from_numpy(rows.clip(min=0)).to(self.vectors.device)
        if self._all_are_counted:
            votes: NDArray[np.float32] = _gather(self.votes, asked).numpy(force=True)
            return votes
        if rows.shape[1] * self.vectors.shape[2] < self.members * len(self.model.tracks):
            scores = self.model.score_tracks(self.vectors, asked)
        else:  # tracks have more numbers to look at than members have scores
            scores = _gather(self.model.score(self.vectors.flatten(0, 1)).view(*self.vectors.shape[:2], -1), asked)
        votes = scores.numpy(force=True)
        if not self.by_relevance:
            return votes
        return self.scores.relevance_of_some(votes.reshape(-1, votes.shape[2])).reshape(votes.shape)

    def percentiles(self, votes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return for how many of the other tracks, 0..1, a member votes lower than these votes (groups, members, k)."""
        by_member = votes.reshape(-1, votes.shape[2])
        of = self.scores.percentiles_of_relevance if self.by_relevance else self.scores.percentiles
        return of(by_member).reshape(votes.shape)

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
        votes: NDArray[np.float32] = self.votes_of(self.played.numpy(force=True)) * heard[:, None, :]
        return votes

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.weights.shape[0]

    @property
    def members(self) -> int:
        """Number of members of each group."""
        return self.weights.shape[1]

    def ideals(self, k: int, power: int) -> NDArray[np.float64]:
        """Return what vote ** power of each member's `best_votes` adds up to, (groups, members)."""
        if self.eligible is None and self.heard is None and self.by_relevance and k <= EXACT:
            return self.scores.ideals(k, power).reshape(self.groups, self.members)
        sums: NDArray[np.float64] = raised(self.best_votes(k), power).sum(axis=2)
        return sums

    def best_votes(self, k: int) -> NDArray[np.float32]:
        """Return each member's k highest votes for eligible tracks, (groups, members, min(k, tracks)).

        What was played counts: a member's own best list does not get worse while the session goes on.
        """
        if self.eligible is None and self.heard is None and k <= EXACT:
            best = self.scores.best(k)
            votes = self.scores.relevance_of_some(best) if self.by_relevance else best
            return votes.reshape(self.groups, self.members, -1)
        of_eligible: NDArray[np.float32] = self._best(k, self.eligible)[0].clamp(min=0).numpy(force=True)
        return of_eligible

    def best_tracks(self, k: int, *, or_played: bool = False) -> tuple[Tensor, Tensor]:
        """Return votes (-inf past the last allowed) and rows of each member's k best tracks that they may get.

        With `or_played` what was played is among them, whatever filters say of it.
        """
        return self._best(k, self._eligible_or_played if or_played else self.allowed)

    @property
    def _eligible_or_played(self) -> Tensor | None:
        if self.eligible is None:
            return None
        mask = torch.nn.functional.pad(self.eligible, (0, 1))
        mask.scatter_(1, self.played.masked_fill(self.played == NONE, self.eligible.shape[1]), value=True)
        return mask[:, :-1]

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
