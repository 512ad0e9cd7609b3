"""Figures of group playlists: what they hit, how evenly, and for how long."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.bootstrap import Estimate
from training.evaluate.held_out import Protocol
from training.evaluate.results import GroupRow, Results, middle_cutoff
from training.evaluate.sessions import CUTOFFS as SESSION_CUTOFFS
from training.report.canvas import Theme, add_legend, name_at_the_side, spread_out, subplots, whiskers

_NAMES: Final = 15
"""Names that stand one above the other beside a panel where there are no more."""


def _group_rows(results: Results, protocol: Protocol) -> list[GroupRow]:
    return [row for row in results.main_groups if row.protocol == protocol]


def draw_groups(theme: Theme, results: Results) -> Figure:
    """Draw group precision as dots with intervals: a line a strategy, a colour a model, a panel a protocol."""
    name, models = f"precision@{middle_cutoff(results.cutoffs)}", [model.name for model in results.models]
    rows = _group_rows(results, results.usual)
    order = sorted({row.strategy for row in rows}, key=lambda s: -_best(rows, s, name))
    protocols = results.group_protocols
    figure, axes = subplots(1, len(protocols), 1.2 + 0.2 * len(order) * (1 + 0.35 * len(models)))
    for axis, protocol in zip(axes, protocols, strict=True):
        for row in _group_rows(results, protocol):
            estimate = row.metrics[name]
            place = order.index(row.strategy) + 0.7 * ((models.index(row.model) + 0.5) / len(models) - 0.5)
            colour = theme.colour(models.index(row.model))
            axis.errorbar(
                estimate.mean, place, xerr=whiskers([estimate]), fmt="o", color=colour, ms=4.5, elinewidth=1.4
            )
            if row.default:
                axis.plot(estimate.mean, place, "o", ms=9.5, mfc="none", mec=theme.ink, mew=1)
        axis.set_title(f"{protocol}: {name}")
        axis.set_yticks(range(len(order)), [strategy.replace("_", " ") for strategy in order])
        axis.set_ylim(len(order) - 0.4, -0.6)
        axis.set_xlim(left=0)
        axis.tick_params(length=0)
    for axis in axes[1:]:
        axis.set_yticklabels([])
    add_legend(figure, theme, models)
    return figure


def _best(rows: Sequence[GroupRow], strategy: str, name: str) -> float:
    return max(row.metrics[name].mean for row in rows if row.strategy == strategy)


def draw_fairness(theme: Theme, results: Results) -> Figure:
    """Draw the strategies of each model in the planes of accuracy and fairness: a line of two panels a model."""
    k, models = middle_cutoff(results.cutoffs), [model.name for model in results.models]
    needed = {f"ndcg@{k}", f"min_max@{k}"}
    rows = [row for row in _group_rows(results, results.usual) if needed <= row.metrics.keys()]
    planes = [_service(rows, k), (f"min/max utility of {k} tracks", lambda row: row.metrics[f"min_max@{k}"])]
    figure, axes = subplots(len(models), 2, _height(rows) * len(models))
    for axis, (model, (title, fairness)) in zip(axes, product(models, planes), strict=True):
        shown = [row for row in rows if row.model == model]
        accuracy = [row.metrics[f"ndcg@{k}"] for row in shown]
        if shown:
            draw_plane(axis, theme, theme.colour(models.index(model)), shown, accuracy, [fairness(r) for r in shown])
        axis.set_title(model)
        axis.set_xlabel(f"mean nDCG@{k} of the members")
        axis.set_ylabel(title)
    return figure


def _service(rows: Sequence[GroupRow], k: int) -> tuple[str, Callable[[GroupRow], Estimate]]:
    """Return how well the members with least are served: what it is called, and of which row it is how much.

    With little held out the worst served member of every group may have nothing. Then it is the share of members who
    have something.
    """
    if any(row.metrics[f"min_ndcg@{k}"].mean > 0 for row in rows):
        return f"nDCG@{k} of the worst served", lambda row: row.metrics[f"min_ndcg@{k}"]
    return f"members with a hit among {k}", lambda row: _rest(row.metrics[f"zero_recall@{k}"])


def _rest(share: Estimate) -> Estimate:
    low, high = (None if end is None else 1 - end for end in (share.high, share.low))
    return share.model_copy(update={"mean": 1 - share.mean, "low": low, "high": high})


def _height(rows: Sequence[GroupRow]) -> float:
    """Return inches enough for the names of all strategies one above the other."""
    return max(2.6, 0.17 * len({row.strategy for row in rows}) + 0.7)


def draw_plane(
    axis: Axes,
    theme: Theme,
    colour: str,
    rows: Sequence[GroupRow],
    across: Sequence[Estimate],
    up: Sequence[Estimate],
) -> None:
    """Draw a point with intervals for each row, its name to the right of the panel at the end of a line."""
    means = [e.mean for e in up]
    axis.errorbar(
        [e.mean for e in across], means, whiskers(up), whiskers(across),
        fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.35,
    )  # fmt: skip
    axis.set_xlim(_limits(across))
    axis.set_ylim(_limits(up))
    bottom, top = axis.get_ylim()
    heights = spread_out([(mean - bottom) / (top - bottom) for mean in means], 1 / max(_NAMES, len(rows)))
    for row, point, mean, height in zip(rows, across, means, heights, strict=True):
        axis.plot(point.mean, mean, "o", ms=4.5, color=colour)
        if row.default:
            axis.plot(point.mean, mean, "o", ms=9.5, mfc="none", mec=theme.ink, mew=1)
        name_at_the_side(axis, theme, row.strategy, (point.mean, mean), height, bold=row.default)


def _limits(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return what shows all intervals with a margin, a hundredth at least: figures that are all alike are a point."""
    low, high = min(e.ends[0] for e in estimates), max(e.ends[1] for e in estimates)
    reach = max(high - low, 0.01)
    return low - 0.05 * reach, high + 0.05 * reach


