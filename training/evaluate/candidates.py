"""Given candidate lists: how high does each model put a track that was chosen, among tracks that were not.

The protocol of most published tables. A positive that is tied with others gets the mean over all places that they
hold together: putting it first among its equals, a common slip, can more than triple a figure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.core.errors import DataError
from service.core.group import GroupRanking, rank_groups
from service.core.ids import UNKNOWN
from service.core.query import GroupQuery
from service.core.recommender import Recommender
from training.bootstrap import differences, estimates
from training.evaluate.group_metrics import GROUP_WEIGHT, members_of
from training.evaluate.playlists import is_baseline
from training.evaluate.results import CandidateRow, Candidates, Comparison
from training.evaluate.subject import Subject
from training.groups import Group
from training.json_lines import read_lines
from training.metrics import Column

_AT_ONCE: Final = 64
"""Lists ranked together."""

Places = NDArray[np.int64]
"""Every place, from 1, that a positive may take among its equals, each as likely as the others."""


class CandidateLine(BaseModel):
    """One line of a `--candidates` file."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    group_id: str | None = Field(default=None, min_length=1)
    user_ids: tuple[str, ...] | None = Field(default=None, min_length=1)
    positive: str
    negatives: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.group_id is None and self.user_ids is None:
            raise ValueError("neither group_id nor user_ids says who listens")
        if self.positive in self.negatives:
            raise ValueError(f"{self.positive!r} is both the positive and a negative")
        return self


@dataclass(frozen=True, eq=False)
class CandidateList:
    """Who listens, and the tracks to rank."""

    group: Group
    single: bool
    """Whether it is for one listener alone, not for a group."""
    positive: str
    negatives: tuple[str, ...]
    """Each once."""
    repeated: int
    """Negatives that the file names again."""


def read_candidates(path: Path, groups: Iterable[Group]) -> list[CandidateList]:
    """Return the lists of a file; lines without user_ids name one of `groups`, known by `--groups` or `prepare`.

    DataError names the line that is wrong.
    """
    members = {group.group_id: group.user_ids for group in groups}
    example = '{"group_id": "..." or "user_ids": ["...", ...], "positive": "...", "negatives": ["...", ...]}'
    lists = []
    for number, line in read_lines(path, CandidateLine, example):
        user_ids = line.user_ids or members.get(line.group_id or "")
        if user_ids is None:
            raise DataError(
                f"{path}, line {number}: no user_ids, and the group {line.group_id!r} is not known from --groups"
            )
        negatives = tuple(dict.fromkeys(line.negatives))
        lists.append(
            CandidateList(
                group=Group(group_id=line.group_id or f"{path.name}, line {number}", user_ids=user_ids),
                single=line.group_id is None and len(set(user_ids)) == 1,
                positive=line.positive,
                negatives=negatives,
                repeated=len(line.negatives) - len(negatives),
            )
        )
    if not lists:
        raise DataError(f"{path} holds no candidate list")
    return lists


@dataclass(frozen=True, eq=False)
class CandidateTable:
    """One model, with a strategy for groups, and the places of every positive."""

    subject: Subject
    strategy: str | None
    places: list[Places]

    @property
    def name(self) -> str:
        """Return what `--baseline` calls it."""
        return self.subject.name if self.strategy is None else f"{self.subject.name}/{self.strategy}"

    def row(self, cutoffs: Sequence[int], seed: int) -> CandidateRow:
        """Return the table's row of results."""
        return CandidateRow(
            model=self.subject.name,
            strategy=self.strategy,
            lists=len(self.places),
            tied=float(np.mean([len(places) > 1 for places in self.places])),
            metrics=estimates(self.figures(cutoffs), seed),
        )

    def figures(self, cutoffs: Sequence[int]) -> dict[str, Column]:
        """Return what to expect of each list, (lists,), over all orders of tied tracks."""
        figures = {}
        for k in cutoffs:
            figures[f"hit_rate@{k}"] = np.array([np.mean(places <= k) for places in self.places])
            figures[f"ndcg@{k}"] = np.array([np.mean((places <= k) / np.log2(places + 1)) for places in self.places])
        return figures


def rank_candidates(
    lists: Sequence[CandidateList],
    subjects: Sequence[Subject],
    strategies: Sequence[str],
    seed: int,
    group_weight: float = GROUP_WEIGHT,
) -> list[CandidateTable]:
    """Return a table for every model over the lists of single listeners, and every strategy over those of groups."""
    singles = [entry for entry in lists if entry.single]
    groups = [entry for entry in lists if not entry.single]
    return [
        *(CandidateTable(subject, None, places_alone(subject.model, singles)) for subject in subjects if singles),
        *(
            CandidateTable(subject, strategy, places_together(subject.model, strategy, groups, seed, group_weight))
            for subject in subjects
            for strategy in strategies
            if groups
        ),
    ]


