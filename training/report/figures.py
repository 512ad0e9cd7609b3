"""The figures of a report, each drawn twice: for a light page and for a dark one."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from string import ascii_uppercase
from typing import Final

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from service.core.artifacts import Artifact
from training.bootstrap import Estimate
from training.evaluate import Evaluation
from training.evaluate.held_out import Protocol
from training.evaluate.results import GroupRow, Results
from training.evaluate.subject import Subject
from training.metrics import Column, times_recommended

WIDTH: Final = 8.0
"""Inches."""

DOTS: Final = 160
"""Dots an inch: sharp on a screen of double density."""

PROTOCOL_TITLES: Final[dict[Protocol, str]] = {
    "all": "everything may be recommended",
    "new": "only what was not heard before",
}

USERS_SHOWN: Final = 60
TRACKS_SHOWN: Final = 160
"""Size of the heat map."""


@dataclass(frozen=True)
class Theme:
    """Colours of a page."""

    page: str
    ink: str
    faint: str
    palette: tuple[str, ...]
    """One a model, told apart by colour-blind readers too (after Okabe & Ito)."""
    heat: tuple[str, ...]
    """From nothing to much."""

    def colour(self, place: int) -> str:
        """Return the colour of a model by its place in the evaluation."""
        return self.palette[place % len(self.palette)]


LIGHT: Final = Theme(
    page="#ffffff",
    ink="#23262b",
    faint="#d5d8dc",
    palette=("#0072b2", "#d98200", "#009e73", "#c25b97", "#56a5d8", "#b34a00"),
    heat=("#f4f6f8", "#9fc6e3", "#0072b2", "#04213a"),
)
DARK: Final = Theme(
    page="#1b1e23",
    ink="#e4e5e7",
    faint="#3d424a",
    palette=("#5ab4f0", "#f5b83d", "#3ecfa0", "#e79ac7", "#a9d8f7", "#f0824a"),
    heat=("#23272d", "#1f5f8f", "#5ab4f0", "#f2f9ff"),
)


@dataclass(frozen=True)
class Picture:
    """A figure in both themes, PNG."""

    light: bytes
    dark: bytes


Draw = Callable[[Theme], Figure]


def pictures(evaluation: Evaluation) -> dict[str, Picture]:
    """Return every figure that the evaluation has something to show for, by name."""
    results, subjects = evaluation.results, evaluation.subjects
    figures: dict[str, Draw] = {
        "listeners": partial(draw_listeners, results=results),
        "groups": partial(draw_groups, results=results),
        "fairness": partial(draw_fairness, results=results),
        "popularity": partial(draw_popularity, evaluation=evaluation),
        "heat-map": partial(draw_heat_map, panels=heat_map(subjects)),
    }
    curves = [subject.artifact for subject in subjects if _losses(subject.artifact)]
    if curves:
        figures["loss"] = partial(draw_losses, artifacts=curves)
    factors = [subject for subject in subjects if "item_factors" in subject.artifact.arrays]
    if factors:
        figures["norms"] = partial(draw_norms, subjects=factors)
    return {name: Picture(render(draw, LIGHT), render(draw, DARK)) for name, draw in figures.items()}


def middle_cutoff(results: Results) -> int:
    """Return the length of list that is shown where there is room for only one."""
    return results.cutoffs[len(results.cutoffs) // 2]


def render(draw: Draw, theme: Theme) -> bytes:
    """Return a figure as PNG."""
    style = mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.titlesize": 9.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.edgecolor": theme.faint,
            "axes.grid": True,
            "grid.color": theme.faint,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "xtick.color": theme.ink,
            "ytick.color": theme.ink,
            "text.color": theme.ink,
            "axes.labelcolor": theme.ink,
            "axes.titlecolor": theme.ink,
            "axes.facecolor": theme.page,
            "figure.facecolor": theme.page,
            "savefig.facecolor": theme.page,
            "figure.constrained_layout.use": True,
        }
    )
    with style, io.BytesIO() as file:
        draw(theme).savefig(file, format="png", dpi=DOTS)
        return file.getvalue()


def _panels(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel())


def _whiskers(estimates: Sequence[Estimate]) -> NDArray[np.float64]:
    """Return how far each interval reaches to the left and right of its mean, (2, n)."""
    return np.array([[max(0, e.mean - e.low), max(0, e.high - e.mean)] for e in estimates]).T


def draw_listeners(theme: Theme, results: Results) -> Figure:
    """Draw a panel of bars for each metric of single listeners, one bar a model."""
    k = middle_cutoff(results)
    rows = [row for row in results.users if row.protocol == "new" and row.metrics]
    names = ["ndcg", "precision", "recall", "map", "mrr", "hit_rate"]
    titles = ["nDCG", "precision", "recall", "MAP", "MRR", "hit rate"]
    figure, axes = _panels(2, 3, 0.9 + 0.55 * max(2, len(rows)))
    places = list(range(len(rows)))
    for axis, name, title in zip(axes, names, titles, strict=True):
        estimates = [row.metrics[f"{name}@{k}"] for row in rows]
        means = [e.mean for e in estimates]
        colours = [theme.colour(place) for place in places]
        if rows:
            axis.barh(places, means, color=colours, height=0.68)
            axis.errorbar(
                means, places, xerr=_whiskers(estimates), fmt="none", ecolor=theme.ink, elinewidth=1, capsize=2
            )
        for place, estimate in zip(places, estimates, strict=True):
            axis.annotate(f" {estimate.mean:.3f}", (estimate.high, place), va="center", fontsize=8)
        axis.set_title(f"{title}@{k}")
        axis.set_yticks(places, [row.model for row in rows])
        axis.invert_yaxis()
        axis.set_xlim(0, 1.28 * max([e.high for e in estimates] or [1]) or 1)
        axis.grid(visible=False, axis="y")
        axis.tick_params(length=0)
    return figure


def _group_rows(results: Results, protocol: Protocol) -> list[GroupRow]:
    return [row for row in results.main_groups if row.protocol == protocol]


def _models(results: Results) -> list[str]:
    return [model.name for model in results.models]


def draw_groups(theme: Theme, results: Results) -> Figure:
    """Draw group precision as dots with intervals: a line a strategy, a colour a model, a panel a protocol."""
    name, models = f"precision@{middle_cutoff(results)}", _models(results)
    rows = _group_rows(results, "all")
    order = sorted({row.strategy for row in rows}, key=lambda s: -_best(rows, s, name))
    figure, axes = _panels(1, 2, 1.2 + 0.2 * len(order) * (1 + 0.35 * len(models)))
    for axis, protocol in zip(axes, PROTOCOL_TITLES, strict=True):
        for row in _group_rows(results, protocol):
            estimate = row.metrics[name]
            place = order.index(row.strategy) + 0.7 * ((models.index(row.model) + 0.5) / len(models) - 0.5)
            colour = theme.colour(models.index(row.model))
            axis.errorbar(
                estimate.mean, place, xerr=_whiskers([estimate]), fmt="o", color=colour, ms=4.5, elinewidth=1.4
            )
            if row.default:
                axis.plot(estimate.mean, place, "o", ms=9.5, mfc="none", mec=theme.ink, mew=1)
        axis.set_title(f"{protocol}: {name}")
        axis.set_yticks(range(len(order)), [strategy.replace("_", " ") for strategy in order])
        axis.set_ylim(len(order) - 0.4, -0.6)
        axis.set_xlim(left=0)
        axis.tick_params(length=0)
    axes[1].set_yticklabels([])
    _legend(figure, theme, models)
    return figure


def _best(rows: Sequence[GroupRow], strategy: str, name: str) -> float:
    return max(row.metrics[name].mean for row in rows if row.strategy == strategy)


def _legend(figure: Figure, theme: Theme, models: Sequence[str]) -> None:
    handles = [Line2D([], [], marker="o", ls="", color=theme.colour(place)) for place in range(len(models))]
    figure.legend(handles, models, loc="outside upper left", ncols=min(6, len(models)), handletextpad=0.1)


def draw_fairness(theme: Theme, results: Results) -> Figure:
    """Draw each model and strategy in the plane of mean member nDCG and members who get something."""
    k, models = middle_cutoff(results), _models(results)
    strategies = sorted({row.strategy for row in results.groups})
    figure, axes = _panels(1, 2, 4.6)
    for axis, protocol in zip(axes, PROTOCOL_TITLES, strict=True):
        for row in _group_rows(results, protocol):
            if f"ndcg@{k}" in row.metrics:
                x, y = row.metrics[f"ndcg@{k}"].mean, 1 - row.metrics[f"zero_recall@{k}"].mean
                marker, colour = _letter(strategies.index(row.strategy)), theme.colour(models.index(row.model))
                axis.plot(x, y, marker=marker, color=colour, ms=7, mew=0.3)
                if row.default:
                    axis.plot(x, y, "o", ms=15, mfc="none", mec=theme.ink, mew=1)
        axis.set_title(f"{protocol}: {PROTOCOL_TITLES[protocol]}")
        axis.set_xlabel(f"mean nDCG@{k} of the members")
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.margins(0.12)
    axes[0].set_ylabel(f"members with a hit among {k}")
    shapes = [
        Line2D([], [], marker=_letter(place), ls="", color=theme.ink, mew=0.3) for place in range(len(strategies))
    ]
    names = [strategy.replace("_", " ") for strategy in strategies]
    figure.legend(shapes, names, loc="outside lower center", ncols=5, handletextpad=0.1)
    _legend(figure, theme, models)
    return figure


def _letter(place: int) -> str:
    """Return a marker that is a letter: there are more strategies than shapes that can be told apart."""
    return rf"$\mathsf{{{ascii_uppercase[place % len(ascii_uppercase)]}}}$"


def draw_popularity(theme: Theme, evaluation: Evaluation) -> Figure:
    """Draw the share of recommendations against the share of the catalogue, for groups and for listeners."""
    models = _models(evaluation.results)
    served = [
        (table.subject, times_recommended(table.lists, len(table.subject.model.tracks)))
        for table in evaluation.groups
        if table.protocol == "all" and table.strategy == table.subject.model.default_strategy
    ]
    ranked = [
        (table.subject, times_recommended(table.lists, len(table.subject.model.tracks)))
        for table in evaluation.users
        if table.protocol == "new"
    ]
    figure, axes = _panels(1, 2, 3.8)
    titles = ["playlists as served (all)", "rankings of unheard tracks (new)"]
    for axis, title, lists in zip(axes, titles, [served, ranked], strict=True):
        for subject, times in lists:
            if times.any():
                axis.plot(*popularity_curve(subject, times), color=theme.colour(models.index(subject.name)), lw=1.8)
        heard = evaluation.subjects[0]
        axis.plot(*popularity_curve(heard, heard.model.history.listeners), color=theme.ink, lw=1, ls="--")
        axis.plot([0, 1], [0, 1], color=theme.ink, lw=0.8, ls=":")
        axis.set_title(title)
        axis.set_xlabel("tracks, most popular first")
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1.02)
    axes[0].set_ylabel("share of recommendations")
    _legend(figure, theme, models)
    return figure


def popularity_curve(subject: Subject, times: NDArray[np.int64]) -> tuple[Column, Column]:
    """Return shares of the catalogue, most popular tracks first, and shares of all times that fall on them."""
    falling = times[subject.model.history.by_popularity].cumsum()
    catalogue = np.arange(len(times) + 1) / len(times)
    return catalogue, np.concatenate([[0.0], falling / max(1, falling[-1])])


@torch.inference_mode()
def heat_map(subjects: Sequence[Subject]) -> list[tuple[str, Column]]:
    """Return titled matrices (users, tracks) of 0..1: what was heard, then each model's relevance.

    Rows and columns are those of the first model, in the order of their angle in the plane of the second and third
    singular vectors of what it believes; the first pair is popularity.
    """
    first = subjects[0].model
    tracks = first.history.by_popularity[:TRACKS_SHOWN]
    popular = np.isin(first.history.rows, tracks) & (first.history.scores > 0)
    owner = np.repeat(np.arange(first.history.users), np.diff(first.history.indptr))
    users = np.argsort(-np.bincount(owner[popular], minlength=first.history.users), kind="stable")[:USERS_SHOWN]
    heard = np.zeros((len(users), len(tracks)))
    for line, user in zip(heard, users.tolist(), strict=True):
        line[np.isin(tracks, first.history.tracks_of(user)[first.history.scores_of(user) > 0])] = 1
    user_ids, track_ids = [first.users.ids[row] for row in users], [first.tracks.ids[row] for row in tracks]
    beliefs = [(subject.name, _relevance(subject, user_ids, track_ids)) for subject in subjects]
    clearest = next(
        (b for s, (_, b) in zip(subjects, beliefs, strict=True) if s.model.default_strategy != "shared_first"), heard
    )
    left, _, right = np.linalg.svd(clearest, full_matrices=False)
    rows, columns = _by_angle(left), _by_angle(right.T)
    return [(title, matrix[rows][:, columns]) for title, matrix in [("heard in training", heard), *beliefs]]


def _by_angle(vectors: Column) -> NDArray[np.int64]:
    """Return the order of points around the origin of the plane of their second and third coordinates."""
    if vectors.shape[1] < 3:
        return np.argsort(vectors[:, -1])
    return np.argsort(np.arctan2(vectors[:, 2], vectors[:, 1]))


def _relevance(subject: Subject, user_ids: Sequence[str], track_ids: Sequence[str]) -> Column:
    """Return relevance (users, tracks), 0 where the model knows the user or the track not."""
    users, tracks = subject.model.users.rows(user_ids), subject.model.tracks.rows(track_ids)
    known = torch.from_numpy(users.clip(0))
    relevance = subject.model.calibration.of(known.numpy()).relevance(subject.score(known)).double().numpy()
    return relevance[:, tracks.clip(0)] * (users >= 0)[:, None] * (tracks >= 0)


def draw_heat_map(theme: Theme, panels: Sequence[tuple[str, Column]]) -> Figure:
    """Draw matrices below one another, the same listeners and tracks in all."""
    figure, axes = _panels((len(panels) + 1) // 2, 2, 1.75 * ((len(panels) + 1) // 2) + 0.3)
    colours = LinearSegmentedColormap.from_list("heat", theme.heat)
    for axis, (title, matrix) in zip(axes, panels, strict=False):
        axis.imshow(matrix, aspect="auto", cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.remove()
    return figure


def _losses(artifact: Artifact) -> list[str]:
    """Return the names of the curve's losses, none for a model that was not trained in epochs."""
    curve = artifact.manifest.curve
    return [name for name in curve[0] if name.endswith("loss")] if len(curve) > 1 else []


