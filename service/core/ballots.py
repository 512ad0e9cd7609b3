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
from service.core.recommender import Recommender, RoughScorer

_SCORED_AT_ONCE: Final = 1 << 21
"""Rough scores held at a time, in one product of many rows."""

_CACHED: Final = 1 << 17
"""Rough votes worked on at a time: they stay in the second-level cache of a core from pass to pass."""

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
        votes = self._votes(self.model.score(self.vectors.flatten(0, 1)))
        return votes if self.heard is None else votes.masked_fill_(self.heard, 0)

    def rough_sums(self, factors: NDArray[np.float64], power: int) -> tuple[Tensor, NDArray[np.float64]]:
        """Return roughly sum_u factor_u vote_u ** power, (groups, tracks), for factors (groups, members).

        The second array (groups, members) says how far the votes may be off.
        """
        by_member = torch.from_numpy(factors.astype(np.float32)).to(self.vectors.device)
        if self._all_are_counted or not (self.by_relevance and isinstance(self.model, RoughScorer)):
            return torch.bmm(by_member[:, None, :], self.votes.pow(power))[:, 0], np.zeros(factors.shape)
        vectors, floors = self._in_relevance()
        width = len(self.model.tracks)
        sums = by_member.new_empty(self.groups, width)
        at_once = max(1, _SCORED_AT_ONCE // (self.members * width))
        cached = max(1, _CACHED // (self.members * width)) if sums.device.type == "cpu" else at_once
        errors, relative_error = [], 0.0
        for first in range(0, self.groups, at_once):
            rough = self.model.score_roughly(vectors[first : first + at_once].flatten(0, 1))
            errors.append(rough.error)
            relative_error = rough.relative_error
            scores = rough.scores.view(-1, self.members, width)
            for begin in range(0, len(scores), cached):
                part = slice(first + begin, min(first + begin + cached, first + len(scores)))
                votes = torch.sub(scores[begin : begin + cached], floors[part]).clamp_(min=0).pow_(power)
                torch.bmm(by_member[part, None, :], votes, out=sums[part, None, :])
        largest = np.maximum(np.abs(self.scores.high), np.abs(self.scores.low)) * self.scores.scale
        off = torch.cat(errors).numpy(force=True) + relative_error * largest
        return sums, off.reshape(factors.shape).astype(np.float64)

    def _in_relevance(self) -> tuple[Tensor, Tensor]:
        """Return vectors (groups, members, dim) and floors (groups, members, 1): relevance is the score less the floor.

        That is before it is cut off at 0 and 1.
        """
        shape = (self.groups, self.members, 1)
        scale = torch.from_numpy(self.scores.scale).to(self.vectors.device).view(shape)
        low = torch.from_numpy(self.scores.low).to(self.vectors.device).view(shape)
        return self.vectors * scale, low * scale

    def votes_of(self, rows: Tensor, groups: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the votes (groups, members, k) for the tracks of each group (groups, k), anything for `NONE`.

        `groups` says whose tracks these are, where they are not of all.
        """
        asked = slice(None) if groups is None else torch.from_numpy(groups).to(self.vectors.device)
        rows = rows.to(self.vectors.device).clamp(min=0)
        wide = rows[:, None, :].expand(-1, self.members, -1)
        if self._all_are_counted:
            votes = self.votes[asked].gather(2, wide)
        elif rows.shape[1] * self.vectors.shape[2] < self.members * len(self.model.tracks):
            votes = self._votes(self.model.score_tracks(self.vectors[asked], rows), groups)
        else:  # tracks have more numbers to look at than members have scores
            votes = self._votes(self.model.score(self.vectors[asked].flatten(0, 1)), groups).gather(2, wide)
        counted: NDArray[np.float32] = votes.numpy(force=True)
        return counted

    @property
    def _all_are_counted(self) -> bool:
        return "votes" in self.__dict__ or self.heard is not None

    def _votes(self, scores: Tensor, groups: NDArray[np.int64] | None = None) -> Tensor:
        """Return scores of the members, of some groups or all, as votes (groups, members, n)."""
        shape = (self.groups if groups is None else len(groups), self.members, scores.shape[-1])
        if self.by_relevance:
            calibration = self.scores
            if groups is not None:
                places = np.arange(self.groups * self.members).reshape(self.groups, -1)
                calibration = calibration.of(places[groups].ravel())
            scores = calibration.relevance(scores.view(shape[0] * shape[1], shape[2]))
        return scores.view(shape)

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
            best = torch.from_numpy(self.calibration.best(k)).to(self.vectors.device)
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
