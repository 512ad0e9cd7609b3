"""The tracks among which the strategies that compare tracks of a list with one another look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots
from service.core.ranking import NONE, top_k
from service.core.rules import LONGER, Doors, Rules

LENGTH: Final = 400
"""So many tracks of the highest mean relevance are on the list, twice what a request may ask for."""

FAVOURITES: Final = 50
"""So many of each member's own best tracks, and all that tie with the last, are on the list however light they are."""

_LIKED: Final = np.finfo(np.float32).tiny
"""The least vote for what a member likes."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The tracks of each group with the highest mean relevance, and the favourites of every member.

    Nothing is lost by a strategy that ranks favourites by whose they are and all other tracks by mean relevance.
    """

    rows: Tensor
    """(groups, tracks), by mean relevance, best first; `NONE` where a group may get fewer."""
    votes: Floats
    """(groups, members, tracks), 0 where there is no track."""
    weights: Floats
    """(groups, members), adding up to 1."""
    closed: NDArray[np.bool_]
    """(groups, tracks) True where there is no track."""
    threshold: Floats
    """(groups, members, 1) the vote for the last of a member's own `FAVOURITES` best, above 0."""
    rules: Sequence[Rules] | None

    @classmethod
    def of(cls, ballots: Ballots, k: int) -> "Shortlist":
        """Return the shortlist of each group for lists of k."""
        shares = ballots.weights / ballots.weights.sum(dim=1, keepdim=True)
        means = torch.bmm(shares[:, None, :], ballots.votes)[:, 0]
        if ballots.allowed is not None:
            means.masked_fill_(~ballots.allowed, -torch.inf)
        threshold = ballots.best_votes(FAVOURITES)[:, :, -1:].clip(min=_LIKED)
        values, rows = _enough(means, _liked(ballots.votes, threshold), ballots.rules, k)
        closed = values == -torch.inf
        votes = ballots.votes.gather(2, rows[:, None, :].expand(-1, ballots.members, -1))
        votes = votes.masked_fill(closed[:, None, :], 0)
        return cls(
            rows.masked_fill(closed, NONE),
            votes.numpy(force=True),
            shares.numpy(force=True),
            closed.numpy(force=True),
            threshold,
            ballots.rules,
        )

    @property
    def favourites(self) -> NDArray[np.bool_]:
        """Return whether a track is among a member's own best, (groups, members, tracks)."""
        return self.among_best(self.votes)

    def among_best(self, votes: Floats) -> NDArray[np.bool_]:
        """Return the same of any votes (groups, members, n)."""
        favourites: NDArray[np.bool_] = votes >= self.threshold
        return favourites

    def rank_by(self, scores: NDArray[np.floating], k: int) -> Tensor:
        """Return the k tracks (groups, k) with the highest scores (groups, tracks), of equals the higher mean first."""
        order = np.where(self.closed, np.inf, -scores).argsort(axis=1, kind="stable")[:, :k]
        return self.rows.gather(1, torch.from_numpy(order).to(self.rows.device))

    def pick(
        self, k: int, gains: Callable[[], NDArray[np.floating]], take: Callable[[NDArray[np.int64]], None]
    ) -> Tensor:
        """Return the tracks (groups, k) that gain most one after another, of equal gains the higher mean first.

        `gains` says what each track (groups, tracks) would add now; `take` is told the place of each group's winner.
        What rules do not let come is not picked.
        """
        doors = (
            None if self.rules is None else Doors(self.rules, self.rows.numpy(force=True), self.votes.max(axis=1) > 0)
        )
        groups = np.arange(len(self.votes))
        barred = np.where(self.closed, -np.inf, 0.0)
        k = min(k, barred.shape[1])
        places = np.empty((len(groups), k), dtype=np.int64)
        for step in range(k):
            gain = gains() + barred
            if doors is not None:
                gain[doors.shut] = -np.inf
            winner = gain.argmax(axis=1)
            came = gain[groups, winner] > -np.inf
            places[:, step] = np.where(came, winner, NONE)
            take(winner)
            barred[groups, winner] = -np.inf
            if doors is not None:
                for group in np.flatnonzero(came).tolist():
                    doors.take(group, int(winner[group]))
        won = torch.from_numpy(places).to(self.rows.device)
        return self.rows.gather(1, won.clamp(min=0)).masked_fill(won == NONE, NONE)


def _liked(votes: Tensor, threshold: Floats) -> Tensor:
    """Return whether a track is among the favourites of any member, (groups, tracks)."""
    return (votes - torch.from_numpy(threshold).to(votes.device)).amax(dim=1) >= 0


def _enough(means: Tensor, liked: Tensor, rules: Sequence[Rules] | None, k: int) -> tuple[Tensor, Tensor]:
    """Return values and rows of so many tracks of the highest mean that k can be picked, and of all that are liked.

    While one of the highest means may come, none of a lower mean that nobody likes can come before.
    """
    count = max(LENGTH, k)
    values, rows = _best(means, liked, count)
    while rules is not None and count < means.shape[1]:
        head = rows[:, :count].masked_fill(values[:, :count] == -torch.inf, NONE).numpy(force=True)
        if all(own.suffice(tracks, k) for own, tracks in zip(rules, head, strict=True)):
            break
        count *= LONGER
        values, rows = _best(means, liked, count)
    return values, rows


def _best(scores: Tensor, wanted: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return values and columns of the `count` highest scores of each row, then of the others that are wanted.

    `scores` and `wanted` are (rows, columns); both parts are best first, -inf past the end.
    """
    values, columns = top_k(scores, count)
    missing = wanted.scatter(1, columns, value=False)
    some = missing.sum(dim=0).nonzero()[:, 0]
    others = scores[:, some].masked_fill(~missing[:, some], -torch.inf)
    more, places = top_k(others, int((others > -torch.inf).sum(dim=1).max()))
    return torch.cat([values, more], dim=1), torch.cat([columns, some[places]], dim=1)
