"""What a playlist is worth to a group: to the group as one, to its worst served member, and how evenly."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from service.core.group import rank_groups
from service.core.group_history import voter_of
from service.core.ids import UNKNOWN, IdIndex, group_key
from service.core.query import GroupQuery, Member
from service.core.recommender import Recommender
from training.groups import Group
from training.metrics import Column, Positions, Truth, first_hit_discount, hit_rate, ndcg, recall

GROUP_METRICS: Final = ("precision", "ndcg", "min_ndcg", "zero_recall", "dfh", "min_max", "prefix_min_max")
"""Metrics of one group's list; docs/evaluation.md says what each is."""

OWN_METRICS: Final = {"own_ndcg": ndcg, "own_recall": recall, "own_hit_rate": hit_rate}
"""Metrics of the list for the group as one listener, by what it turned out to hear together."""

GROUP_WEIGHT: Final = 1.0
"""How much a group's own listening counts, over all its members together, as the service has it by default."""


@dataclass(frozen=True, eq=False)
class GroupTruth:
    """What the members of some groups liked later, tracks as rows of one model; strangers to it have a row too."""

    groups: Sequence[Group]
    people: IdIndex
    """Everybody who is in some group."""
    truth: Truth
    """Of `people`; excluded is what each must not get again, None where everything may repeat."""
    discovery: bool = False
    """Whether what one member must not get again may still come for the others."""
    own: Truth | None = None
    """Of the groups themselves, a row for each of `keys`; None where nobody is known to have listened together."""
    group_weight: float = GROUP_WEIGHT
    """How much that listening counts in the training data, over all members together; 0 for not at all."""

    @cached_property
    def keys(self) -> IdIndex:
        """Return the groups by the ids that their own rows have in models."""
        return keys_of(self.groups)

    def relevant(self, group: Group) -> list[NDArray[np.int64]]:
        """Return for each member the relevant track rows that the group could get."""
        excluded = self.excluded(group)
        rows = self.people.rows(group.user_ids)
        return [np.setdiff1d(_tracks(self.truth.relevant, row), excluded) for row in rows]

    def excluded(self, group: Group) -> NDArray[np.int64]:
        """Return the track rows that the group must not get."""
        if self.discovery:
            return np.empty(0, dtype=np.int64)
        return np.unique(np.concatenate([*self.heard(group), self._heard_together(group)]))

    def _heard_together(self, group: Group) -> NDArray[np.int64]:
        if self.own is None or self.own.excluded is None:
            return np.empty(0, dtype=np.int64)
        return _tracks(self.own.excluded, self.keys.rows([group_key(group.group_id)])[0])

    def heard(self, group: Group) -> list[NDArray[np.int64]]:
        """Return for each member the track rows that they must not get again."""
        if self.truth.excluded is None:
            return [np.empty(0, dtype=np.int64) for _ in group.user_ids]
        return [_tracks(self.truth.excluded, row) for row in self.people.rows(group.user_ids)]

    def unseen(self, group: Group) -> NDArray[np.int64]:
        """Return for each member the number of relevant tracks that the model has never seen."""
        rows = self.people.rows(group.user_ids)
        named = [len(_tracks(self.truth.relevant, row)) for row in rows]
        unseen: NDArray[np.int64] = self.truth.sizes[rows] - np.array(named)
        return unseen

    def judge_own(self, group: Group, lists: NDArray[np.int64], cutoffs: Sequence[int]) -> dict[str, Column]:
        """Return the figures (strategies,) of lists (strategies, K) for the group as one listener.

        NaN for a group of which nothing is held out; nothing where there is no such listening at all.
        """
        if self.own is None:
            return {}
        row = self.keys.rows([group_key(group.group_id)])[0]
        relevant = np.setdiff1d(_tracks(self.own.relevant, row), self.excluded(group))
        size = len(relevant) + self.own.sizes[row] - self.own.relevant[[row]].nnz
        if size == 0:
            return {f"{name}@{k}": np.full(len(lists), np.nan) for name in OWN_METRICS for k in cutoffs}
        positions = Positions.of_lists(torch.from_numpy(np.isin(lists, relevant)))
        sizes = torch.full((len(lists),), float(size), dtype=torch.float64)
        return {
            f"{name}@{k}": metric(positions, sizes, k).numpy() for name, metric in OWN_METRICS.items() for k in cutoffs
        }


def keys_of(groups: Sequence[Group]) -> IdIndex:
    """Return the ids that groups' own rows have in models, each once."""
    return IdIndex(dict.fromkeys(group_key(group.group_id) for group in groups))


def _tracks(matrix: csr_array, row: int) -> NDArray[np.int64]:
    tracks: NDArray[np.int64] = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int64)
    return tracks


def members_of(model: Recommender, group: Group, group_weight: float = GROUP_WEIGHT) -> tuple[Member, ...]:
    """Return the members as the model knows them, strangers included, and the group itself where it knows that."""
    members = tuple(Member(user_row=model.users.row(user_id)) for user_id in group.user_ids)
    own = voter_of(model, group.group_id, members, group_weight) if group_weight else None
    return members if own is None else (*members, own)


