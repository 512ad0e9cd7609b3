"""Other shapes of fair_share beside the one that serves: how sharp a share is, and how far the list is looked ahead.

    TUTTI_DATA=... python -m benchmarks.fair_share_shapes

Groups of 2, 4 and 8, random, similar and divergent, nine cells, of ml-1m (learned from the train file, judged by the
valid file) and of playlists-2018 (rows split at random, judged by validation): choose with these, never with test.
What a member has heard is worth nothing to them (`discovery`), or comes for nobody (`--protocol new`). Figures are
means over all groups; differences are to the shape that serves, with the t of the paired test.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from benchmarks import group_strategies, softmax
from service.core.artifacts import ArtifactStore
from service.core.calibration import Calibration
from service.core.strategies.fair_share import OFFSET, REFERENCE_LENGTH
from training.__main__ import main as run_command
from training.bootstrap import Difference, differences
from training.evaluate.cohorts import drawn_cohorts
from training.evaluate.group_metrics import GroupTruth, judge_groups
from training.evaluate.held_out import HeldOut, Protocol, known_to_all
from training.evaluate.playlists import truth_of
from training.evaluate.subject import Subject
from training.groups import GROUP_TYPES, Group, Listeners
from training.metrics import Column

RESULTS: Final = Path(__file__).parent / "results" / "fair_share_shapes.json"
SIZES: Final = (2, 4, 8)
K: Final = 20
METRICS: Final = {"ndcg": "nDCG", "min_ndcg": "worst", "zero_recall": "zRec"}
PROMISING: Final = 1500
"""Tracks of a group that take part, those with the highest sum of values."""

Floats = NDArray[np.float64]


class Shape(NamedTuple):
    """What a track is worth to members, before their own best list is made to add up to 1."""

    values: Callable[[Calibration, Floats], Floats]
    """Of the members' calibration and their relevance (members, tracks)."""
    offset: float = OFFSET
    """Added to what a member has; the smaller, the more a first track counts."""


def power(exponent: float) -> Shape:
    """Return relevance to a power."""
    return Shape(lambda _, relevance: relevance**exponent)


def cube_from(quantile: float) -> Shape:
    """Return the cube of relevance that is 0 up to a quantile of a member's own scores."""

    def values(calibration: Calibration, relevance: Floats) -> Floats:
        rank = calibration.ranks[-1] * (1 - quantile)
        floor = calibration.of_relevance().scores[:, np.searchsorted(calibration.ranks, rank)]
        cubes: Floats = np.maximum(relevance - floor[:, None], 0) ** 3
        return cubes

    return Shape(values)


def own_sharpness(calibration: Calibration, relevance: Floats) -> Floats:
    """Return relevance to a power for each member, by the rule that gives a model its own."""
    members = np.arange(len(relevance))
    powers = [calibration.of(members[place : place + 1]).sharpness for place in members]
    values: Floats = relevance ** np.array(powers)[:, None]
    return values


SHAPES: Final = {
    "power 2": power(2),
    "power 2.5": power(2.5),
    "power 3": power(3),
    "power 6": power(6),
    "cube from the 90 % quantile": cube_from(0.9),
    "a power for each member": Shape(own_sharpness),
    "power 3, offset 2/K": Shape(power(3).values, 2 / REFERENCE_LENGTH),
}


def ranked(subject: Subject, truth: GroupTruth, shapes: Sequence[Shape]) -> NDArray[np.int64]:
    """Return the list of every group by every shape, (shapes, groups, K)."""
    return np.stack([_lists(subject, truth, group, shapes) for group in truth.groups], axis=1)


def _lists(subject: Subject, truth: GroupTruth, group: Group, shapes: Sequence[Shape]) -> NDArray[np.int64]:
    """Return the lists (shapes, K) of one group."""
    rows = subject.model.users.rows(group.user_ids)
    calibration = subject.model.calibration.of(rows)
    with torch.inference_mode():
        relevance = calibration.relevance(subject.score(torch.from_numpy(rows))).double().numpy()
    allowed = np.setdiff1d(np.arange(relevance.shape[1]), truth.excluded(group))
    lists = []
    for shape in shapes:
        values = shape.values(calibration, relevance)
        for line, heard in zip(values, truth.heard(group), strict=True):
            line[heard] = 0
        values = values[:, allowed]
        best = np.partition(values, -REFERENCE_LENGTH, axis=1)[:, -REFERENCE_LENGTH:].sum(axis=1, keepdims=True)
        shares = np.divide(values, best, out=np.zeros_like(values), where=best > 0)
        lists.append(allowed[greedy(shares, shape.offset)])
    return np.stack(lists)


