"""The one function that turns groups into playlists: serving, evaluation and benchmarks all call `rank_groups`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import NONE, Ballots
from service.core.calibration import Calibration
from service.core.recommender import Recommender, is_group_scorer
from service.core.strategies import EFFORT, LINEAR, ON_SCORES, SPARING, STRATEGIES

_VOTES_AT_ONCE: Final = 1_000_000
"""Scores held at a time, 4 MB: a chunk stays in the cache of a server core and memory stays bounded."""


_GUEST: Final = 8
"""Members who can be looked up in the time in which one is folded in and measured."""

_LIKED: Final = 64
"""Liked tracks that make a guest as much work again as a member."""

_LONG: Final = 60
"""Length at which a list is twice the work."""


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

    @property
    def is_filtered(self) -> bool:
        """Return whether some tracks must not appear, what was played apart."""
        return bool(self.excluded) or self.only_new or self.left_out is not None

    @property
    def effort(self) -> float:
        """Return what a ranking takes, roughly, in what it takes for each member of a short list by `average`."""
        guests = sum(_GUEST + len(member.liked) / _LIKED for member in self.members if member.liked)
        return guests + len(self.members) * EFFORT[self.strategy] * (1 + self.k / _LONG)


@dataclass(frozen=True, slots=True)
class GroupRanking:
    """A playlist, best first. Strangers have no say, so the rows of `member_scores` are those with a taste."""

    rows: list[int]
    scores: list[float]
    """Weighted mean of the members' percentiles."""
    voters: tuple[int, ...]
    """Positions of the members with a taste in the query."""
    member_scores: list[list[float]]
    """(voters, tracks) percentile of each track in the member's own ranking."""
    filled: int
    """How many tracks at the end are there for their popularity alone, because no member has an opinion on more."""
    candidates: int
    """Tracks that were left to choose from."""
    members_alone: bool = True
    """Whether nobody else had a vote, so that what the strategy says of its tracks is true of these members."""
    vectors: Tensor | None = field(default=None, repr=False, compare=False)
    """(voters, dim) where a member was folded in: that takes long, and an explanation needs them again."""


