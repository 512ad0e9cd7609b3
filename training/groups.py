"""Groups to judge playlists with, and what a playlist is worth to one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.sparse import csr_array
from torch import Tensor

from service.core.errors import DataError
from service.core.group import GroupQuery, GroupRanking, Member, rank_groups
from service.core.ids import UNKNOWN, IdIndex
from service.core.recommender import Recommender
from training.metrics import Column, Positions, Truth, first_hit_discount, ndcg

GROUP_METRICS: Final = ("precision", "ndcg", "min_ndcg", "zero_recall", "dfh", "prefix_min_max")
"""Metrics of one group's list; docs/evaluation.md says what each is."""


class Group(BaseModel):
    """People who listen together: one line of a `--groups` file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group_id: str = Field(min_length=1)
    user_ids: tuple[str, ...] = Field(min_length=1)


def draw_groups(user_ids: Sequence[str], number: int, size: int, seed: int) -> list[Group]:
    """Return groups drawn at random, nobody twice in one; the first 10 of 100 are the 10 of the same seed.

    DataError where there are fewer users than a group has members.
    """
    if len(user_ids) < size:
        raise DataError(f"a group of {size} needs {size} users to judge by, there are {len(user_ids)}")
    rng = np.random.default_rng(seed)
    draws = [rng.choice(len(user_ids), size, replace=False) for _ in range(number)]
    return [
        Group(group_id=f"random-{place}", user_ids=tuple(user_ids[row] for row in draw))
        for place, draw in enumerate(draws, start=1)
    ]


def read_groups(path: Path) -> list[Group]:
    """Return the groups of a file of JSON lines; DataError names the line that is not one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    groups = [_read_group(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not groups:
        raise DataError(f"{path} names no group")
    return groups


def _read_group(line: str, where: str) -> Group:
    try:
        return Group.model_validate(json.loads(line))
    except (ValueError, ValidationError) as error:
        raise DataError(f'{where}: not {{"group_id": "...", "user_ids": ["...", ...]}}: {error}') from error


@dataclass(frozen=True, eq=False)
class GroupTruth:
    """What the members of some groups liked later, tracks as rows of one model; strangers to it have a row too."""

    groups: Sequence[Group]
    people: IdIndex
    """Everybody who is in some group."""
    truth: Truth
    """Of `people`; excluded is what each must not get again, None where everything may repeat."""

    def relevant(self, group: Group) -> list[NDArray[np.int64]]:
        """Return for each member the relevant track rows that the group could get."""
        excluded = self.excluded(group)
        rows = self.people.rows(group.user_ids)
        return [np.setdiff1d(_tracks(self.truth.relevant, row), excluded) for row in rows]

    def excluded(self, group: Group) -> NDArray[np.int64]:
        """Return the track rows that the group must not get."""
        if self.truth.excluded is None:
            return np.empty(0, dtype=np.int64)
        rows = self.people.rows(group.user_ids)
        return np.unique(np.concatenate([_tracks(self.truth.excluded, row) for row in rows]))

    def unseen(self, group: Group) -> NDArray[np.int64]:
        """Return for each member the number of relevant tracks that the model has never seen."""
        rows = self.people.rows(group.user_ids)
        named = [len(_tracks(self.truth.relevant, row)) for row in rows]
        unseen: NDArray[np.int64] = self.truth.sizes[rows] - np.array(named)
        return unseen


def _tracks(matrix: csr_array, row: int) -> NDArray[np.int64]:
    tracks: NDArray[np.int64] = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int64)
    return tracks


def recommend(model: Recommender, strategy: str, truth: GroupTruth, k: int, seed: int) -> list[GroupRanking]:
    """Return the list of each group, from the function that serves."""
    queries = [
        GroupQuery(
            members=tuple(Member(user_row=model.users.row(user_id)) for user_id in group.user_ids),
            k=k,
            strategy=strategy,
            seed=seed + place,
            excluded=frozenset(truth.excluded(group).tolist()),
        )
        for place, group in enumerate(truth.groups)
    ]
    return rank_groups(model, queries)


def judge_groups(
    model: Recommender, truth: GroupTruth, rankings: Mapping[str, Sequence[GroupRanking]], cutoffs: Sequence[int]
) -> dict[str, dict[str, Column]]:
    """Return for each strategy every group metric at every cut-off, as "ndcg@10", one figure a group.

    `rankings` are those of each strategy, one a group. A figure is NaN where it does not apply.
    """
    judged: dict[str, list[dict[str, float]]] = {strategy: [] for strategy in rankings}
    for place, group in enumerate(truth.groups):
        lists = {strategy: np.array(ranked[place].rows, dtype=np.int64) for strategy, ranked in rankings.items()}
        for strategy, figures in _judge_group(model, truth, group, lists, cutoffs).items():
            judged[strategy].append(figures)
    names = [f"{name}@{k}" for name in GROUP_METRICS for k in cutoffs]
    return {
        strategy: {name: np.array([figures[name] for figures in groups]) for name in names}
        for strategy, groups in judged.items()
    }


def _judge_group(
    model: Recommender,
    truth: GroupTruth,
    group: Group,
    lists: Mapping[str, NDArray[np.int64]],
    cutoffs: Sequence[int],
) -> dict[str, dict[str, float]]:
    """Return the figures of each strategy's list; what it takes to judge a group is found once for all of them."""
    relevant, relevance = truth.relevant(group), _relevance(model, truth, group)
    sizes = np.array([len(tracks) for tracks in relevant]) + truth.unseen(group)
    best = relevance.topk(min(max(cutoffs), relevance.shape[1]), dim=1).values.double().numpy()
    judged = {}
    for strategy, rows in lists.items():
        hits = np.stack([np.isin(rows, tracks) for tracks in relevant])
        heard_by_any: Column = np.logical_or.reduce(hits, axis=0).astype(np.float64)
        evenness = prefix_min_max(relevance[:, torch.from_numpy(rows)].double().numpy(), best[:, : len(rows)])
        figures = {f"precision@{k}": _mean(heard_by_any[:k]) for k in cutoffs}
        figures |= _member_metrics(hits[sizes > 0], sizes[sizes > 0], cutoffs)
        figures |= {f"prefix_min_max@{k}": _mean(evenness[:k]) for k in cutoffs}
        judged[strategy] = figures
    return judged


def _mean(column: Column) -> float:
    return float(column.mean()) if len(column) else 0.0


def _member_metrics(hits: NDArray[np.bool_], sizes: NDArray[np.int64], cutoffs: Sequence[int]) -> dict[str, float]:
    """Return the metrics over members (n,) with something relevant, NaN for a group without any; hits is (n, K)."""
    names = ("ndcg", "min_ndcg", "zero_recall", "dfh")
    if not len(hits):
        return {f"{name}@{k}": float("nan") for name in names for k in cutoffs}
    positions, relevant = Positions.of_lists(torch.from_numpy(hits)), torch.from_numpy(sizes).double()
    figures: dict[str, float] = {}
    for k in cutoffs:
        members = ndcg(positions, relevant, k)
        figures[f"ndcg@{k}"] = float(members.mean())
        figures[f"min_ndcg@{k}"] = float(members.min())
        figures[f"zero_recall@{k}"] = float((~hits[:, :k].any(axis=1)).mean())
        figures[f"dfh@{k}"] = float(first_hit_discount(positions, relevant, k).mean())
    return figures


@torch.inference_mode()
def _relevance(model: Recommender, truth: GroupTruth, group: Group) -> Tensor:
    """Return relevance (members, tracks) to each member the model knows, 0 for what the group must not get."""
    members = model.users.rows(group.user_ids)
    known = torch.from_numpy(members[members != UNKNOWN])
    relevance = model.calibration.of(known).relevance(model.score(model.user_vectors(known)))
    relevance[:, torch.from_numpy(truth.excluded(group))] = 0
    return relevance


def prefix_min_max(received: Column, best: Column) -> Column:
    """Return for each prefix of a list the least over the greatest share that a member got, (K,).

    A member's share of a prefix is the relevance (members, K) received so far over that of their own best list
    of that length. A prefix that gives nobody anything counts 0; without members there is nothing to judge.
    """
    if not len(received):
        return np.full(received.shape[1], np.nan)
    ideal = best.cumsum(axis=1)
    shares = np.divide(received.cumsum(axis=1), ideal, out=np.zeros_like(ideal), where=ideal > 0)
    highest = shares.max(axis=0)
    ratio: Column = np.divide(shares.min(axis=0), highest, out=np.zeros_like(highest), where=highest > 0)
    return ratio
