"""What playlists for groups are worth."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.core.ids import UNKNOWN, IdIndex
from training.bootstrap import differences, estimates
from training.evaluate.held_out import PROTOCOLS, HeldOut, Protocol
from training.evaluate.listeners import CONTROL
from training.evaluate.results import Comparison, GroupInfo, GroupRow
from training.evaluate.subject import Subject
from training.groups import Group, GroupTruth, draw_groups, judge_groups, read_groups, recommend
from training.metrics import Column, coverage

REFERENCE: Final = "average"
"""The strategy that the others of the same model are compared with."""


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

    def row(self, groups: int, cutoffs: Sequence[int], seed: int) -> GroupRow:
        """Return the row of results of the first groups."""
        tracks = len(self.subject.model.tracks)
        return GroupRow(
            model=self.subject.name,
            strategy=self.strategy,
            default=self.strategy == self.subject.model.default_strategy,
            protocol=self.protocol,
            groups=groups,
            metrics=estimates({name: column[:groups] for name, column in self.figures.items()}, seed),
            coverage={f"coverage@{k}": coverage(self.lists[:groups, :k], tracks) for k in cutoffs},
        )

    def frame(self) -> pd.DataFrame:
        """Return one row a group."""
        labels = {"model": self.subject.name, "strategy": self.strategy, "protocol": self.protocol}
        group_ids = [group.group_id for group in self.groups]
        user_ids = [" ".join(group.user_ids) for group in self.groups]
        return pd.DataFrame({"group_id": group_ids, "user_ids": user_ids, **labels, **self.figures})

    def rankings(self) -> list[dict[str, object]]:
        """Return what was recommended, one object a group."""
        ids = self.subject.model.tracks.ids
        return [
            {
                "group_id": group.group_id,
                "user_ids": list(group.user_ids),
                "model": self.subject.name,
                "strategy": self.strategy,
                "protocol": self.protocol,
                "track_ids": [ids[row] for row in ranked if row != UNKNOWN],
            }
            for group, ranked in zip(self.groups, self.lists.tolist(), strict=True)
        ]


def choose_groups(user_ids: Sequence[str], file: Path | None, number: int, size: int, seed: int) -> list[Group]:
    """Return the groups of a file, or groups drawn from users."""
    return draw_groups(user_ids, number, size, seed) if file is None else read_groups(file)


def describe_groups(
    held_out: HeldOut, subjects: Sequence[Subject], groups: Sequence[Group], numbers: Sequence[int], source: str
) -> GroupInfo:
    """Return who is in the groups, and how many members cannot be served or judged."""
    relevant = held_out.users("all")
    members = [user_id for group in groups for user_id in group.user_ids]
    return GroupInfo(
        source=source,
        groups=list(numbers),
        members={str(size): n for size, n in sorted(Counter(len(group.user_ids) for group in groups).items())},
        strangers={s.name: sum(user_id not in s.model.users for user_id in members) for s in subjects},
        nothing_relevant=sum(user_id not in relevant for user_id in members),
    )


def judge_playlists(
    held_out: HeldOut,
    subjects: Sequence[Subject],
    strategies: Sequence[str],
    groups: Sequence[Group],
    cutoffs: Sequence[int],
    seed: int,
) -> list[GroupTable]:
    """Return a table for every model, strategy and protocol, all over the same groups."""
    people = IdIndex(sorted({user_id for group in groups for user_id in group.user_ids}))
    return [
        table
        for protocol in PROTOCOLS
        for subject in subjects
        for table in _judge(
            subject,
            strategies,
            protocol,
            GroupTruth(groups, people, held_out.truth(people, subject.model.tracks, protocol)),
            cutoffs,
            seed,
        )
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


def compare_playlists(tables: Sequence[GroupTable], seed: int) -> list[Comparison]:
    """Return each table against the control as it is served, and against `REFERENCE` of the same model."""
    return [
        Comparison(
            of="groups",
            protocol=first.protocol,
            first=f"{first.subject.name} {first.strategy}",
            second=f"{second.subject.name} {second.strategy}",
            differences=differences(first.figures, second.figures, seed),
        )
        for first in tables
        for second in tables
        if first is not second and first.protocol == second.protocol and _is_reference(second, first)
    ]


def _is_reference(table: GroupTable, other: GroupTable) -> bool:
    if table.subject is other.subject:
        return table.strategy == REFERENCE
    return table.subject.name == CONTROL and table.strategy == table.subject.model.default_strategy
