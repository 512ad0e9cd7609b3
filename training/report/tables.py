"""The main tables of an evaluation, for the screen."""

from collections.abc import Callable, Collection, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from training.bootstrap import Estimate
from training.evaluate.held_out import PROTOCOL_TITLES, PROTOCOLS, Protocol
from training.evaluate.results import Candidates, ColdStart, Results, middle_cutoff
from training.evaluate.sessions import CUTOFFS as SESSION_CUTOFFS
from training.evaluate.sessions import LENGTH, PLAYLISTS
from training.report import left_out


def on_screen(results: Results) -> list[RenderableType]:
    """Return what was judged by, what to know before believing it, and the main tables."""
    data, population = results.data, results.population
    judged = (
        f"{data.folder}, {data.split} split: {data.relevant} relevant pairs, {data.new_share:.1%} of them new; "
        f"{population.drawn} of {population.known} listeners judged"
    )
    notes = [Text(line, style="yellow") for line in [*left_out(results), *results.warnings]]
    return [*([Text(judged)] if data.relevant else []), *notes, *_tables(results)]


def _tables(results: Results) -> list[Table]:
    """Return the main tables, those that there is something for."""
    found = []
    if results.groups:
        found += [_precision_table(results, protocol) for protocol in results.group_protocols]
        found.append(_fairness_table(results))
    if results.sessions:
        found.append(_session_table(results))
    if results.users:
        found += [_user_table(results, protocol) for protocol in PROTOCOLS]
    if results.cold_start is not None:
        found.append(_guest_table(results.cold_start))
    if results.candidates is not None:
        found.append(_candidate_table(results, results.candidates))
    return found


