"""What every figure is drawn on: size, colours of both themes, and how intervals, legends and names look."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from training.bootstrap import Interval

WIDTH: Final = 8.0
"""Inches."""

DOTS: Final = 160
"""Dots an inch: sharp on a screen of double density."""


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
    palette=("#0072b2", "#d98200", "#009e73", "#c25b97", "#56a5d8", "#b34a00", "#6e737b", "#8c7b00"),
    heat=("#f4f6f8", "#9fc6e3", "#0072b2", "#04213a"),
)
DARK: Final = Theme(
    page="#1b1e23",
    ink="#e4e5e7",
    faint="#3d424a",
    palette=("#5ab4f0", "#f5b83d", "#3ecfa0", "#e79ac7", "#a9d8f7", "#f0824a", "#a4a9b1", "#d9cf55"),
    heat=("#23272d", "#1f5f8f", "#5ab4f0", "#f2f9ff"),
)


Draw = Callable[[Theme], Figure]


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
            "axes.formatter.useoffset": False,
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


def subplots(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel())


def whiskers(estimates: Sequence[Interval]) -> NDArray[np.float64]:
    """Return how far each interval reaches to the left and right of its mean, (2, n); nowhere without one."""
    reach = [(e.mean - low, high - e.mean) for e in estimates for low, high in [e.ends]]
    return np.array(reach).clip(0).T


def add_legend(figure: Figure, theme: Theme, models: Sequence[str]) -> None:
    """Say above a figure which colour is which model."""
    handles = [Line2D([], [], marker="o", ls="", color=theme.colour(place)) for place in range(len(models))]
    figure.legend(
        handles, models, loc="outside upper left", ncols=min(8, len(models)), handletextpad=0.1, columnspacing=1.2
    )


def spread_out(heights: Sequence[float], apart: float) -> list[float]:
    """Return heights between 0 and 1 in the same order, so far apart, each near where it was.

    There is room for them: `apart` is at most 1 / len(heights).
    """
    order = np.argsort(heights, kind="stable")
    steps = np.arange(len(order)) * apart
    wanted = np.asarray(heights, dtype=float)[order] - steps
    pushed_up, pushed_down = np.maximum.accumulate(wanted), np.minimum.accumulate(wanted[::-1])[::-1]
    placed = np.clip((pushed_up + pushed_down) / 2 + steps, steps, 1 - steps[::-1])
    spread = np.empty_like(placed)
    spread[order] = placed
    return [float(height) for height in spread]


def name_at_the_side(
    axis: Axes, theme: Theme, name: str, point: tuple[float, float], height: float, *, bold: bool
) -> None:
    """Write a name to the right of a panel, at a height between 0 and 1, with a line to its point."""
    axis.annotate(
        name.replace("_", " "),
        point,
        xytext=(1.04, height),
        textcoords="axes fraction",
        annotation_clip=False,
        va="center",
        fontsize=7,
        fontweight="bold" if bold else "normal",
        arrowprops={"arrowstyle": "-", "lw": 0.5, "color": theme.faint, "shrinkA": 1, "shrinkB": 2},
    )