def greedy(shares: Floats, offset: float) -> NDArray[np.int64]:
    """Return the K tracks, of shares (members, tracks), that add most to the sum of log shares one after another."""
    promising = np.argsort(-shares.sum(axis=0), kind="stable")[:PROMISING]
    shares, had = shares[:, promising], np.full((len(shares), 1), offset)
    barred = np.zeros(len(promising))
    places = np.empty(K, dtype=np.int64)
    for step in range(K):
        places[step] = (np.prod(1 + shares / had, axis=0) + barred).argmax()
        had = had + shares[:, [places[step]]]
        barred[places[step]] = -np.inf
    return promising[places]


def trained_on_playlists(model: str) -> tuple[Path, ArtifactStore]:
    """Return the random split of playlists-2018, and where a model is that was trained on it with its defaults."""
    data = Path("data/random-2018")
    softmax.prepared(Path(os.environ["TUTTI_DATA"]))
    store = ArtifactStore(data / "models")
    if model not in store.names():
        run_command(["train", model, "--data", str(data), "--models", str(store.root), "--seed", "0"])
    return data, store


def trained_on_ml_1m(model: str) -> tuple[Path, ArtifactStore]:
    """Return the train file of ml-1m with the valid file to judge by, and where a model is that learned from it."""
    return group_strategies.prepared("validation"), group_strategies.trained("validation", model)


class Source(NamedTuple):
    """Data, and the models that are compared on it."""

    trained: Callable[[str], tuple[Path, ArtifactStore]]
    models: tuple[str, ...]


DATA: Final = {
    "playlists-2018": Source(trained_on_playlists, ("softmax", "wmf", "ease", "item_knn")),
    "ml-1m": Source(trained_on_ml_1m, ("softmax", "wmf", "ease", "item_knn", "blend")),
}


class Row(BaseModel):
    """One shape on one model."""

    data: str
    model: str
    sharpness: int
    """The power that serves this model."""
    shape: str
    groups: int
    figures: dict[str, float]
    minus_served: dict[str, Difference]


def compared(data: str, model: str, groups: int, protocol: Protocol, seed: int) -> list[Row]:
    """Return every shape on a model, the one that serves first, over so many groups a cell."""
    folder, store = DATA[data].trained(model)
    held_out, subject = HeldOut.load(folder, "validation"), Subject.of(store.load(model))
    listeners = Listeners.of(known_to_all(held_out.users("new"), [subject.model.users]), held_out.train)
    drawn = [group for cell in drawn_cohorts(listeners, GROUP_TYPES, SIZES, groups, seed) for group in cell.groups]
    truth = truth_of(held_out, subject, drawn, protocol)
    sharpness = subject.model.calibration.sharpness
    shapes = {f"as served, power {sharpness}": power(sharpness), **SHAPES}
    judged = judge_groups(subject.model, truth, ranked(subject, truth, list(shapes.values())), [K])
    figures: list[dict[str, Column]] = [
        {name: judged[f"{name}@{K}"][place] for name in METRICS} for place in range(len(shapes))
    ]
    return [
        Row(
            data=data,
            model=model,
            sharpness=sharpness,
            shape=shape,
            groups=len(drawn),
            figures={name: float(np.nanmean(column)) for name, column in columns.items()},
            minus_served=differences(columns, figures[0], seed),
        )
        for shape, columns in zip(shapes, figures, strict=True)
    ]


def shown(row: Row) -> str:
    """Return a row as a line."""
    gaps = [f"{gap.mean:+.4f} ({0 if gap.t is None else gap.t:+.1f})" for gap in row.minus_served.values()]
    figures = [
        f"{METRICS[name]} {figure:.4f} {gap:>15}" for (name, figure), gap in zip(row.figures.items(), gaps, strict=True)
    ]
    return f"{row.data:15}{row.model:10}{row.shape:29}" + "   ".join(figures)


def main() -> None:
    """Run all, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--model", nargs="+", help="in place of those that are compared by default")
    parser.add_argument("--protocol", choices=["discovery", "new"], default="discovery")
    parser.add_argument("--n-groups", type=int, default=40, help="in each cell")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if "TUTTI_DATA" not in os.environ:
        print("fair_share_shapes: TUTTI_DATA is not set, left out", file=sys.stderr)
        return
    rows = []
    for data in arguments.data:
        for model in arguments.model or DATA[data].models:
            rows += compared(data, model, arguments.n_groups, arguments.protocol, arguments.seed)
            for row in rows[-len(SHAPES) - 1 :]:
                print(shown(row), flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps([row.model_dump() for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
