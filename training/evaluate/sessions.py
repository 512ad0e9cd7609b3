"""Fairness that lasts: playlist after playlist for the same people, each going on where the last one ended."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.core.recommender import Recommender
from training.evaluate.group_metrics import GROUP_WEIGHT, GroupTruth, judge_groups, recommend
from training.evaluate.held_out import HeldOut, Protocol
from training.evaluate.playlists import GroupTable, truth_of
from training.evaluate.subject import Subject
from training.groups import Group

PLAYLISTS: Final = 6
LENGTH: Final = 10
"""Tracks of a playlist."""

CUTOFFS: Final = tuple(LENGTH * playlist for playlist in range(1, PLAYLISTS + 1))
"""A session is judged as the one list that it has become by the end of each playlist."""


def judge_sessions(
    held_out: HeldOut,
    subjects: Sequence[Subject],
    strategies: Sequence[str],
    groups: Sequence[Group],
    protocol: Protocol,
    seed: int,
    group_weight: float = GROUP_WEIGHT,
) -> list[GroupTable]:
    """Return a table for every model and strategy under one protocol, lists being whole sessions."""
    return [
        _judge(subject, strategy, truth, protocol, seed)
        for subject in subjects
        for truth in [truth_of(held_out, subject, groups, protocol, group_weight)]
        for strategy in strategies
    ]


def _judge(subject: Subject, strategy: str, truth: GroupTruth, protocol: Protocol, seed: int) -> GroupTable:
    lists = session(subject.model, strategy, truth, seed)
    judged = judge_groups(subject.model, truth, lists[None], CUTOFFS)
    figures = {name: columns[0] for name, columns in judged.items()}
    return GroupTable(subject, strategy, protocol, truth.groups, figures, lists)


def session(model: Recommender, strategy: str, truth: GroupTruth, seed: int) -> NDArray[np.int64]:
    """Return what each group hears from the first playlist to the last, (groups, `PLAYLISTS` * `LENGTH`)."""
    heard = np.empty((len(truth.groups), 0), dtype=np.int64)
    for _ in range(PLAYLISTS):
        heard = np.hstack([heard, recommend(model, strategy, truth, LENGTH, seed, heard)])
    return heard