def draw_losses(theme: Theme, artifacts: Sequence[Artifact]) -> Figure:
    """Draw the loss curves of each model in its own panel."""
    figure, axes = _panels((len(artifacts) + 1) // 2, 2, 2.5 * ((len(artifacts) + 1) // 2))
    for axis, artifact in zip(axes, artifacts, strict=False):
        curve = artifact.manifest.curve
        for place, name in enumerate(_losses(artifact)):
            points = [(entry.get("epoch", n), entry[name]) for n, entry in enumerate(curve, 1) if name in entry]
            axis.plot(
                *zip(*points, strict=True), "o-", ms=3, lw=1.6, color=theme.colour(place), label=name.replace("_", " ")
            )
        axis.set_title(artifact.manifest.name)
        axis.set_xlabel("epoch")
        axis.legend()
    for axis in axes[len(artifacts) :]:
        axis.remove()
    return figure


def draw_norms(theme: Theme, subjects: Sequence[Subject]) -> Figure:
    """Draw how long embeddings are, a line of two panels a model."""
    figure, axes = _panels(len(subjects), 2, 2.3 * len(subjects))
    for place, subject in enumerate(subjects):
        spread, popularity = axes[2 * place : 2 * place + 2]
        norms = {name: np.linalg.norm(subject.artifact.arrays[f"{name}_factors"], axis=1) for name in ("user", "item")}
        bins = np.linspace(0, max(1e-9, *(norm.max() for norm in norms.values())), 40)
        for colour, (name, norm) in zip(theme.palette, norms.items(), strict=False):
            label = {"user": "listeners", "item": "tracks"}[name]
            spread.hist(norm, bins=bins.tolist(), density=True, color=colour, alpha=0.65, label=label)
        spread.set_title(f"{subject.name}: length")
        spread.set_yticks([])
        spread.set_xlim(left=0)
        spread.legend()
        popularity.plot(
            subject.model.history.listeners,
            norms["item"],
            ".",
            ms=2.5,
            alpha=0.4,
            color=theme.palette[1],
            mec="none",
            rasterized=True,
        )
        popularity.set_xscale("symlog")
        popularity.set_title("length of a track by its listeners")
        popularity.set_ylim(bottom=0)
    return figure
