"""Everything an evaluation found, as results.json holds it: a public format, each figure with what it rests on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from service.core.artifacts import DataFingerprint
from training.bootstrap import Difference, Estimate, Share
from training.data import Split
from training.evaluate.held_out import Protocol, usual_protocol


def middle_cutoff(cutoffs: Sequence[int]) -> int:
    """Return the length of list that is shown where there is room for only one."""
    return sorted(cutoffs)[len(cutoffs) // 2]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelInfo(_Record):
    """One model that was judged."""

    name: str
    version: str
    algorithm: str
    kind: str
    same_data: bool
    """Whether it was trained on the train.parquet of this evaluation."""


class DataInfo(_Record):
    """What the models were judged by."""

    folder: str
    split: Split
    train: DataFingerprint
    pairs: int
    """Pairs of the split."""
    relevant: int
    """Those with a score of at least 1."""
    new: int
    """Relevant pairs that no earlier split has: what a model that can only repeat must miss."""

    unknown: int
    """Relevant pairs whose track no model has ever seen: what every list must miss."""

    @property
    def new_share(self) -> float:
        """Return the share of relevant pairs that are new, 0 where nothing is relevant."""
        return self.new / self.relevant if self.relevant else 0.0


class Population(_Record):
    """Who could be judged, and why others could not."""

    users: int
    """Users of the split."""
    nothing_relevant: int
    """Users who only skipped."""
    nothing_new: int
    """Users with relevant tracks, all of them heard in an earlier split; they count under protocol `all` only."""
    unknown: dict[str, int]
    """For each model, users with something relevant that it has never seen; they count for no model."""
    known: int
    """Users with something relevant whom every model knows."""
    drawn: int
    """Of those, how many were drawn to be judged."""


class UserRow(_Record):
    """What lists for single listeners are worth."""

    model: str
    protocol: Protocol
    users: int
    metrics: dict[str, Estimate]
    coverage: dict[str, float]
    """Share of the catalogue that appears in some list, by metric and cut-off, as "coverage@10"."""


class GroupRow(_Record):
    """What playlists for groups are worth."""

    model: str
    strategy: str
    default: bool
    """Whether this is the strategy that the model is served with unless somebody asks for another."""
    protocol: Protocol
    cohort: str
    """The name of a cohort, or "all groups" for several taken together."""
    groups: int
    metrics: dict[str, Estimate]
    coverage: dict[str, float]


class CandidateRow(_Record):
    """What a model makes of given candidate lists."""

    model: str
    strategy: str | None
    """None for lists of single listeners, ranked by their own scores."""
    lists: int
    tied: float
    """Share of the lists in which the positive is tied with another track."""
    metrics: dict[str, Estimate]


class Candidates(_Record):
    """Given candidate lists, and what was made of them."""

    source: str
    groups: int
    """Lists for groups."""
    listeners: int
    """Lists for single listeners."""
    repeated: int
    """Negatives named more than once in a list; they count once."""
    unknown_members: dict[str, int]
    """For each model, members it has never seen: they have no say, and lists of only such people go by popularity."""
    unknown_positives: dict[str, int]
    """For each model, positives it has never seen: they rank behind all tracks it knows."""
    unknown_negatives: dict[str, int]
    rows: list[CandidateRow]


class Comparison(_Record):
    """One row of a table against another over the same users, groups or lists: first minus second."""

    of: Literal["users", "groups", "served", "sessions", "candidates"]
    """`groups` and `sessions` against their baselines; `served`: models with groups, each as it is served."""
    protocol: Protocol | None
    """None for given candidate lists."""
    cohort: str | None = None
    """Of groups: which of them."""
    first: str
    second: str
    differences: dict[str, Difference]


class ColdStartPoint(_Record):
    """What guests get from one model who name so many tracks that they like."""

    model: str
    liked: str
    """A number; "all" for the whole history, folded in as a guest's; "known" for the listener the model trained on."""
    quality: Estimate
    share: Share | None
    """Of what the same people get as known listeners; None where that is no better than what is popular."""


class ColdStart(_Record):
    """Quality against the number of liked tracks of a guest."""

    guests: int
    able: int
    """Listeners who liked enough tracks to be guests; the guests were drawn from them."""
    at_least: int
    """How many tracks were enough."""
    metric: str
    points: list[ColdStartPoint]


class CohortInfo(_Record):
    """Groups of one make that were judged."""

    name: str
    """As "similar groups of 4", or where they were read from."""
    groups: int
    members: dict[str, int]
    """How many groups have so many members, as {"5": 100}."""
    likeness: float | None
    """Mean cosine of what two members of a group heard in training; None where nobody has company."""
    strangers: dict[str, int]
    """For each model, members it has never seen: they have no say in the list and are still asked what they like."""
    nothing_relevant: int
    """Members with nothing relevant: they count in precision, not in figures of single members."""


class Results(_Record):
    """One evaluation."""

    format: int = 3
    created_at: datetime
    command: str
    seed: int
    interval: str
    cutoffs: list[int]
    data: DataInfo
    models: list[ModelInfo]
    population: Population
    users: list[UserRow]
    cohorts: list[CohortInfo]
    groups: list[GroupRow]
    sessions: list[GroupRow]
    """Whole sessions, judged at the end of each playlist; empty unless asked for."""
    cold_start: ColdStart | None
    candidates: Candidates | None
    comparisons: list[Comparison]
    warnings: list[str]
    seconds: float

    def __repr__(self) -> str:
        """Return what was judged by what; `model_dump` has all of it."""
        names = ", ".join(model.name for model in self.models)
        return f"Results({names} on {self.data.folder}: {self.population.drawn:,} listeners, {self.group_counts})"

    __str__ = __repr__

    @property
    def group_counts(self) -> str:
        """Return how many groups there are, cohort by cohort."""
        return ", ".join(f"{cohort.groups:,} {cohort.name}" for cohort in self.cohorts) or "no groups"

    @property
    def group_tables(self) -> list[tuple[str, int]]:
        """Return cohort and number of groups of every table of group rows, largest first."""
        return sorted({(row.cohort, row.groups): None for row in self.groups}, key=lambda table: -table[1])

    @property
    def main_groups(self) -> list[GroupRow]:
        """Return the rows of the largest table: of all cohorts together where there are several."""
        return [row for row in self.groups if (row.cohort, row.groups) == self.group_tables[0]]

    @property
    def group_protocols(self) -> list[Protocol]:
        """Return the protocols that groups were judged by, in their order."""
        return list(dict.fromkeys(row.protocol for row in self.groups))

    @property
    def usual(self) -> Protocol:
        """Return the protocol of groups that is shown where there is room for one alone."""
        return usual_protocol(self.group_protocols, all_new=self.data.new == self.data.relevant)
