"""What a report says first: a few sentences and a short table that claim no more than the intervals allow."""

from collections.abc import Callable
from dataclasses import dataclass

from training.bootstrap import Difference, Estimate
from training.evaluate.held_out import PROTOCOL_TITLES
from training.evaluate.listeners import CONTROL
from training.evaluate.results import Comparison, GroupRow, Results, UserRow, middle_cutoff


@dataclass(frozen=True)
class Served:
    """What a model gives to groups as it is served, beside what it gives to single listeners."""

    group: GroupRow
    over_control: Difference | None
    """Of group precision over that of the control; None for the control itself and where they were not compared."""
    listeners: UserRow | None
    """Rankings of new tracks; None where no listener was judged."""


def as_served(results: Results) -> list[Served]:
    """Return every model as it is served under the usual protocol, the highest group precision first."""
    name = f"precision@{middle_cutoff(results.cutoffs)}"
    rows = [row for row in results.main_groups if row.default and row.protocol == results.usual]
    listeners = {row.model: row for row in results.users if row.protocol == "new"}
    control = next((row for row in rows if row.model == CONTROL), None)
    return [
        Served(row, _over(results, row, control, name), listeners.get(row.model))
        for row in sorted(rows, key=lambda row: -row.metrics[name].mean)
    ]


def findings(results: Results) -> list[str]:
    """Return what the figures say, a sentence or two about each thing that was judged."""
    if not results.users:
        return []
    return [_about_novelty(results), *_about_listeners(results), *_about_groups(results)]


def _about_novelty(results: Results) -> str:
    return (
        f"{results.data.new_share:.0%} of what was held back for judging is new to its listener. A model that only "
        "repeats what its listeners know cannot name any of it."
    )


def _about_listeners(results: Results) -> list[str]:
    """Return who ranks new tracks best, and whether the lead over the next is clear."""
    k = middle_cutoff(results.cutoffs)
    name = f"ndcg@{k}"
    rows = [row for row in results.users if row.protocol == "new" and name in row.metrics]
    if len(rows) < 2:
        return []
    first, second = sorted(rows, key=lambda row: -row.metrics[name].mean)[:2]
    names = {first.model, second.model}
    lead = _lead(
        results, lambda row: (row.of, row.protocol) == ("users", "new") and {row.first, row.second} == names, name
    )
    return [
        f"{first.model} ranks new tracks best: nDCG@{k} {_interval(first.metrics[name], '.4f')}, {_verdict(lead)} "
        f"{second.model} with {second.metrics[name].mean:.4f}."
    ]


def _about_groups(results: Results) -> list[str]:
    """Return which model serves groups best, and whether its lead over the control is clear."""
    k = middle_cutoff(results.cutoffs)
    name = f"precision@{k}"
    served = as_served(results)
    if not served:
        return []
    best, control = served[0], next((row for row in served if row.group.model == CONTROL), None)
    sentence = (
        f"Groups are served best by {best.group.model} with {_words(best.group.strategy)}: some member turned out to "
        f"hear {_interval(best.group.metrics[name], '.1%')} of its {k} tracks ({PROTOCOL_TITLES[results.usual]})"
    )
    if control is None or control is best:
        return [f"{sentence}."]
    return [f"{sentence}, {_verdict(best.over_control)} {CONTROL} with {control.group.metrics[name].mean:.1%}."]


def _over(results: Results, row: GroupRow, control: GroupRow | None, name: str) -> Difference | None:
    """Return how far a row is above the control."""
    if control is None:
        return None
    wanted = ("groups", row.protocol, row.cohort, _title(row), _title(control))
    return _lead(results, lambda c: (c.of, c.protocol, c.cohort, c.first, c.second) == wanted, name)


def _lead(results: Results, is_wanted: Callable[[Comparison], bool], name: str) -> Difference | None:
    return next((row.differences.get(name) for row in results.comparisons if is_wanted(row)), None)


def _title(row: GroupRow) -> str:
    """Return what comparisons call a row."""
    return f"{row.model}/{row.strategy}"


def _verdict(lead: Difference | None) -> str:
    """Return in words what two that were compared are to each other; whichever side comes first, it is as clear."""
    return "a clear lead over" if lead is not None and lead.clear else "no clear lead over"


def _interval(estimate: Estimate, form: str) -> str:
    return f"{estimate.mean:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def _words(strategy: str) -> str:
    return strategy.replace("_", " ")
