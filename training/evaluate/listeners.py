"""What rankings for single listeners are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.core.ids import IdIndex
from training.bootstrap import differences, estimates
from training.evaluate.held_out import PROTOCOLS, HeldOut, Protocol, known_to_all
from training.evaluate.results import Comparison, Population, UserRow
from training.evaluate.subject import Subject
from training.metrics import Column, coverage, rank_metrics, sample

CONTROL: Final = "basic"
"""The model that the others are compared with where it is there, as in the A/B test."""


@dataclass(frozen=True, eq=False)
class UserTable:
    """One model under one protocol, a figure for every listener."""

    subject: Subject
    protocol: Protocol
    user_ids: list[str]
    relevant: NDArray[np.int64]
    """(users,) number of relevant tracks."""
    figures: dict[str, Column]
    lists: NDArray[np.int64]
    """(users, K) what was recommended."""

    def __repr__(self) -> str:
        return f"UserTable({self.subject.name}, {self.protocol}: {len(self.user_ids):,} listeners)"

    def row(self, cutoffs: Sequence[int], seed: int) -> UserRow:
        """Return the table's row of results."""
        tracks = len(self.subject.model.tracks)
        return UserRow(
            model=self.subject.name,
            protocol=self.protocol,
            users=len(self.user_ids),
            metrics=estimates(self.figures, seed),
            coverage={f"coverage@{k}": coverage(self.lists[:, :k], tracks) for k in cutoffs},
        )

    def frame(self) -> pd.DataFrame:
        """Return one row a listener."""
        labels = {"model": self.subject.name, "protocol": self.protocol}
        return pd.DataFrame({"user_id": self.user_ids, **labels, "relevant": self.relevant, **self.figures})


def draw_users(
    held_out: HeldOut, subjects: Sequence[Subject], max_users: int | None, seed: int
) -> tuple[Population, list[str]]:
    """Return who is judged, and whom that leaves out: every model is judged by the same listeners."""
    relevant = held_out.users("all")
    known = known_to_all(relevant, [subject.model.users for subject in subjects])
    drawn = [known[row] for row in sample(np.arange(len(known)), max_users, seed)]
    users = held_out.pairs["user_id"].nunique()
    population = Population(
        users=users,
        nothing_relevant=users - len(relevant),
        nothing_new=len(relevant - held_out.users("new")),
        unknown={s.name: sum(user_id not in s.model.users for user_id in relevant) for s in subjects},
        known=len(known),
        drawn=len(drawn),
    )
    return population, drawn


def judge_users(
    held_out: HeldOut, subjects: Sequence[Subject], user_ids: Sequence[str], cutoffs: Sequence[int]
) -> list[UserTable]:
    """Return a table for every model and protocol; all tables of a protocol name the same listeners in one order."""
    return [
        _judge(held_out, subject, protocol, sorted(user_ids), cutoffs) for protocol in PROTOCOLS for subject in subjects
    ]


def _judge(
    held_out: HeldOut, subject: Subject, protocol: Protocol, user_ids: Sequence[str], cutoffs: Sequence[int]
) -> UserTable:
    users: IdIndex = subject.model.users
    truth = held_out.truth(users, subject.model.tracks, protocol)
    judged = rank_metrics(subject.score, truth, cutoffs, users.rows(user_ids))
    # Artifacts order their users as they like, a paired comparison needs one order.
    names = np.array([users.ids[row] for row in judged.user_rows], dtype=object)
    order = np.argsort(names)
    lists = judged.lists[order]
    figures = {name: column[order] for name, column in judged.columns.items()}
    return UserTable(
        subject=subject,
        protocol=protocol,
        user_ids=names[order].tolist(),
        relevant=truth.sizes[judged.user_rows][order],
        figures=figures | subject.shelf.judge(lists, cutoffs),
        lists=lists,
    )


def compare_users(tables: Sequence[UserTable], seed: int) -> list[Comparison]:
    """Return every pair of models of the same protocol, the control on the second side."""
    pairs = combinations(sorted(tables, key=lambda table: table.subject.name == CONTROL), 2)
    return [
        Comparison(
            of="users",
            protocol=first.protocol,
            first=first.subject.name,
            second=second.subject.name,
            differences=differences(first.figures, second.figures, seed),
        )
        for first, second in pairs
        if first.protocol == second.protocol
    ]
