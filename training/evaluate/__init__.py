"""Judging models: rankings for single listeners, playlists for groups, and how sure the differences are."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final, get_args

import numpy as np

from service.core.artifacts import ArtifactStore, DataFingerprint
from service.core.errors import ConfigurationError, DataError
from service.core.strategies import STRATEGIES
from training.bootstrap import CONFIDENCE, RESAMPLES
from training.data import Split
from training.evaluate.candidates import compare_candidates, describe_candidates, rank_candidates, read_candidates
from training.evaluate.cohorts import Cohort, Selection, describe, drawn_cohorts, selections
from training.evaluate.cold_start import MOST_GUESTS, judge_guests
from training.evaluate.group_metrics import GROUP_WEIGHT
from training.evaluate.held_out import EARLIER, PROTOCOLS, HeldOut, Protocol, known_to_all, usual_protocol
from training.evaluate.listeners import UserTable, compare_users, draw_users, judge_users
from training.evaluate.playlists import GroupTable, check_baselines, compare_playlists, compare_served, judge_playlists
from training.evaluate.rankings import Line, rankings
from training.evaluate.results import (
    DataInfo,
    ModelInfo,
    Population,
    Results,
    middle_cutoff,
)
from training.evaluate.sessions import CUTOFFS as SESSION_CUTOFFS
from training.evaluate.sessions import judge_sessions
from training.evaluate.subject import Subject
from training.groups import GROUP_TYPES, Group, GroupType, Listeners, prepared_groups, read_groups
from training.metrics import CUTOFFS, sample

INTERVAL: Final = f"{CONFIDENCE:.0%} percentile bootstrap of the mean, {RESAMPLES} resamples"

_CROWDED: Final = 2
"""From so many groups a listener on, groups say too much of the same for an interval over groups."""

Say = Callable[[str], None]
"""Told what is being done now."""


@dataclass(frozen=True)
class Plan:
    """What to evaluate, and by what."""

    data: Path
    models: Path
    names: tuple[str, ...] = ()
    """Models, or all that have a current version."""
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    split: Split | None = None
    """None: test unless it is empty."""
    n_groups: tuple[int, ...] = (10, 100)
    """Groups in each table; fewer are the first of more. Only for groups that are drawn."""
    group_types: tuple[GroupType, ...] = ("random",)
    group_sizes: tuple[int, ...] = (5,)
    """Every type is drawn in every size."""
    group_protocols: tuple[Protocol, ...] = PROTOCOLS
    group_weight: float = GROUP_WEIGHT
    """How much what a known group heard together counts, over all its members; 0 for not at all."""
    groups: Path | None = None
    """Given groups in place of drawn ones."""
    baselines: tuple[str, ...] = ()
    """What playlists are compared with, as `compare_playlists` reads it."""
    sessions: bool = False
    """Also judge whole sessions of several playlists."""
    cold_start: int | None = None
    """Also judge what guests get by how many tracks they like, who are listeners that liked at least so many."""
    max_guests: int | None = MOST_GUESTS
    """More listeners than this are not judged as guests but so many of them; None: all."""
    candidates: Path | None = None
    """Also judge given candidate lists; with them there need not be anything held out."""
    rankings: bool = False
    """Also return what is recommended to listeners and groups; for that, too, nothing need be held out."""
    cutoffs: tuple[int, ...] = CUTOFFS
    max_users: int | None = 10_000
    """More listeners than this are not judged one by one but by so many of them; None: all."""
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Take names of files for them, and refuse what cannot be done before any work."""
        for name in ("data", "models", "groups", "candidates"):
            if (path := vars(self)[name]) is not None:
                object.__setattr__(self, name, Path(path))
        for name in ("names", "strategies", "group_types", "group_protocols", "baselines"):
            if isinstance(text := vars(self)[name], str):
                raise ConfigurationError(f"{name} = {text!r} is one text and has to be several, as in ({text!r},)")
        if self.split is not None:
            _check_known("split", [self.split], EARLIER)
        _check_known("strategies", self.strategies, STRATEGIES)
        _check_known("group_types", self.group_types, GROUP_TYPES)
        _check_known("group_protocols", self.group_protocols, get_args(Protocol))
        for name in ("strategies", "group_types", "group_protocols", "n_groups", "group_sizes", "cutoffs"):
            if not vars(self)[name]:
                raise ConfigurationError(f"{name} is empty, and has to hold one at least")
        for name in ("n_groups", "group_sizes", "cutoffs"):
            if wrong := [number for number in vars(self)[name] if number < 1]:
                raise ConfigurationError(f"{name} holds {wrong[0]}, and a number of 1 or more is wanted")

    @property
    def needs_nothing_held_out(self) -> bool:
        """Return whether there is something to do without anything, or anybody, to judge by."""
        return self.rankings or self.candidates is not None

    def too_large(self, listeners: int) -> list[int]:
        """Return the sizes of groups that so few listeners cannot fill, where there are other things to do."""
        drawn = self.groups is None and self.needs_nothing_held_out
        return [size for size in self.group_sizes if size > listeners] if drawn else []


