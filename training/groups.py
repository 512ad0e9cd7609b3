"""Who listens together: groups drawn from listeners, or read from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from scipy.sparse import csr_array

from service.core.errors import DataError
from service.core.faults import said
from service.core.ids import UNKNOWN, IdIndex
from training.data import read_table
from training.ids import fault_of
from training.json_lines import read_lines

GroupType = Literal["random", "similar", "divergent"]
"""How members are chosen: at random, or by how much what they heard in training is alike."""

GROUP_TYPES: Final[tuple[GroupType, ...]] = get_args(GroupType)

CANDIDATES: Final = 1000
"""Listeners, drawn at random, among whom a similar or divergent group looks for its next member."""

_EXAMPLE: Final = '{"group_id": "...", "user_ids": ["...", ...]}'


class Group(BaseModel):
    """People who listen together: one line of a `--groups` file."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    group_id: str = Field(min_length=1)
    user_ids: tuple[str, ...] = Field(min_length=1)

    @field_validator("user_ids")
    @classmethod
    def _each_once(cls, user_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Give who is named twice one say, as the service does."""
        return tuple(dict.fromkeys(user_ids))


class _GivenGroup(Group):
    """One that somebody wrote down; those of prepared data have been through this."""

    @field_validator("group_id", "user_ids")
    @classmethod
    def _are_ids(cls, named: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for public_id in (named,) if isinstance(named, str) else named:
            if fault := fault_of(public_id):
                raise ValueError(fault)
            if not public_id:
                raise ValueError("an id must not be empty")
        return named


@dataclass(frozen=True, eq=False)
class Listeners:
    """People to draw groups from."""

    user_ids: Sequence[str]
    tastes: csr_array
    """(users, tracks) what each chose to hear in training, in rows of length 1: a product of two is their cosine."""

    @classmethod
    def of(cls, user_ids: Sequence[str], train: pd.DataFrame) -> "Listeners":
        """Return listeners with what a training split, user_id, track_id and score, says of them."""
        rows = IdIndex(user_ids).rows(train["user_id"].tolist())
        heard = (rows != UNKNOWN) & (train["score"] > 0).to_numpy()
        tracks, names = pd.factorize(train["track_id"])
        shape = (len(user_ids), len(names))
        length = np.sqrt(np.bincount(rows[heard], minlength=len(user_ids)))
        return cls(user_ids, csr_array((1 / length[rows[heard]], (rows[heard], tracks[heard])), shape=shape))

    def likeness(self, groups: Sequence[Group]) -> float | None:
        """Return the mean over groups of the mean cosine of two known members, None where nobody has such company."""
        index = IdIndex(self.user_ids)
        means = []
        for group in groups:
            rows = index.rows(group.user_ids)
            tastes = self.tastes[rows[rows != UNKNOWN]]
            pairs = (tastes @ tastes.T).toarray()[np.triu_indices(tastes.shape[0], k=1)]
            means += [pairs.mean()] if len(pairs) else []
        return float(np.mean(means)) if means else None


def draw_groups(listeners: Listeners, group_type: GroupType, size: int, number: int, seed: int) -> list[Group]:
    """Return groups, nobody twice in one; the first 10 of 100 are the 10 of the same seed.

    DataError where there are fewer listeners than a group has members.
    """
    if len(listeners.user_ids) < size:
        raise DataError(
            f"a group of {size} needs {size} users to judge by, there are {len(listeners.user_ids)}; --group-size asks "
            "for smaller ones"
        )
    rng = np.random.default_rng([seed, size, GROUP_TYPES.index(group_type)])
    draws = [_draw(listeners, group_type, size, rng) for _ in range(number)]
    return [
        Group(group_id=f"{group_type}-{size}-{place}", user_ids=tuple(listeners.user_ids[row] for row in draw))
        for place, draw in enumerate(draws, start=1)
    ]


def _draw(listeners: Listeners, group_type: GroupType, size: int, rng: np.random.Generator) -> list[int]:
    """Return the rows of one group.

    The first member is drawn at random. Each next one of a similar group is the candidate whose lowest cosine to the
    members so far is highest, of a divergent group the one whose highest is lowest; of equals the first drawn.
    """
    users = len(listeners.user_ids)
    if group_type == "random":
        random_rows: list[int] = rng.choice(users, size, replace=False).tolist()
        return random_rows
    first, *candidates = rng.choice(users, min(users, 1 + max(CANDIDATES, size)), replace=False).tolist()
    tastes, sign = listeners.tastes[candidates], 1 if group_type == "similar" else -1
    members, affinity = [first], np.full(len(candidates), np.inf)
    while len(members) < size:
        affinity = np.minimum(affinity, sign * _cosines(tastes, listeners.tastes[members[-1:]]))
        best = int(affinity.argmax())
        members.append(candidates[best])
        affinity[best] = -np.inf
    return members


def _cosines(tastes: csr_array, taste: csr_array) -> NDArray[np.float64]:
    """Return the product of each row (n, tracks) with a single one (1, tracks)."""
    cosines: NDArray[np.float64] = (tastes @ taste.T).toarray()[:, 0]
    return cosines


def read_groups(path: Path | str) -> list[Group]:
    """Return the groups of a file of JSON lines, which may be packed.

    DataError for a file that cannot be read or names no group, and for the first line that is no group or a second time
    the same one.
    """
    path = Path(path)
    lines = read_lines(path, _GivenGroup, _EXAMPLE)
    if not lines:
        raise DataError(f"{path} names no group; each line is one, {_EXAMPLE}")
    first: dict[str, int] = {}
    for number, group in lines:
        if (before := first.setdefault(group.group_id, number)) != number:
            raise DataError(f"{path}, line {number}: group {group.group_id!r} is in line {before} already")
    return [Group(group_id=group.group_id, user_ids=group.user_ids) for _, group in lines]


def prepared_groups(folder: Path | str) -> list[Group]:
    """Return the groups that a prepared folder knows, none where it was prepared without `--groups`."""
    path = Path(folder) / "groups.parquet"
    try:
        return [Group.model_validate(row) for row in read_table(path).to_pylist()] if path.is_file() else []
    except ValidationError as error:
        raise DataError(f"{path}: {said(error)}; prepare the data again") from error
