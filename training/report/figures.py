"""The figures of a report, each drawn twice: for a light page and for a dark one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from service.core.artifacts import Artifact
from training.evaluate import Evaluation
from training.evaluate.results import ColdStart, Results, middle_cutoff
from training.evaluate.subject import Subject
from training.metrics import Column, times_recommended
from training.report.canvas import DARK, LIGHT, Draw, Theme, add_legend, render, subplots, whiskers
from training.report.group_figures import draw_fairness, draw_groups, draw_sessions

USERS_SHOWN: Final = 60
TRACKS_SHOWN: Final = 160
"""Size of the heat map."""


@dataclass(frozen=True)
class Picture:
    """A figure in both themes, PNG."""

    light: bytes
    dark: bytes


def pictures(evaluation: Evaluation) -> dict[str, Picture]:
    """Return every figure that the evaluation has something to show for, by name."""
    results, subjects = evaluation.results, evaluation.subjects
    figures: dict[str, Draw] = {"heat-map": partial(draw_heat_map, panels=heat_map(subjects))}
    if results.users:
        figures["listeners"] = partial(draw_listeners, results=results)
        figures["popularity"] = partial(draw_popularity, evaluation=evaluation)
    if results.groups:
        figures["groups"] = partial(draw_groups, results=results)
        figures["fairness"] = partial(draw_fairness, results=results)
    if results.sessions:
        figures["sessions"] = partial(draw_sessions, results=results)
    if results.cold_start is not None:
        figures["guests"] = partial(draw_guests, guests=results.cold_start)
    curves = [subject.artifact for subject in subjects if _losses(subject.artifact)]
    if curves:
        figures["loss"] = partial(draw_losses, artifacts=curves)
    factors = [subject for subject in subjects if "item_factors" in subject.artifact.arrays]
    if factors:
        figures["norms"] = partial(draw_norms, subjects=factors)
    return {name: Picture(render(draw, LIGHT), render(draw, DARK)) for name, draw in figures.items()}


def draw_listeners(theme: Theme, results: Results) -> Figure:
    """Draw a panel of bars for each metric of single listeners, one bar a model."""
    k = middle_cutoff(results.cutoffs)
    rows = [row for row in results.users if row.protocol == "new" and row.metrics]
    names = ["ndcg", "precision", "recall", "map", "mrr", "hit_rate"]
    titles = ["nDCG", "precision", "recall", "MAP", "MRR", "hit rate"]
    figure, axes = subplots(2, 3, 0.9 + 0.55 * max(2, len(rows)))
    places = list(range(len(rows)))
    for axis, name, title in zip(axes, names, titles, strict=True):
        estimates = [row.metrics[f"{name}@{k}"] for row in rows]
        means = [e.mean for e in estimates]
        colours = [theme.colour(place) for place in places]
        if rows:
            # Not so bright that the light intervals of the dark page fade on them.
            axis.barh(places, means, color=colours, height=0.68, alpha=0.65)
            axis.errorbar(
                means, places, xerr=whiskers(estimates), fmt="none", ecolor=theme.ink, elinewidth=1, capsize=2
            )
        for place, estimate in zip(places, estimates, strict=True):
            axis.annotate(f" {estimate.mean:.3f}", (estimate.ends[1], place), va="center", fontsize=8)
        axis.set_title(f"{title}@{k}")
        axis.set_yticks(places, [row.model for row in rows])
        axis.invert_yaxis()
        axis.set_xlim(0, 1.28 * max([e.ends[1] for e in estimates] or [1]) or 1)
        axis.grid(visible=False, axis="y")
        axis.tick_params(length=0)
    return figure


def draw_guests(theme: Theme, guests: ColdStart) -> Figure:
    """Draw what guests get against the tracks they name: in itself, and as a share of what known listeners get."""
    figure, (quality, share) = subplots(1, 2, 3.0)
    models = list(dict.fromkeys(point.model for point in guests.points))
    named = list(dict.fromkeys(point.liked for point in guests.points if point.liked.isdecimal()))
    for model in models:
        points = [point for point in guests.points if point.model == model and point.liked.isdecimal()]
        colour, places = theme.colour(models.index(model)), range(len(points))
        estimates = [point.quality for point in points]
        quality.errorbar(places, [e.mean for e in estimates], whiskers(estimates), fmt="o-", ms=4, color=colour)
        shares = [point.share for point in points if point.share is not None]
        if shares:
            share.errorbar(places, [s.mean for s in shares], whiskers(shares), fmt="o-", ms=4, color=colour)
    share.axhline(1, color=theme.ink, lw=0.8, ls="--")
    for axis in (quality, share):
        axis.set_xticks(range(len(named)), named)
        axis.set_xlabel("tracks that a guest likes")
        axis.set_ylim(bottom=0)
    quality.set_title(f"{guests.metric.replace('ndcg', 'nDCG')}")
    share.set_title("share of what known listeners get")
    add_legend(figure, theme, models)
    return figure


def draw_popularity(theme: Theme, evaluation: Evaluation) -> Figure:
    """Draw the share of recommendations against the share of the catalogue, for groups and for listeners."""
    models = [subject.name for subject in evaluation.subjects]
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
    figure, axes = subplots(1, 2, 3.8)
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
    add_legend(figure, theme, models)
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
    figure, axes = subplots((len(panels) + 1) // 2, 2, 1.75 * ((len(panels) + 1) // 2) + 0.3)
    colours = LinearSegmentedColormap.from_list("heat", theme.heat)
    for axis, (title, matrix) in zip(axes, panels, strict=False):
        image = axis.imshow(matrix, aspect="auto", cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.remove()
    scale = figure.colorbar(
        image, ax=axes[: len(panels)], location="bottom", pad=0.01, shrink=0.3, aspect=30, ticks=[0, 0.5, 1]
    )
    scale.outline.set_visible(False)
    scale.ax.tick_params(length=0)
    return figure


def _losses(artifact: Artifact) -> list[str]:
    """Return the names of the curve's losses, none for a model that was not trained in epochs."""
    curve = artifact.manifest.curve
    return [name for name in curve[0] if name.endswith("loss")] if len(curve) > 1 else []


def draw_losses(theme: Theme, artifacts: Sequence[Artifact]) -> Figure:
    """Draw the loss curves of each model in its own panel."""
    figure, axes = subplots((len(artifacts) + 1) // 2, 2, 2.5 * ((len(artifacts) + 1) // 2))
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
    figure, axes = subplots(len(subjects), 2, 2.3 * len(subjects))
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