def _check_known(field: str, named: Iterable[str], known: Collection[str]) -> None:
    """Raise ConfigurationError for the first name that is none of those known."""
    unknown = [name for name in named if name not in known]
    if unknown:
        raise ConfigurationError(f"{field}: there is no {unknown[0]!r}, known: {sorted(known)}")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results, and the tables of single figures that they are means of."""

    results: Results
    subjects: list[Subject]
    users: list[UserTable]
    groups: list[GroupTable]
    rankings: Iterable[Line]
    """What is recommended to whom, made while it is read; empty unless asked for."""

    def __repr__(self) -> str:
        return f"Evaluation({self.results!r})"


def evaluate(plan: Plan, say: Say = lambda _: None) -> Evaluation:
    """Judge the models of a store by a prepared folder.

    DataError where there is nothing to judge by, ArtifactError where a model cannot be loaded.
    """
    started = perf_counter()
    say("reading the data")
    held_out = HeldOut.load(plan.data, plan.split, may_be_empty=plan.needs_nothing_held_out)
    say("loading the models")
    subjects = _subjects(plan)
    check_baselines(plan.baselines, subjects, plan.strategies)
    given = prepared_groups(plan.data) if plan.groups is None else read_groups(plan.groups)
    lists = [] if plan.candidates is None else read_candidates(plan.candidates, given)
    population, users = draw_users(held_out, subjects, plan.max_users, plan.seed)
    if not users and not plan.needs_nothing_held_out:
        raise DataError(_nobody(held_out, population))
    say(f"ranking all tracks for {len(users)} listeners")
    user_tables = judge_users(held_out, subjects, users, plan.cutoffs) if users else []
    playlists = _make_playlists(plan, held_out, subjects, given, say)
    sessions = _make_sessions(plan, held_out, subjects, playlists, say) if plan.sessions and users else []
    # Without anything held out the figures of playlists say nothing; they are made for their rankings alone.
    judged = playlists.tables if users else []
    guests = None
    if plan.cold_start is not None:
        say("ranking for guests")
        k = middle_cutoff(plan.cutoffs)
        guests = judge_guests(held_out, subjects, users, k, plan.seed, plan.cold_start, plan.max_guests)
    say(f"ranking {len(lists)} candidate lists")
    candidate_tables = rank_candidates(lists, subjects, plan.strategies, plan.seed, plan.group_weight)
    say("drawing resamples")
    models = [_model_info(subject, held_out) for subject in subjects]
    data = _data_info(plan, held_out, subjects)
    results = Results(
        created_at=datetime.now(UTC),
        command=plan.command,
        seed=plan.seed,
        interval=INTERVAL,
        cutoffs=sorted(plan.cutoffs),
        data=data,
        models=models,
        population=population,
        users=[table.row(plan.cutoffs, plan.seed) for table in user_tables],
        cohorts=[describe(held_out, subjects, cohort) for cohort in playlists.cohorts],
        groups=[table.row(part, plan.cutoffs, plan.seed) for part in playlists.parts for table in judged],
        sessions=[table.row(part, SESSION_CUTOFFS, plan.seed) for part in playlists.largest for table in sessions],
        cold_start=guests,
        candidates=None
        if plan.candidates is None
        else describe_candidates(plan.candidates, lists, candidate_tables, subjects, plan.cutoffs, plan.seed),
        comparisons=[
            *compare_users(user_tables, plan.seed),
            *compare_playlists(judged, playlists.largest, plan.baselines, plan.seed),
            *compare_served(judged, playlists.largest, plan.seed),
            *compare_playlists(sessions, playlists.largest, plan.baselines, plan.seed, of="sessions"),
            *compare_candidates(candidate_tables, plan.cutoffs, plan.baselines, plan.seed),
        ],
        warnings=[*_warnings(held_out, data, models, playlists.groups), *_too_few(plan, population)],
        seconds=perf_counter() - started,
    )
    lines = _rankings(plan, held_out, subjects, playlists.tables) if plan.rankings else ()
    return Evaluation(results, subjects, user_tables, judged, lines)


@dataclass(frozen=True, eq=False)
class _Playlists:
    """The groups of an evaluation, and what was made for them."""

    cohorts: list[Cohort]
    parts: list[Selection]
    """The tables to report."""
    largest: list[Selection]
    """Those of all groups of a cohort, and of all cohorts."""
    tables: list[GroupTable]

    @property
    def groups(self) -> list[Group]:
        """Return the groups of all cohorts, one cohort after the other."""
        return [group for cohort in self.cohorts for group in cohort.groups]


def _make_playlists(
    plan: Plan, held_out: HeldOut, subjects: Sequence[Subject], given: list[Group], say: Say
) -> _Playlists:
    cohorts = _cohorts(plan, held_out, subjects, given)
    groups = [group for cohort in cohorts for group in cohort.groups]
    numbers = plan.n_groups if plan.groups is None else [len(groups)]
    say(f"making playlists for {len(groups)} groups")
    tables = judge_playlists(
        held_out, subjects, plan.strategies, groups, plan.cutoffs, plan.seed, plan.group_protocols, plan.group_weight
    )
    return _Playlists(cohorts, selections(cohorts, numbers), selections(cohorts, [max(numbers)]), tables)


def _make_sessions(
    plan: Plan, held_out: HeldOut, subjects: Sequence[Subject], playlists: _Playlists, say: Say
) -> list[GroupTable]:
    say(f"making sessions for {len(playlists.groups)} groups")
    protocol = usual_protocol(plan.group_protocols, all_new=bool(held_out.new.all()))
    return judge_sessions(held_out, subjects, plan.strategies, playlists.groups, protocol, plan.seed, plan.group_weight)


def _rankings(
    plan: Plan, held_out: HeldOut, subjects: Sequence[Subject], tables: Sequence[GroupTable]
) -> Iterable[Line]:
    """Return what listeners and groups get; of more than `max_users` listeners so many are drawn."""
    known = known_to_all(set(held_out.train["user_id"]), [subject.model.users for subject in subjects])
    drawn = [known[row] for row in sample(np.arange(len(known)), plan.max_users, plan.seed)]
    return rankings(held_out, subjects, drawn, tables, max(plan.cutoffs))


def _subjects(plan: Plan) -> list[Subject]:
    """Return the models of the plan in its order; all of the store by name where it names none."""
    store = ArtifactStore(plan.models)
    names = list(dict.fromkeys(plan.names)) or store.names()
    if not names:
        raise DataError(f"{plan.models} holds no model; make one with `python -m training train`")
    return [Subject.of(store.load(name)) for name in names]


def _cohorts(plan: Plan, held_out: HeldOut, subjects: Sequence[Subject], given: list[Group]) -> list[Cohort]:
    """Return the groups of the plan: those given, or drawn from all listeners who can be judged, if there are any."""
    if plan.groups is not None:
        return [Cohort(f"groups of {plan.groups.name}", given)]
    user_ids = draw_users(held_out, subjects, None, plan.seed)[1]
    too_large = plan.too_large(len(user_ids))
    sizes = [size for size in plan.group_sizes if size not in too_large]
    listeners = Listeners.of(user_ids, held_out.train)
    return drawn_cohorts(listeners, plan.group_types, sizes, max(plan.n_groups), plan.seed)


def _nobody(held_out: HeldOut, population: Population) -> str:
    strangers = ", ".join(f"{n} to {name}" for name, n in population.unknown.items())
    return (
        f"the {held_out.split} split has {population.users} users, {population.nothing_relevant} of them with "
        f"nothing relevant and the others unknown to a model ({strangers}), so there is nobody to judge by"
    )


def _model_info(subject: Subject, held_out: HeldOut) -> ModelInfo:
    manifest = subject.artifact.manifest
    return ModelInfo(
        name=manifest.name,
        version=manifest.version,
        algorithm=manifest.algorithm,
        kind=manifest.kind,
        same_data=manifest.data.sha256 == held_out.fingerprint,
    )


def _data_info(plan: Plan, held_out: HeldOut, subjects: Sequence[Subject]) -> DataInfo:
    relevant = held_out.relevant["track_id"]
    return DataInfo(
        folder="/".join(plan.data.resolve().parts[-2:]),
        split=held_out.split,
        train=DataFingerprint(
            sha256=held_out.fingerprint,
            users=held_out.train["user_id"].nunique(),
            groups=0 if held_out.of_groups is None else held_out.of_groups.train["user_id"].nunique(),
            tracks=held_out.train["track_id"].nunique(),
            pairs=len(held_out.train),
        ),
        pairs=len(held_out.pairs),
        relevant=len(relevant),
        new=int(held_out.new.sum()),
        unknown=sum(all(track_id not in subject.model.tracks for subject in subjects) for track_id in relevant),
    )


def _warnings(held_out: HeldOut, data: DataInfo, models: Sequence[ModelInfo], groups: Sequence[Group]) -> list[str]:
    """Return what a reader must know before believing a figure."""
    strange = [model.name for model in models if not model.same_data]
    members = [user_id for group in groups for user_id in group.user_ids]
    warnings = []
    if strange:
        warnings.append(
            f"{', '.join(strange)}: trained on other data than this train.parquet, so they may have seen what they "
            "are judged by"
        )
    if held_out.split == "validation" and not held_out.pairs.empty:
        warnings.append("judged by the validation split, which a training may have used to stop early or to be tuned")
    if data.unknown:
        warnings.append(
            f"{data.unknown} of {data.relevant} relevant tracks are unknown to every model, so that every list misses "
            "them"
        )
    if len(members) > _CROWDED * len(set(members)):
        warnings.append(
            f"{len(groups)} groups share {len(set(members))} listeners, so figures of groups are less sure than their "
            "intervals say"
        )
    return warnings


def _too_few(plan: Plan, population: Population) -> list[str]:
    """Return what a reader must know of groups that could not be drawn."""
    sizes = plan.too_large(population.known)
    names = " or ".join(map(str, sizes))
    return [f"no groups of {names}: there are {population.known} listeners to draw them from"] if sizes else []