def recommend(
    model: Recommender, strategy: str, truth: GroupTruth, k: int, seed: int, played: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the list of each group (groups, k) from the function that serves, `UNKNOWN` where there are no more.

    `played` is what each has heard in this session (groups, n), in order, `UNKNOWN` for nothing.
    """
    queries = [
        GroupQuery(
            members=members_of(model, group, truth.group_weight),
            k=k,
            strategy=strategy,
            seed=seed + place,
            excluded=frozenset(truth.excluded(group).tolist()),
            discovery=truth.discovery,
            already_played=() if played is None else tuple(played[place][played[place] != UNKNOWN].tolist()),
        )
        for place, group in enumerate(truth.groups)
    ]
    lists = np.full((len(queries), k), UNKNOWN, dtype=np.int64)
    for line, ranking in zip(lists, rank_groups(model, queries), strict=True):
        line[: len(ranking.rows)] = ranking.rows
    return lists


def judge_groups(
    model: Recommender, truth: GroupTruth, lists: NDArray[np.int64], cutoffs: Sequence[int]
) -> dict[str, Column]:
    """Return every group metric at every cut-off, as "ndcg@10", of lists (strategies, groups, K).

    Each is (strategies, groups), NaN for a group that it does not apply to.
    """
    judged = [_judge_group(model, truth, group, lists[:, place], cutoffs) for place, group in enumerate(truth.groups)]
    return {name: np.stack([figures[name] for figures in judged], axis=1) for name in judged[0]}


def _judge_group(
    model: Recommender, truth: GroupTruth, group: Group, lists: NDArray[np.int64], cutoffs: Sequence[int]
) -> dict[str, Column]:
    """Return the figures (strategies,) of the lists (strategies, K) of one group."""
    relevant = truth.relevant(group)
    sizes = np.array([len(tracks) for tracks in relevant]) + truth.unseen(group)
    hits = np.stack([np.isin(lists, tracks) for tracks in relevant], axis=1)
    heard_by_any: NDArray[np.bool_] = np.logical_or.reduce(hits, axis=1)
    evenness = _evenness(model, truth, group, lists)
    figures = _member_metrics(hits[:, sizes > 0], sizes[sizes > 0], cutoffs)
    for k in cutoffs:
        length = np.maximum((lists[:, :k] != UNKNOWN).sum(axis=1), 1)
        figures[f"precision@{k}"] = heard_by_any[:, :k].sum(axis=1) / length
        figures[f"min_max@{k}"] = evenness[np.arange(len(lists)), length - 1]
        figures[f"prefix_min_max@{k}"] = evenness[:, :k].sum(axis=1) / length
    return figures | truth.judge_own(group, lists, cutoffs)


def _member_metrics(hits: NDArray[np.bool_], sizes: NDArray[np.int64], cutoffs: Sequence[int]) -> dict[str, Column]:
    """Return figures (strategies,) over members with something relevant, hits (strategies, members, K).

    NaN where there are no such members.
    """
    strategies, members = hits.shape[:2]
    if not members:
        nothing = np.full(strategies, np.nan)
        return {f"{name}@{k}": nothing for name in ("ndcg", "min_ndcg", "zero_recall", "dfh") for k in cutoffs}
    positions = Positions.of_lists(torch.from_numpy(hits).flatten(0, 1))
    relevant = torch.from_numpy(sizes).double().repeat(strategies)
    figures: dict[str, Column] = {}
    for k in cutoffs:
        member_ndcg = ndcg(positions, relevant, k).view(strategies, members)
        figures[f"ndcg@{k}"] = member_ndcg.mean(dim=1).numpy()
        figures[f"min_ndcg@{k}"] = member_ndcg.amin(dim=1).numpy()
        figures[f"zero_recall@{k}"] = 1 - hits[:, :, :k].any(axis=2).mean(axis=1)
        figures[f"dfh@{k}"] = first_hit_discount(positions, relevant, k).view(strategies, members).mean(dim=1).numpy()
    return figures


@torch.inference_mode()
def _evenness(model: Recommender, truth: GroupTruth, group: Group, lists: NDArray[np.int64]) -> Column:
    """Return how evenly each prefix of each list serves the members the model knows, (strategies, K).

    NaN where it knows none, 0 past the end of a list.
    """
    members = model.users.rows(group.user_ids)
    known = torch.from_numpy(members[members != UNKNOWN])
    if not len(known):
        return np.full(lists.shape, np.nan)
    relevance = model.calibration.of(known.numpy()).relevance(model.score(model.user_vectors(known)))
    relevance[:, torch.from_numpy(truth.excluded(group))] = 0
    if truth.discovery:
        for line, heard in zip(relevance, compress(truth.heard(group), members != UNKNOWN), strict=True):
            line[torch.from_numpy(heard)] = 0
    best = relevance.topk(min(lists.shape[1], relevance.shape[1]), dim=1).values.double().numpy()
    best = np.pad(best, ((0, 0), (0, lists.shape[1] - best.shape[1])))
    received = relevance[:, torch.from_numpy(lists.clip(0))].double().numpy()
    there: NDArray[np.bool_] = lists != UNKNOWN
    ratio: Column = min_max(received.swapaxes(0, 1) * there[:, None], best) * there
    return ratio


def min_max(received: Column, best: Column) -> Column:
    """Return for each prefix of each list the least over the greatest share that a member got, (lists, K).

    A member's share of a prefix is the relevance received so far (lists, members, K) over that of their own best
    list of that length (members, K). A prefix that gives nobody anything counts 0.
    """
    ideal = best.cumsum(axis=1)[None]
    totals = received.cumsum(axis=2)
    shares = np.divide(totals, ideal, out=np.zeros_like(totals), where=ideal > 0)
    highest = shares.max(axis=1)
    ratio: Column = np.divide(shares.min(axis=1), highest, out=np.zeros_like(highest), where=highest > 0)
    return ratio