def _table(title: str, labels: Sequence[str], figures: Sequence[str]) -> Table:
    """Return an empty table with columns for labels, to the left, and figures, to the right."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for label in labels:
        table.add_column(label, no_wrap=True)
    for label in figures:
        table.add_column(label, justify="right", no_wrap=True)
    return table


def _precision_table(results: Results, protocol: Protocol) -> Table:
    names = [f"precision@{k}" for k in results.cutoffs]
    table = _table(f"{_groups_title(results)}, {PROTOCOL_TITLES[protocol]}: mean ± sd", ["model", "strategy"], names)
    for row in results.main_groups:
        if row.protocol == protocol:
            cells = [_cell(row.metrics.get(name), lambda e: f"{e.mean:.3f} ± {_figure(e.sd, '.3f')}") for name in names]
            table.add_row(row.model, row.strategy, *cells, style="bold" if row.default else "")
    return table


def _fairness_table(results: Results) -> Table:
    k = middle_cutoff(results.cutoffs)
    names = {"ndcg": "nDCG", "min_ndcg": "worst member", "zero_recall": "zRecall", "min_max": "min/max"}
    tests = _tests(results, f"ndcg@{k}")
    baselines = _baselines(tests)
    table = _table(
        f"{_groups_title(results)}, {PROTOCOL_TITLES[results.usual]}: {k} tracks, mean ± half of the 95 % interval"
        + (f", and paired t of nDCG against {', '.join(baselines)}" if baselines else ""),
        ["model", "strategy"],
        [*names.values(), *("t" if len(baselines) == 1 else "t " + name.replace("/", "/\n") for name in baselines)],
    )
    for row in results.main_groups:
        if row.protocol == results.usual:
            cells = [_cell(row.metrics.get(f"{name}@{k}"), _mean_and_half) for name in names]
            against = [name if "/" in name else f"{row.model}/{name}" for name in baselines]
            t = [tests.get((f"{row.model}/{row.strategy}", name), "") for name in against]
            table.add_row(row.model, row.strategy, *cells, *t, style="bold" if row.default else "")
    return table


def _tests(results: Results, name: str) -> dict[tuple[str, str], str]:
    """Return the t of every row of the main table against each of its baselines, by the names of both."""
    people = ("groups", results.usual, results.group_tables[0][0])
    return {
        (row.first, row.second): "-" if (t := row.differences[name].t) is None else f"{t:+.1f}"
        for row in results.comparisons
        if (row.of, row.protocol, row.cohort) == people and name in row.differences
    }


def _baselines(compared: Collection[tuple[str, str]]) -> list[str]:
    """Return what rows were compared with, as `--baseline` names it: a STRATEGY of the same model or MODEL/STRATEGY."""
    across = dict.fromkeys(second for first, second in compared if _model(first) != _model(second))
    within = dict.fromkeys(second.partition("/")[2] for _, second in compared if second not in across)
    return [*within, *across]


def _model(name: str) -> str:
    return name.partition("/")[0]


def _groups_title(results: Results) -> str:
    cohort, number = results.group_tables[0]
    return f"{cohort.capitalize()} ({number})"


def _session_table(results: Results) -> Table:
    lengths = [f"min_max@{k}" for k in SESSION_CUTOFFS]
    last = SESSION_CUTOFFS[-1]
    table = _table(
        f"Sessions of {PLAYLISTS} playlists of {LENGTH}, {PROTOCOL_TITLES[results.usual]}: min/max utility so far",
        ["model", "strategy"],
        [*(f"{name.partition('@')[2]} tracks" for name in lengths), f"nDCG@{last}"],
    )
    cohort = results.group_tables[0][0]
    for row in results.sessions:
        if row.cohort == cohort:
            cells = [_cell(row.metrics.get(name), lambda e: f"{e.mean:.3f}") for name in (*lengths, f"ndcg@{last}")]
            table.add_row(row.model, row.strategy, *cells, style="bold" if row.default else "")
    return table


def _user_table(results: Results, protocol: Protocol) -> Table:
    k = middle_cutoff(results.cutoffs)
    names = [f"{name}@{k}" for name in ("ndcg", "precision", "recall", "map")]
    title = f"Single listeners, {PROTOCOL_TITLES[protocol]}: mean ± half of the 95 % interval"
    table = _table(title, ["model"], ["users", *names])
    for row in results.users:
        if row.protocol == protocol:
            cells = [_cell(row.metrics.get(name), _mean_and_half) for name in names]
            table.add_row(row.model, str(row.users), *cells)
    return table


def _guest_table(guests: ColdStart) -> Table:
    table = _table(
        f"{guests.guests} guests by the number of tracks they like, of {guests.at_least} or more: {guests.metric}, and "
        "as a share of what the same people get as known listeners, with 95 % interval",
        ["model"],
        ["liked", guests.metric, "share", "low", "high"],
    )
    for point in guests.points:
        share = point.share
        shares = ["-"] * 3 if share is None else [_figure(part, ".3f") for part in (share.mean, share.low, share.high)]
        table.add_row(point.model, point.liked, _mean_and_half(point.quality), *shares)
    return table


def _candidate_table(results: Results, candidates: Candidates) -> Table:
    names = [f"{name}@{k}" for k in results.cutoffs[:2] for name in ("hit_rate", "ndcg")]
    table = _table(
        f"Candidate lists of {candidates.source} ({candidates.groups} for groups, {candidates.listeners} for single "
        "listeners): mean ± half of the 95 % interval",
        ["model", "strategy"],
        ["lists", "tied", *(name.replace("hit_rate", "HR").replace("ndcg", "nDCG") for name in names)],
    )
    for row in candidates.rows:
        cells = [_cell(row.metrics.get(name), lambda e: f"{e.mean:.3f} ±{_figure(e.half, '.3f')}") for name in names]
        table.add_row(row.model, row.strategy or "-", str(row.lists), f"{row.tied:.0%}", *cells)
    return table


def _mean_and_half(estimate: Estimate) -> str:
    return f"{estimate.mean:.4f} ±{_figure(estimate.half, '.4f')}"


def _figure(figure: float | None, form: str) -> str:
    """Return a figure, a dash where a single listener or group has none."""
    return "-" if figure is None else f"{figure:{form}}"


def _cell(estimate: Estimate | None, form: Callable[[Estimate], str]) -> str:
    return "-" if estimate is None else form(estimate)
