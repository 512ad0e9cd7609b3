"""Which groups are judged, and which of them are reported together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.evaluate.held_out import HeldOut
from training.evaluate.results import CohortInfo
from training.evaluate.subject import Subject
from training.groups import Group, GroupType, Listeners, draw_groups

ALL: Final = "all groups"
"""The name of all cohorts taken together."""


@dataclass(frozen=True)
class Cohort:
    """Groups of one make."""

    name: str
    """As "similar groups of 4", or the file."""
    groups: list[Group]


class Selection(NamedTuple):
    """Some of the groups judged, reported together."""

    cohort: str
    places: NDArray[np.int64]
    """Where they stand among the groups of all cohorts, one cohort after the other."""


def drawn_cohorts(
    listeners: Listeners, group_types: Sequence[GroupType], sizes: Sequence[int], number: int, seed: int
) -> list[Cohort]:
    """Return so many groups of each type and size."""
    return [
        Cohort(f"{group_type} groups of {size}", draw_groups(listeners, group_type, size, number, seed))
        for group_type, size in product(dict.fromkeys(group_types), dict.fromkeys(sizes))
    ]


def selections(cohorts: Sequence[Cohort], numbers: Sequence[int]) -> list[Selection]:
    """Return the first so many groups of each cohort for each number, and of all cohorts where there are several."""
    sizes = np.array([len(cohort.groups) for cohort in cohorts], dtype=np.int64)
    ends = sizes.cumsum()
    begins = ends - sizes
    chosen = []
    for number in sorted(set(numbers)):
        heads = [np.arange(begin, min(begin + number, end)) for begin, end in zip(begins, ends, strict=True)]
        if len(cohorts) > 1:
            chosen.append(Selection(ALL, np.concatenate(heads)))
        chosen += [Selection(cohort.name, head) for cohort, head in zip(cohorts, heads, strict=True)]
    return chosen


def describe(held_out: HeldOut, subjects: Sequence[Subject], cohort: Cohort) -> CohortInfo:
    """Return who is in the groups, and how many members cannot be served or judged."""
    relevant = held_out.users("all")
    members = [user_id for group in cohort.groups for user_id in group.user_ids]
    return CohortInfo(
        name=cohort.name,
        groups=len(cohort.groups),
        members={str(size): n for size, n in sorted(Counter(len(group.user_ids) for group in cohort.groups).items())},
        likeness=Listeners.of(sorted(set(members)), held_out.train).likeness(cohort.groups),
        strangers={s.name: sum(user_id not in s.model.users for user_id in members) for s in subjects},
        nothing_relevant=sum(user_id not in relevant for user_id in members),
    )
