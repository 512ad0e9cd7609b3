"""What playlists for groups are worth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.core.errors import ConfigurationError
from service.core.ids import UNKNOWN, IdIndex
from training.bootstrap import differences, estimates
from training.evaluate.cohorts import Selection
from training.evaluate.group_metrics import GROUP_WEIGHT, GroupTruth, judge_groups, keys_of, recommend
from training.evaluate.held_out import PROTOCOLS, HeldOut, Protocol
from training.evaluate.listeners import CONTROL
from training.evaluate.results import Comparison, GroupRow
from training.evaluate.subject import Subject
from training.groups import Group
from training.metrics import Column, coverage

REFERENCE: Final = "average"
"""The strategy that the others of the same model are compared with unless somebody chooses a baseline."""


@dataclass(frozen=True, eq=False)
class GroupTable:
    """One model with one strategy under one protocol, a figure for every group."""

    subject: Subject
    strategy: str
    protocol: Protocol
    groups: Sequence[Group]
    figures: dict[str, Column]
    lists: NDArray[np.int64]
    """(groups, K) what was recommended."""

    def __repr__(self) -> str:
        return f"GroupTable({self.name}, {self.protocol}: {len(self.groups):,} groups)"

    @property
    def name(self) -> str:
        """Return what `--baseline` calls it."""
        return f"{self.subject.name}/{self.strategy}"

    @property
    def as_served(self) -> bool:
        """Return whether this is the strategy that the model is served with unless somebody asks for another."""
        return self.strategy == self.subject.model.default_strategy

    def figures_of(self, selection: Selection) -> dict[str, Column]:
        """Return the figures of some groups."""
        return {name: column[selection.places] for name, column in self.figures.items()}

    def row(self, selection: Selection, cutoffs: Sequence[int], seed: int) -> GroupRow:
        """Return the row of results of some groups."""
        tracks = len(self.subject.model.tracks)
        lists = self.lists[selection.places]
        return GroupRow(
            model=self.subject.name,
            strategy=self.strategy,
            default=self.as_served,
            protocol=self.protocol,
            cohort=selection.cohort,
            groups=len(selection.places),
            metrics=estimates(self.figures_of(selection), seed),
            coverage={f"coverage@{k}": coverage(lists[:, :k], tracks) for k in cutoffs},
        )

    def frame(self) -> pd.DataFrame:
        """Return one row a group."""
        labels = {"model": self.subject.name, "strategy": self.strategy, "protocol": self.protocol}
        group_ids = [group.group_id for group in self.groups]
        user_ids = [" ".join(group.user_ids) for group in self.groups]
        return pd.DataFrame({"group_id": group_ids, "user_ids": user_ids, **labels, **self.figures})

    def rankings(self) -> Iterator[dict[str, object]]:
        """Yield what was recommended, one object a group."""
        ids = self.subject.model.tracks.ids
        for group, ranked in zip(self.groups, self.lists.tolist(), strict=True):
            yield {
                "group_id": group.group_id,
                "user_ids": list(group.user_ids),
                "model": self.subject.name,
                "strategy": self.strategy,
                "protocol": self.protocol,
                "track_ids": [ids[row] for row in ranked if row != UNKNOWN],
            }


def truth_of(
    held_out: HeldOut,
    subject: Subject,
    groups: Sequence[Group],
    protocol: Protocol,
    group_weight: float = GROUP_WEIGHT,
) -> GroupTruth:
    """Return what groups and their members liked later, in rows of a model."""
    people = IdIndex(sorted({user_id for group in groups for user_id in group.user_ids}))
    tracks = subject.model.tracks
    return GroupTruth(
        groups,
        people,
        held_out.truth(people, tracks, protocol),
        discovery=protocol == "discovery",
        own=None if held_out.of_groups is None else held_out.of_groups.truth(keys_of(groups), tracks, protocol),
        group_weight=group_weight,
    )


def judge_playlists(
    held_out: HeldOut,
    subjects: Sequence[Subject],
    strategies: Sequence[str],
    groups: Sequence[Group],
    cutoffs: Sequence[int],
    seed: int,
    protocols: Sequence[Protocol] = PROTOCOLS,
    group_weight: float = GROUP_WEIGHT,
) -> list[GroupTable]:
    """Return a table for every model, strategy and protocol, all over the same groups; none without groups."""
    if not groups:
        return []
    return [
        table
        for protocol in protocols
        for subject in subjects
        for truth in [truth_of(held_out, subject, groups, protocol, group_weight)]
        for table in _judge(subject, strategies, protocol, truth, cutoffs, seed)
    ]


def _judge(
    subject: Subject,
    strategies: Sequence[str],
    protocol: Protocol,
    truth: GroupTruth,
    cutoffs: Sequence[int],
    seed: int,
) -> list[GroupTable]:
    """Return the tables of one model under one protocol, one a strategy."""
    lists = np.stack([recommend(subject.model, strategy, truth, max(cutoffs), seed) for strategy in strategies])
    judged = judge_groups(subject.model, truth, lists, cutoffs)
    return [
        GroupTable(
            subject=subject,
            strategy=strategy,
            protocol=protocol,
            groups=truth.groups,
            figures={name: columns[place] for name, columns in judged.items()}
            | subject.shelf.judge(lists[place], cutoffs),
            lists=lists[place],
        )
        for place, strategy in enumerate(strategies)
    ]


def check_baselines(baselines: Sequence[str], subjects: Sequence[Subject], strategies: Sequence[str]) -> None:
    """Raise ConfigurationError for a baseline that is not evaluated."""
    tables = [f"{subject.name}/{strategy}" for subject in subjects for strategy in strategies]
    for baseline in baselines:
        if baseline not in strategies and baseline not in tables:
            raise ConfigurationError(
                f"the baseline {baseline!r} is not evaluated; it is a STRATEGY or MODEL/STRATEGY of "
                f"{[subject.name for subject in subjects]} and {list(strategies)}"
            )


def compare_playlists(
    tables: Sequence[GroupTable],
    chosen: Sequence[Selection],
    baselines: Sequence[str],
    seed: int,
    of: Literal["groups", "sessions"] = "groups",
) -> list[Comparison]:
    """Return each table against its baselines over the same groups."""
    return [
        _compare(first, second, selection, seed, of)
        for selection in chosen
        for first in tables
        for second in tables
        if first is not second
        and first.protocol == second.protocol
        and is_baseline(second.subject, second.strategy, first.subject, baselines)
    ]


def compare_served(tables: Sequence[GroupTable], chosen: Sequence[Selection], seed: int) -> list[Comparison]:
    """Return every two models as they are served, the control on the second side, whatever the baselines are."""
    served = sorted((table for table in tables if table.as_served), key=lambda table: table.subject.name == CONTROL)
    return [
        _compare(first, second, selection, seed, "served")
        for selection in chosen
        for first, second in combinations(served, 2)
        if first.protocol == second.protocol
    ]


def _compare(
    first: GroupTable, second: GroupTable, selection: Selection, seed: int, of: Literal["groups", "served", "sessions"]
) -> Comparison:
    return Comparison(
        of=of,
        protocol=first.protocol,
        cohort=selection.cohort,
        first=first.name,
        second=second.name,
        differences=differences(first.figures_of(selection), second.figures_of(selection), seed),
    )


def is_baseline(subject: Subject, strategy: str, compared: Subject, baselines: Sequence[str]) -> bool:
    """Return whether a model with a strategy is what another model's playlists are compared with.

    A baseline is a strategy, of the same model, or MODEL/STRATEGY. Without any it is `REFERENCE`, and the control as it
    is served.
    """
    same_model = subject is compared
    if baselines:
        return f"{subject.name}/{strategy}" in baselines or (same_model and strategy in baselines)
    if same_model:
        return strategy == REFERENCE
    return subject.name == CONTROL and strategy == subject.model.default_strategy