def describe_candidates(
    path: Path,
    lists: Sequence[CandidateList],
    tables: Sequence[CandidateTable],
    subjects: Sequence[Subject],
    cutoffs: Sequence[int],
    seed: int,
) -> Candidates:
    """Return what was given, what no model could know of it, and a row a table."""
    members = [user_id for entry in lists for user_id in entry.group.user_ids]
    negatives = [track_id for entry in lists for track_id in entry.negatives]
    return Candidates(
        source=path.name,
        groups=sum(not entry.single for entry in lists),
        listeners=sum(entry.single for entry in lists),
        repeated=sum(entry.repeated for entry in lists),
        unknown_members={s.name: sum(user_id not in s.model.users for user_id in members) for s in subjects},
        unknown_positives={s.name: sum(entry.positive not in s.model.tracks for entry in lists) for s in subjects},
        unknown_negatives={s.name: sum(track_id not in s.model.tracks for track_id in negatives) for s in subjects},
        rows=[table.row(cutoffs, seed) for table in tables],
    )


def compare_candidates(
    tables: Sequence[CandidateTable], cutoffs: Sequence[int], baselines: Sequence[str], seed: int
) -> list[Comparison]:
    """Return every two models over the lists of listeners, and each table of groups against its baselines."""
    alone = [table for table in tables if table.strategy is None]
    pairs = [
        *combinations(alone, 2),
        *((first, second) for first in tables for second in tables if _is_baseline(second, first, baselines)),
    ]
    return [
        Comparison(
            of="candidates",
            protocol=None,
            first=first.name,
            second=second.name,
            differences=differences(first.figures(cutoffs), second.figures(cutoffs), seed),
        )
        for first, second in pairs
    ]


def _is_baseline(table: CandidateTable, other: CandidateTable, baselines: Sequence[str]) -> bool:
    if table is other or table.strategy is None or other.strategy is None:
        return False
    return is_baseline(table.subject, table.strategy, other.subject, baselines)


@torch.inference_mode()
def places_alone(model: Recommender, lists: Sequence[CandidateList]) -> list[Places]:
    """Return the places of the positive of each list for a single listener, by their scores.

    Strangers get what is popular.
    """
    places = []
    for start in range(0, len(lists), _AT_ONCE):
        chunk = lists[start : start + _AT_ONCE]
        rows = model.users.rows([entry.group.user_ids[0] for entry in chunk])
        scores = model.score(model.user_vectors(torch.from_numpy(rows.clip(0)))).numpy(force=True)
        scores[rows == UNKNOWN] = model.history.listeners
        places += [_by_score(model, entry, line) for entry, line in zip(chunk, scores, strict=True)]
    return places


def _by_score(model: Recommender, entry: CandidateList, scores: NDArray[np.float32]) -> Places:
    positive = model.tracks.row(entry.positive)
    known = _known(model, entry.negatives)
    if positive is None:
        return _behind(entry, len(known))
    above, tied = int((scores[known] > scores[positive]).sum()), int((scores[known] == scores[positive]).sum())
    return np.arange(above + 1, above + tied + 2)


def places_together(
    model: Recommender,
    strategy: str,
    lists: Sequence[CandidateList],
    seed: int,
    group_weight: float = GROUP_WEIGHT,
) -> list[Places]:
    """Return the places of the positive of each list for a group, as `rank_groups` orders the candidates."""
    places = []
    everything = frozenset(range(len(model.tracks)))
    for start in range(0, len(lists), _AT_ONCE):
        chunk = list(enumerate(lists[start : start + _AT_ONCE], start=start))
        queries = [
            GroupQuery(
                members=members_of(model, entry.group, group_weight),
                k=len(entry.negatives) + 1,
                strategy=strategy,
                seed=seed + place,
                excluded=everything - {*_known(model, [*entry.negatives, entry.positive]).tolist()},
            )
            for place, entry in chunk
        ]
        rankings = rank_groups(model, queries)
        places += [_by_group(model, entry, ranked) for (_, entry), ranked in zip(chunk, rankings, strict=True)]
    return places


def _by_group(model: Recommender, entry: CandidateList, ranking: GroupRanking) -> Places:
    """Return the places of all tracks that the group cannot tell from the positive: no strategy can, but by chance.

    Those are the tracks that every member scores like the positive or, where no member has an opinion and popularity
    decides, those with as many listeners.
    """
    positive = model.tracks.row(entry.positive)
    if positive is None:
        return _behind(entry, len(ranking.rows))
    place = ranking.rows.index(positive)
    filled = len(ranking.rows) - ranking.filled
    listeners = model.history.listeners[ranking.rows]
    opinions = np.array(ranking.member_scores).reshape(-1, len(ranking.rows))
    if place >= filled:
        equals = listeners == listeners[place]
        equals[:filled] = False
    else:
        equals = (opinions == opinions[:, [place]]).all(axis=0)
        equals[filled:] = False
    return np.flatnonzero(equals) + 1


def _known(model: Recommender, track_ids: Sequence[str]) -> NDArray[np.int64]:
    rows = model.tracks.rows(track_ids)
    known: NDArray[np.int64] = rows[rows != UNKNOWN]
    return known


def _behind(entry: CandidateList, known: int) -> Places:
    """Return the places of a positive that the model has never seen: behind so many that it has, among the others."""
    return np.arange(known + 1, len(entry.negatives) + 2)
