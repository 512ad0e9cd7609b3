"""Who listens and what they want, and what follows from that alone: what they know, and what they must not get."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.core.quota import Quota
from service.core.recommender import Recommender
from service.core.rules import Diversity, Novelty, Rules
from service.core.strategies import EFFORT

_GUEST: Final = 8
"""Members who can be looked up in the time in which one is folded in and measured."""

_LIKED: Final = 64
"""Liked tracks that make a guest as much work again as a member."""

_LONG: Final = 60
"""Length at which a list is twice the work."""

_RULES: Final = 3
"""How much more work a list with rules is, mostly at most."""


@dataclass(frozen=True, slots=True)
class Member:
    """One listener: a known user, a guest with tracks they like, or a stranger with neither."""

    user_row: int | None = None
    liked: tuple[int, ...] = ()
    """Track rows beside the training data; a known user's are added to what they played."""
    weight: float = 1.0
    stand_ins: frozenset[int] = frozenset()
    """Those of `liked` that only stand for liked tracks which the model does not know: nothing says they were heard."""

    @property
    def named(self) -> tuple[int, ...]:
        """Return the track rows that they really like."""
        return tuple(row for row in self.liked if row not in self.stand_ins) if self.stand_ins else self.liked

    @property
    def has_taste(self) -> bool:
        """Return whether anything is known of them."""
        return self.user_row is not None or bool(self.liked)


@dataclass(frozen=True, slots=True)
class GroupQuery:
    """Who listens, and what they want."""

    members: tuple[Member, ...]
    k: int
    strategy: str
    """A key of `STRATEGIES`."""
    seed: int = 0
    """Decides whatever is drawn at random."""
    excluded: frozenset[int] = frozenset()
    """Track rows that must not appear."""
    only_new: bool = False
    """Leave out what any member has in the training data or named as liked."""
    discovery: bool = False
    """A track is worth nothing to a member who has it in the training data or named it as liked; others may want it."""
    already_played: tuple[int, ...] = ()
    """Distinct rows heard in this session, in order: not played again, and counted as had by their members."""
    left_out: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)
    """Distinct track rows, ascending, that must not appear either: many at a time, as of all that is explicit."""
    quota: Quota | None = field(default=None, repr=False, compare=False)
    """How many tracks of one artist the list may have; what was played does not count."""
    novelty: float = 0.0
    """At least such a share of the list, 0..1, and of each of its heads that is not filled up, nobody has in the
    training data or named as liked."""
    diversity: Diversity | None = field(default=None, repr=False, compare=False)
    """How much of the list, and of each of its heads that is not filled up, resembles nothing before."""
    begun: tuple[int, ...] = ()
    """Distinct rows that the list begins with, in order, all of them `already_played`: only the rest is asked for."""

    @property
    def has_rules(self) -> bool:
        """Return whether the list has to keep to anything as a whole."""
        return self.quota is not None or self.novelty > 0 or self.diversity is not None

    @property
    def is_filtered(self) -> bool:
        """Return whether some tracks must not appear, what was played apart."""
        return bool(self.excluded) or self.only_new or self.left_out is not None

    @property
    def effort(self) -> float:
        """Return what a ranking takes, roughly, in what it takes for each member of a short list by `average`."""
        guests = sum(_GUEST + len(member.liked) / _LIKED for member in self.members if member.liked)
        rules = _RULES if self.has_rules else 1
        return guests + len(self.members) * EFFORT[self.strategy] * (1 + self.k / _LONG) * rules


def history_of(model: Recommender, member: Member) -> NDArray[np.int64]:
    """Return the distinct tracks a member is known to like: those named, and those played in training."""
    liked = np.asarray(member.liked, dtype=np.int64)
    if member.user_row is not None:
        played = model.history.scores_of(member.user_row) > 0
        liked = np.concatenate([liked, model.history.tracks_of(member.user_row)[played]])
    return np.unique(liked)


def known_to(model: Recommender, member: Member) -> NDArray[np.int64]:
    """Return the tracks that a member has in the training data, skips included, or named as liked."""
    liked = np.asarray(member.named, dtype=np.int64)
    if member.user_row is None:
        return liked
    return np.concatenate([liked, model.history.tracks_of(member.user_row).astype(np.int64)])


def excluded_rows(model: Recommender, query: GroupQuery) -> NDArray[np.int64]:
    """Return the distinct track rows that a query must not get."""
    left_out = np.empty(0, dtype=np.int64) if query.left_out is None else query.left_out
    if not query.excluded and not query.only_new:
        return left_out
    parts = [left_out, np.fromiter(query.excluded, dtype=np.int64)]
    if query.only_new:
        parts += [known_to(model, member) for member in query.members]
    return np.unique(np.concatenate(parts))


def rules_of(model: Recommender, query: GroupQuery) -> Rules:
    """Return what the list of a group must keep to."""
    return Rules(query.quota, _novelty(model, query), query.diversity, query.begun)


def _novelty(model: Recommender, query: GroupQuery) -> Novelty | None:
    if not query.novelty:
        return None
    heard = np.zeros(len(model.tracks), dtype=np.bool_)
    for member in query.members:
        heard[known_to(model, member)] = True
    return Novelty(query.novelty, heard)