@torch.inference_mode()
def rank_groups(model: Recommender, queries: Sequence[GroupQuery]) -> list[GroupRanking]:
    """Return one ranking a query, in order.

    Queries that are alike in strategy, in the number of members with a taste and in what they need to know are scored
    in one product. Lists are shorter than k only where fewer tracks are allowed.
    """
    buckets: defaultdict[tuple[str, bool, int], list[int]] = defaultdict(list)
    sparing = is_group_scorer(model)
    voters = [tuple(i for i, member in enumerate(query.members) if member.has_taste) for query in queries]
    for position, query in enumerate(queries):
        buckets[query.strategy, _needs_all_votes(query, sparing), len(voters[position])].append(position)
    rankings: dict[int, GroupRanking] = {}
    for (strategy, all_votes, size), positions in buckets.items():
        rows = 1 if sparing and not all_votes else max(size, 1)  # other vectors are as wide as the catalogue
        at_once = max(1, _VOTES_AT_ONCE // (rows * len(model.tracks)))
        for start in range(0, len(positions), at_once):
            chunk = positions[start : start + at_once]
            if size == 0:
                ranked = [_rank_strangers(model, queries[position]) for position in chunk]
            else:
                tables = [(queries[position], voters[position]) for position in chunk]
                ranked = _rank_tables(model, strategy, tables)
            rankings.update(zip(chunk, ranked, strict=True))
    return [rankings[position] for position in range(len(queries))]


def _needs_all_votes(query: GroupQuery, sparing: bool) -> bool:
    """Return whether every member's view of every track will be asked for, by a model that may be `sparing` or not."""
    if query.discovery:
        return True
    if query.strategy in SPARING:
        return not sparing or query.is_filtered
    return query.strategy not in LINEAR


_Table = tuple[GroupQuery, tuple[int, ...]]
"""A query and the positions of its members with a taste."""


def _rank_tables(model: Recommender, strategy: str, tables: Sequence[_Table]) -> list[GroupRanking]:
    """Rank queries that share a strategy and a number of voters, at least one."""
    members = [query.members[voter] for query, voters in tables for voter in voters]
    groups, size = len(tables), len(tables[0][1])
    vectors, calibration = vectors_of(model, members)
    weights = np.array([member.weight for member in members], dtype=np.float32).reshape(groups, size)
    excluded = [excluded_rows(model, query) for query, _ in tables]
    ballots = Ballots(
        model=model,
        vectors=vectors.view(groups, size, -1),
        scores=calibration,
        by_relevance=strategy not in ON_SCORES,
        weights=torch.from_numpy(weights).to(vectors.device),
        eligible=_allowed(excluded, model, vectors.device),
        played=_played(tables, vectors.device),
        seeds=tuple(query.seed for query, _ in tables),
        heard=_heard(model, tables, vectors.device),
    )
    k = min(max(query.k for query, _ in tables), len(model.tracks))
    merged = strategy in LINEAR and not tables[0][0].discovery
    ranked = _rank_merged(ballots, k) if merged else STRATEGIES[strategy](ballots, k)
    rows: NDArray[np.int64] = ranked.numpy(force=True)
    opinions = ballots.votes_of(rows)
    kept_out = _kept_out(tables, excluded)
    lengths = [query.k for query, _ in tables]
    whole, filled = _fill_up(model, rows, opinions, kept_out, lengths)
    if whole is not None:
        rows, opinions = whole, ballots.votes_of(whole)
    percentiles = ballots.percentiles(opinions)
    shares = weights / weights.sum(axis=1, keepdims=True)
    group_scores: list[list[float]] = np.matmul(shares[:, None, :], percentiles)[:, 0].tolist()
    candidates = [len(model.tracks) - len(out) for out in kept_out]
    lists: list[list[int]] = rows.tolist()
    by_member: list[list[list[float]]] = percentiles.tolist()
    folded = [
        each.clone() if any(query.members[voter].liked for voter in voters) else None
        for each, (query, voters) in zip(ballots.vectors, tables, strict=True)
    ]
    columns = zip(lists, group_scores, by_member, filled, folded, strict=True)
    return [
        _ranking(query, voters, left, *column)
        for (query, voters), left, column in zip(tables, candidates, columns, strict=True)
    ]


def _rank_merged(ballots: Ballots, k: int) -> Tensor:
    """Return the k tracks (groups, k) with the highest weighted sum of relevance, then `NONE`.

    sum_u w_u (s_ui - low_u) scale_u = (sum_u w_u scale_u x_u) . y_i - constant: one product a group, not one a member.
    """
    scale = torch.from_numpy(ballots.scores.scale).to(ballots.weights.device).view_as(ballots.weights)
    merged = torch.bmm((ballots.weights * scale).unsqueeze(1), ballots.vectors).squeeze(1)
    return ballots.rank_by(ballots.model.score(merged), k)


def _kept_out(tables: Sequence[_Table], excluded: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Return the distinct rows that each group must not get: what filters exclude and what was played."""
    return [
        np.union1d(out, query.already_played) if query.already_played else out
        for out, (query, _) in zip(excluded, tables, strict=True)
    ]


def _ranking(
    query: GroupQuery,
    voters: tuple[int, ...],
    candidates: int,
    rows: list[int],
    scores: list[float],
    member_scores: list[list[float]],
    filled_from: int,
    vectors: Tensor | None,
) -> GroupRanking:
    """Cut a list as long as the longest of its batch down to what the query asked for."""
    length = min(query.k, candidates)
    return GroupRanking(
        rows=rows[:length],
        scores=scores[:length],
        voters=voters,
        member_scores=[line[:length] for line in member_scores],
        filled=max(0, length - filled_from),
        candidates=candidates,
        vectors=vectors,
    )


def vectors_of(model: Recommender, members: Sequence[Member]) -> tuple[Tensor, Calibration]:
    """Return the vectors (members, dim) and what their scores are worth, measured at once for those folded in."""
    known = [place for place, member in enumerate(members) if not member.liked]
    user_rows = np.array([members[place].user_row for place in known], dtype=np.int64)
    calibration = model.calibration.of(user_rows)
    vectors = model.user_vectors(torch.from_numpy(user_rows))
    if len(known) == len(members):
        return vectors, calibration
    guests = [place for place, member in enumerate(members) if member.liked]
    folded, tables = [vectors], [calibration.scores]
    at_once = max(1, _VOTES_AT_ONCE // len(model.tracks))
    for first in range(0, len(guests), at_once):
        liked = [history_of(model, members[place]) for place in guests[first : first + at_once]]
        folded.append(model.fold_in([torch.from_numpy(rows) for rows in liked]))
        tables.append(Calibration.measure(model.score(folded[-1])).scores)
    order = np.argsort([*known, *guests])
    return torch.cat(folded)[torch.from_numpy(order).to(vectors.device)], Calibration(
        calibration.ranks, np.concatenate(tables)[order]
    )


def history_of(model: Recommender, member: Member) -> NDArray[np.int64]:
    """Return the distinct tracks a member is known to like: those named, and those played in training."""
    liked = np.asarray(member.liked, dtype=np.int64)
    if member.user_row is not None:
        played = model.history.scores_of(member.user_row) > 0
        liked = np.concatenate([liked, model.history.tracks_of(member.user_row)[played]])
    return np.unique(liked)


def excluded_rows(model: Recommender, query: GroupQuery) -> NDArray[np.int64]:
    """Return the distinct track rows that a query must not get."""
    left_out = np.empty(0, dtype=np.int64) if query.left_out is None else query.left_out
    if not query.excluded and not query.only_new:
        return left_out
    parts = [left_out, np.fromiter(query.excluded, dtype=np.int64)]
    if query.only_new:
        parts += [known_to(model, member) for member in query.members]
    return np.unique(np.concatenate(parts))


def known_to(model: Recommender, member: Member) -> NDArray[np.int64]:
    """Return the tracks that a member has in the training data, skips included, or named as liked."""
    liked = np.asarray(member.named, dtype=np.int64)
    if member.user_row is None:
        return liked
    return np.concatenate([liked, model.history.tracks_of(member.user_row).astype(np.int64)])


def _heard(model: Recommender, tables: Sequence[_Table], device: torch.device) -> Tensor | None:
    """Return True for tracks that are worth nothing to a member, (groups, voters, tracks); None where none are."""
    if not any(query.discovery for query, _ in tables):
        return None
    heard = torch.zeros(len(tables), len(tables[0][1]), len(model.tracks), dtype=torch.bool)
    for group, (query, voters) in zip(heard, tables, strict=True):
        for of_member, voter in zip(group, voters, strict=True):
            if query.discovery:
                of_member[torch.from_numpy(known_to(model, query.members[voter]))] = True
    return heard.to(device)


def _played(tables: Sequence[_Table], device: torch.device) -> Tensor:
    """Return the rows that each group has heard in this session, (groups, most), padded with `NONE`."""
    most = max(len(query.already_played) for query, _ in tables)
    if not most:
        return torch.empty(len(tables), 0, dtype=torch.long, device=device)
    rows = [[*query.already_played, *[NONE] * (most - len(query.already_played))] for query, _ in tables]
    return torch.tensor(rows, dtype=torch.long, device=device).view(len(tables), most)


def _allowed(excluded: Sequence[NDArray[np.int64]], model: Recommender, device: torch.device) -> Tensor | None:
    """Return False for excluded tracks, (groups, tracks), or None where nothing is excluded."""
    if not any(len(rows) for rows in excluded):
        return None
    allowed = torch.ones(len(excluded), len(model.tracks), dtype=torch.bool)
    for mask, rows in zip(allowed, excluded, strict=True):
        mask[torch.from_numpy(rows)] = False
    return allowed.to(device)


def _fill_up(
    model: Recommender,
    ranked: NDArray[np.int64],
    opinions: NDArray[np.float32],
    kept_out: Sequence[NDArray[np.int64]],
    lengths: Sequence[int],
) -> tuple[NDArray[np.int64] | None, list[int]]:
    """Return lists (groups, k) with popular tracks where no member has an opinion, and where the filling begins.

    Of each list only the `lengths` first tracks matter: what a longer list of the same batch holds must not.

    None instead of the lists where nothing was missing. A vote of 0 is no opinion: play counts say nothing of tracks
    that nobody in the group ever heard.
    """
    length = ranked.shape[1]
    vouched = (opinions.max(axis=1) > 0) & (ranked != NONE)
    if vouched.all():
        return None, [length] * len(ranked)
    rows = np.full_like(ranked, NONE)
    begins = []
    for group, (keep, out, wanted) in enumerate(zip(vouched, kept_out, lengths, strict=True)):
        chosen = ranked[group, :wanted][keep[:wanted]].tolist()
        whole = chosen + _popular(model, min(wanted, length) - len(chosen), {*chosen, *out.tolist()})
        rows[group, : len(whole)] = whole
        begins.append(len(chosen))
    return rows, begins


def _popular(model: Recommender, k: int, without: set[int]) -> list[int]:
    """Return the k tracks with most listeners, without some."""
    head = model.history.by_popularity[: k + len(without)].tolist()
    return [row for row in head if row not in without][:k]


def _rank_strangers(model: Recommender, query: GroupQuery) -> GroupRanking:
    """Return what is popular, for a group of which nothing is known."""
    excluded = np.union1d(excluded_rows(model, query), query.already_played).astype(np.int64)
    rows = _popular(model, query.k, set(excluded.tolist()))
    listeners = model.history.listeners
    rising = np.sort(listeners)
    lower = np.searchsorted(rising, listeners[rows]) / max(1, len(rising) - 1)
    candidates = len(model.tracks) - len(excluded)
    return GroupRanking(rows, lower.tolist(), (), [], len(rows), candidates)
