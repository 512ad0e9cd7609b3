"""The one function that turns groups into playlists: serving, evaluation and benchmarks all call `rank_groups`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots, Strategy
from service.core.calibration import Calibration
from service.core.query import GroupQuery, Member, excluded_rows, history_of, known_to, rules_of
from service.core.quota import Quota, least_that_suffices
from service.core.ranking import NONE
from service.core.recommender import Recommender, is_group_scorer
from service.core.rules import LONGER, Admission, Rules, walk
from service.core.strategies import LINEAR, ON_SCORES, ONE_BY_ONE, SPARING, STRATEGIES

_VOTES_AT_ONCE: Final = 1_000_000
"""Scores held at a time, 4 MB: a chunk stays in the cache of a server core and memory stays bounded."""


_POPULAR: Final = "popular"
"""In place of a strategy where nobody is asked."""


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
    runs: tuple[int, ...] = ()
    """Lengths of the lists that this is joined of, each ranked as in a session that had heard those before."""
    alike: list[bool] = field(default_factory=list)
    """Of each track whether it resembles one before, where the query wants diversity."""
    members_alone: bool = True
    """Whether nobody else had a vote, so that what the strategy says of its tracks is true of these members."""
    vectors: Tensor | None = field(default=None, repr=False, compare=False)
    """(voters, dim) where a member was folded in: that takes long, and an explanation needs them again."""

    def head(self, length: int) -> "GroupRanking":
        """Return the list as it is with so many tracks, no more than it has."""
        return replace(
            self,
            rows=self.rows[:length],
            scores=self.scores[:length],
            member_scores=[line[:length] for line in self.member_scores],
            filled=max(0, self.filled - len(self.rows) + length),
            alike=self.alike[:length],
        )


@torch.inference_mode()
def rank_groups(model: Recommender, queries: Sequence[GroupQuery]) -> list[GroupRanking]:
    """Return one ranking a query, in order.

    Queries that are alike in strategy, in the number of members with a taste, in what they need to know and in having
    rules are scored in one product. Lists are shorter than k only where fewer tracks are allowed: one that its rules
    cut short goes on, as in a session, with weaker ones.
    """
    rankings = _rank(model, queries)
    rests = {
        place: _rest_of(model, query, ranking)
        for place, (query, ranking) in enumerate(zip(queries, rankings, strict=True))
        if query.has_rules and len(ranking.rows) < min(query.k, ranking.candidates)
    }
    if rests:
        for place, rest in zip(rests, rank_groups(model, list(rests.values())), strict=True):
            rankings[place] = _joined(rankings[place], rest)
    return [
        ranking if query.diversity is None else replace(ranking, alike=query.diversity.alike(ranking.rows))
        for query, ranking in zip(queries, rankings, strict=True)
    ]


def _rank(model: Recommender, queries: Sequence[GroupQuery]) -> list[GroupRanking]:
    """Return the rankings, as long as rules let them be."""
    buckets: defaultdict[tuple[str, bool, bool, int], list[int]] = defaultdict(list)
    sparing = is_group_scorer(model)
    voters = [tuple(i for i, member in enumerate(query.members) if member.has_taste) for query in queries]
    for position, query in enumerate(queries):
        kind = query.strategy, _needs_all_votes(query, sparing), query.has_rules, len(voters[position])
        buckets[kind].append(position)
    rankings: dict[int, GroupRanking] = {}
    for (strategy, all_votes, _, size), positions in buckets.items():
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
    rules = [rules_of(model, query) for query, _ in tables] if tables[0][0].has_rules else None
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
        rules=rules if strategy in ONE_BY_ONE else None,
    )
    k = min(max(query.k for query, _ in tables), len(model.tracks))
    merged = strategy in LINEAR and not tables[0][0].discovery
    rank = _rank_merged if merged else _RANKED_BY[strategy]
    if rules is None or strategy in ONE_BY_ONE:
        rows: NDArray[np.int64] = rank(ballots, k).numpy(force=True)
    else:
        rows = _walked(rank, ballots, rules, k)
    opinions = ballots.votes_of(rows)
    kept_out = _kept_out(tables, excluded)
    lengths = [query.k for query, _ in tables]
    whole, filled = _fill_up(model, rows, opinions, kept_out, lengths, rules)
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


def _walked(rank: Strategy, ballots: Ballots, rules: Sequence[Rules], k: int) -> NDArray[np.int64]:
    """Return the lists (groups, k) of a strategy that orders tracks once and for all: what may not come is passed over.

    A track of which nobody has an opinion keeps its place for what is popular and will replace it.
    """
    length, tracks = k, len(ballots.model.tracks)
    while True:
        length = min(LONGER * length, tracks)
        ranked: NDArray[np.int64] = rank(ballots, length).numpy(force=True)
        vouched = ballots.votes_of(ranked).max(axis=1) > 0
        rows = np.full((len(ranked), k), NONE)
        are_short = []
        for group, (order, opinion) in enumerate(zip(ranked, vouched, strict=True)):
            there = order != NONE
            is_whole = length == tracks or not there.all()
            told = np.where(opinion, order, NONE)[there].tolist()
            chosen = list(islice(walk(told, Admission(rules[group]), is_whole=is_whole), k))
            rows[group, : len(chosen)] = chosen
            are_short.append(len(chosen) < k and not is_whole)
        if not any(are_short):
            return rows


def _rest_of(model: Recommender, query: GroupQuery, ranking: GroupRanking) -> GroupQuery:
    """Return what is to be asked for beside a list that its rules have cut short.

    The wish for diversity goes first, then that for novelty, then the quota is raised to the lowest that will do. Where
    the list ended with what is popular, so does the rest.
    """
    rest = replace(
        query,
        k=min(query.k, ranking.candidates) - len(ranking.rows),
        strategy=_POPULAR if ranking.filled else query.strategy,
        already_played=(*query.already_played, *ranking.rows),
        begun=(*query.begun, *ranking.rows),
    )
    if query.diversity is not None:
        return replace(rest, diversity=None)
    if query.novelty:
        return replace(rest, novelty=0.0)
    return replace(rest, quota=None if query.quota is None else _raised(model, rest, query.quota))


def _raised(model: Recommender, rest: GroupQuery, quota: Quota) -> Quota:
    """Return the lowest quota that is enough for a list whose artists are full; that has more seats for each."""
    left = np.ones(len(model.tracks), dtype=np.bool_)
    left[excluded_rows(model, rest)] = False
    left[list(rest.already_played)] = False
    return replace(quota, most=quota.most + least_that_suffices(quota.artists[left], rest.k))


def _joined(first: GroupRanking, rest: GroupRanking) -> GroupRanking:
    """Return one list of two; what is there for its popularity comes last, as the second begins like the first ends."""
    return replace(
        first,
        rows=first.rows + rest.rows,
        scores=first.scores + rest.scores,
        member_scores=[a + b for a, b in zip(first.member_scores, rest.member_scores, strict=True)],
        filled=first.filled + rest.filled,
        runs=(*(first.runs or (len(first.rows),)), *(rest.runs or (len(rest.rows),))),
    )


def _nothing(ballots: Ballots, k: int) -> Tensor:
    """Return lists (groups, k) that are left to what is popular."""
    return torch.full((ballots.groups, k), NONE)


_RANKED_BY: Final[dict[str, Strategy]] = STRATEGIES | {_POPULAR: _nothing}


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
    if query.has_rules:
        length = sum(row != NONE for row in rows[:length])
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
    rules: Sequence[Rules] | None,
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
        admission = None if rules is None else Admission(rules[group], chosen)
        whole = chosen + _popular(model, min(wanted, length) - len(chosen), {*chosen, *out.tolist()}, admission)
        rows[group, : len(whole)] = whole
        begins.append(len(chosen))
    return rows, begins


def _popular(model: Recommender, k: int, without: set[int], admission: Admission | None) -> list[int]:
    """Return the k tracks with most listeners that are admitted, without some."""
    if admission is None:
        head = model.history.by_popularity[: k + len(without)].tolist()
        return [row for row in head if row not in without][:k]
    others = (row for row in map(int, model.history.by_popularity) if row not in without)
    return list(islice(walk(others, admission), k))


def _rank_strangers(model: Recommender, query: GroupQuery) -> GroupRanking:
    """Return what is popular, for a group of which nothing is known."""
    excluded = np.union1d(excluded_rows(model, query), query.already_played).astype(np.int64)
    admission = Admission(rules_of(model, query)) if query.has_rules else None
    rows = _popular(model, query.k, set(excluded.tolist()), admission)
    listeners = model.history.listeners
    rising = np.sort(listeners)
    lower = np.searchsorted(rising, listeners[rows]) / max(1, len(rising) - 1)
    candidates = len(model.tracks) - len(excluded)
    return GroupRanking(rows, lower.tolist(), (), [], len(rows), candidates)