def draw_sessions(theme: Theme, results: Results) -> Figure:
    """Draw how even a session is by the end of each playlist: a panel a model, a line a strategy."""
    models, cohort = [model.name for model in results.models], results.group_tables[0][0]
    rows = [row for row in results.sessions if row.cohort == cohort]
    lines = (len(models) + 1) // 2
    figure, axes = subplots(lines, 2, _height(rows) * lines)
    for place, (axis, model) in enumerate(zip(axes, models, strict=False)):
        _draw_evenness(axis, theme, theme.colour(place), [row for row in rows if row.model == model])
        axis.set_title(model)
    for axis in axes[len(models) :]:
        axis.remove()
    return figure


def _draw_evenness(axis: Axes, theme: Theme, colour: str, rows: Sequence[GroupRow]) -> None:
    """Draw a line for each strategy, that of the model as it is served in colour and with its interval."""
    last = SESSION_CUTOFFS[-1]
    ends = [row.metrics[f"min_max@{last}"].mean for row in rows]
    for row, end, height in zip(rows, ends, spread_out(ends, 1 / max(_NAMES, len(rows))), strict=True):
        estimates = [row.metrics[f"min_max@{k}"] for k in SESSION_CUTOFFS]
        means = [e.mean for e in estimates]
        if row.default:
            axis.plot(SESSION_CUTOFFS, means, "-", lw=2, color=colour, zorder=3)
            lows, highs = zip(*(e.ends for e in estimates), strict=True)
            axis.fill_between(SESSION_CUTOFFS, lows, highs, color=colour, alpha=0.18, lw=0)
        else:
            axis.plot(SESSION_CUTOFFS, means, "-", lw=1, color=theme.ink, alpha=0.4)
        name_at_the_side(axis, theme, row.strategy, (last, end), height, bold=row.default)
    axis.set_ylim(0, 1)
    axis.set_xticks(SESSION_CUTOFFS)
    axis.set_xlabel("tracks played in this session")
    axis.set_ylabel("min/max utility so far")
