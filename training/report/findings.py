"""What a report says first: a few sentences and a short table that claim no more than intervals and tests allow."""

from dataclasses import dataclass

from training.bootstrap import Difference, Estimate
from training.evaluate.held_out import PROTOCOL_TITLES
from training.evaluate.listeners import CONTROL
from training.evaluate.results import GroupRow, Results, UserRow, middle_cutoff


@dataclass(frozen=True)
class Served:
    """What a model gives to groups as it is served, beside what it gives to single listeners."""

    group: GroupRow
    over_control: Difference | None
    """Of group precision over that of the control; None for the control itself and where it is not there."""
    listeners: UserRow | None
    """Rankings of new tracks; None where no listener was judged."""


def as_served(results: Results) -> list[Served]:
    """Return every model as it is served under the usual protocol, the highest group precision first."""
    name = f"precision@{middle_cutoff(results.cutoffs)}"
    rows = [row for row in results.main_groups if row.default and row.protocol == results.usual]
    listeners = {row.model: row for row in results.users if row.protocol == "new"}
    control = next((row for row in rows if row.model == CONTROL), None)
    return [
        Served(
            row,
            None if control is None or row is control else _between_served(results, row, control, name),
            listeners.get(row.model),
        )
        for row in sorted(rows, key=lambda row: -row.metrics[name].mean)
    ]


def findings(results: Results) -> list[str]:
    """Return what the figures say, a sentence or two about each thing that was judged."""
    if not results.users:
        return []
    return [_about_novelty(results), *_about_listeners(results), *_about_groups(results)]


def _about_novelty(results: Results) -> str:
    if not results.data.new:
        return (
            "Nothing that was held back for judging is new to its listener: a model that only repeats what its "
            "listeners know can name all of it."
        )
    return (
        f"{results.data.new_share:.0%} of what was held back for judging is new to its listener. A model that only "
        "repeats what its listeners know cannot name any of that."
    )


def _about_listeners(results: Results) -> list[str]:
    """Return who ranks new tracks best, and whether the lead over the next is clear."""
    k = middle_cutoff(results.cutoffs)
    name = f"ndcg@{k}"
    rows = [row for row in results.users if row.protocol == "new" and name in row.metrics]
    if len(rows) < 2:
        return []
    first, second = sorted(rows, key=lambda row: -row.metrics[name].mean)[:2]
    if first.metrics[name].mean == 0:
        return [f"No model ranks new tracks well: nDCG@{k} is 0 for each, as no list names a track that was held back."]
    verdict = _verdict(_between_models(results, first, second, name))
    return [
        f"{first.model} ranks new tracks best: nDCG@{k} {_interval(first.metrics[name], '.4f')}, {verdict} "
        f"{second.model} with {second.metrics[name].mean:.4f}."
    ]


def _about_groups(results: Results) -> list[str]:
    """Return which model serves groups best, and whether its leads over the next and over the control are clear."""
    k = middle_cutoff(results.cutoffs)
    name = f"precision@{k}"
    served = [row.group for row in as_served(results)]
    if not served:
        return []
    best, *others = served
    if best.metrics[name].mean == 0:
        return [
            f"No model serves groups well: no member turned out to hear any of its {k} tracks "
            f"({PROTOCOL_TITLES[results.usual]})."
        ]
    served_by = "served best by" if others else "served by"
    leads = [
        f"{_verdict(_between_served(results, best, other, name))} {other.model} with {other.metrics[name].mean:.1%}"
        for place, other in enumerate(others)
        if place == 0 or other.model == CONTROL
    ]
    return [
        f"Groups are {served_by} {best.model} with {_words(best.strategy)}: some member turned out to hear "
        f"{_interval(best.metrics[name], '.1%')} of its {k} tracks ({PROTOCOL_TITLES[results.usual]})"
        f"{', ' if leads else ''}{' and '.join(leads)}."
    ]


def _between_models(results: Results, first: UserRow, second: UserRow, name: str) -> Difference:
    """Return how far two models are apart for single listeners."""
    return _apart(results, ("users", first.protocol, None), {first.model, second.model}, name)


def _between_served(results: Results, first: GroupRow, second: GroupRow, name: str) -> Difference:
    """Return how far two models are apart for groups, each as it is served."""
    names = {f"{row.model}/{row.strategy}" for row in (first, second)}
    return _apart(results, ("served", first.protocol, first.cohort), names, name)


def _apart(results: Results, people: tuple[str, str, str | None], names: set[str], name: str) -> Difference:
    """Return a difference from the one side that comes first in the results."""
    return next(
        row.differences[name]
        for row in results.comparisons
        if (row.of, row.protocol, row.cohort) == people and {row.first, row.second} == names
    )


def _verdict(lead: Difference) -> str:
    """Return in words what two that were compared are to each other; whichever side comes first, it is as clear."""
    return "a clear lead over" if lead.clear else "no clear lead over"


def _interval(estimate: Estimate, form: str) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:{form}} (a single one, so without an interval)"
    return f"{estimate.mean:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def _words(strategy: str) -> str:
    return strategy.replace("_", " ")
