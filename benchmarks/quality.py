"""What the models are worth to single listeners: every figure of docs/results.md, with its interval.

    TUTTI_DATA=... python -m benchmarks.quality [playlists] [playlists-targets] [gowalla]

Parameters and the weights of blends come from validation data; the test split is read for the figures alone.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import process_time
from typing import Final, NamedTuple

import numba
import torch
from pydantic import JsonValue

from benchmarks.holdout_2018 import Of, prepared_holdout
from benchmarks.public_split import write_ends, write_split
from service.core.recommenders.blend import BlendPart
from training.bootstrap import estimates
from training.data import Pairs, PreparedData, load
from training.metrics import Score, Truth, rank_metrics
from training.models import ALGORITHMS
from training.models.algorithm import Algorithm, Fitted, Progress
from training.models.blend import Blend, Part
from training.served import served

RESULTS: Final = Path(__file__).parent / "results" / "quality.json"
SEED: Final = 0
METRICS: Final = ("map@10", "recall@20", "ndcg@20")
Row = dict[str, str | float]


class Contestant(NamedTuple):
    """A model to measure."""

    algorithm: str
    preset: str = "default"
    overrides: Mapping[str, JsonValue] = {}

    def make(self) -> Algorithm:
        """Return it with its parameters."""
        return ALGORITHMS[self.algorithm].preset(self.preset, self.overrides)


PLAYLISTS: Final = {
    "item_knn": Contestant("item_knn"),
    "wmf": Contestant("wmf"),
    "wmf, large": Contestant("wmf", "large"),
    "ease, plain": Contestant("ease", "original", {"regularization": 200.0}),
    "ease": Contestant("ease"),
}
PLAYLISTS_BLEND: Final = ("ease", "item_knn", "wmf, large")

GOWALLA: Final = {
    "item_knn": Contestant("item_knn", overrides={"shrinkage": 57.0}),
    "wmf": Contestant(
        "wmf",
        overrides={
            "unobserved_weight": 0.2,
            "regularization": 0.001,
            "popularity_exponent": 0.5,
            "length_exponent": 0.5,
        },
    ),
    "ease": Contestant("ease", overrides={"neighbourhood": 150}),
}
"""WMF and item-kNN as chosen on the ends of the histories; EASE has half its neighbourhood, to halve its time."""
GOWALLA_BLEND: Final = ("ease", "item_knn", "wmf")


def playlists(source: Path, of: Of) -> list[Row]:
    """Judge on a hold-out of playlists-2018; the blend's weights are chosen on its validation half."""
    data = prepared_holdout(source / "playlists-2018", of)
    fitted = fit_all(PLAYLISTS, data)
    weights, blend = blended(fitted, PLAYLISTS_BLEND, PLAYLISTS, data)
    entries = {**{name: (PLAYLISTS[name].make(), model) for name, model in fitted.items()}, "blend": blend}
    return [
        {
            "data": f"playlists-2018, {of}",
            "model": name,
            **measured(*entry, data),
            **(weights if name == "blend" else {}),
        }
        for name, entry in entries.items()
    ]


def gowalla(source: Path) -> list[Row]:
    """Judge on the test file after learning from the other two; the blend's weights come from the ends in train."""
    ends, test = Path("data/gowalla-ends"), Path("data/gowalla-test")
    write_ends(source / "gowalla", ends)
    write_split(source / "gowalla", test, "test")
    data = load(ends)
    weights, _ = blended(fit_all(GOWALLA, data, GOWALLA_BLEND), GOWALLA_BLEND, GOWALLA, data, metric="ndcg")
    data = load(test)
    fitted = fit_all(GOWALLA, data)
    _, blend = blended(fitted, GOWALLA_BLEND, GOWALLA, data, given=tuple(weights.values()))
    entries = {**{name: (GOWALLA[name].make(), model) for name, model in fitted.items()}, "blend": blend}
    return [
        {"data": "gowalla", "model": name, **measured(*entry, data), **(weights if name == "blend" else {})}
        for name, entry in entries.items()
    ]


def fit_all(
    contestants: Mapping[str, Contestant], data: PreparedData, names: Sequence[str] | None = None
) -> dict[str, Fitted]:
    """Return all models, or those that are named, fitted to the training split."""
    fitted = {}
    for name in names or contestants:
        before = process_time()
        model = contestants[name].make().fit(data, seed=SEED, device="cpu", progress=told(name))
        fitted[name] = Fitted(
            model.arrays, model.scoring, model.curve, {**model.metrics, "fit_cpu_s": process_time() - before}
        )
    return fitted


def told(name: str) -> Progress:
    """Return what says on stderr how far a fit is."""

    def tell(done: int, total: int, note: str = "") -> None:
        print(f"\r{name} {100 * done // total:3} % {note:30}", end="" if done < total else "\n", file=sys.stderr)

    return tell


def blended(
    fitted: Mapping[str, Fitted],
    names: Sequence[str],
    contestants: Mapping[str, Contestant],
    data: PreparedData,
    *,
    metric: str = "map",
    given: tuple[float, ...] | None = None,
) -> tuple[dict[str, float], tuple[Algorithm, Fitted]]:
    """Return the weights of a blend by the names of its parts, and the blend; chosen on validation unless given."""
    parts = [
        Part(
            BlendPart(name=name, kind=contestants[name].make().kind, scoring=dict(fitted[name].scoring), weight=1),
            fitted[name].arrays,
        )
        for name in names
    ]
    algorithm = Blend(parts=tuple(names), metric=metric, weights=given).of(parts)
    before = process_time()
    model = algorithm.fit(data, seed=SEED, device="cpu", progress=told("blend"))
    seconds = process_time() - before + sum(fitted[name].metrics["fit_cpu_s"] for name in names)
    weights = {f"weight {name}": model.metrics[f"weight_{name}"] for name in names}
    return weights, (algorithm, Fitted(model.arrays, model.scoring, [], {"fit_cpu_s": seconds}))


def measured(algorithm: Algorithm, fitted: Fitted, data: PreparedData) -> Row:
    """Return what the model cost and what its rankings are worth on every split that has pairs."""
    model = served(algorithm.kind, fitted.scoring, fitted.arrays, data.interactions)
    row: Row = {"seed": SEED, "fit_cpu_s": fitted.metrics["fit_cpu_s"]}
    for split, pairs in {"validation": data.validation, "test": data.test}.items():
        if len(pairs.user_rows):
            row |= judged(split, pairs, lambda rows: model.score(model.user_vectors(rows)), data)
    return row


def judged(split: str, pairs: Pairs, score: Score, data: PreparedData) -> Row:
    """Return every metric on one split with its 95 % bootstrap interval; tracks of training are left out."""
    truth = Truth.of(pairs, data.interactions.matrix.shape, data.interactions.matrix)
    figures = estimates(rank_metrics(score, truth, (10, 20)).columns, SEED)
    row: Row = {f"{split} users": figures[METRICS[0]].n}
    for name in METRICS:
        low, high = figures[name].ends
        row |= {f"{split} {name}": figures[name].mean, f"{split} {name} low": low, f"{split} {name} high": high}
    return row


def table(rows: Sequence[Row]) -> str:
    """Return the figures on the test split as a table in Markdown."""
    lines = [f"| data | model | {' | '.join(METRICS)} | users | fit, CPU s |", "|---" * (len(METRICS) + 4) + "|"]
    for row in rows:
        figures = [
            f"{row[f'test {name}']:.4f} [{row[f'test {name} low']:.4f}, {row[f'test {name} high']:.4f}]"
            for name in METRICS
        ]
        lines.append(
            f"| {row['data']} | {row['model']} | {' | '.join(figures)} | {row['test users']} | {row['fit_cpu_s']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the parts that are named, all by default, and keep what the others found last time."""
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "playlists": partial(playlists, of="complete"),
        "playlists-targets": partial(playlists, of="targets"),
        "gowalla": gowalla,
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=list(parts))
    named = parser.parse_args().parts
    if not os.environ.get("TUTTI_DATA"):
        print("quality: TUTTI_DATA is not set, left out", file=sys.stderr)
        return
    torch.set_num_threads(numba.get_num_threads())
    for part in named:
        rows = parts[part](Path(os.environ["TUTTI_DATA"]))
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(results | {part: rows}, indent=1) + "\n")
        print(table(rows), flush=True)


if __name__ == "__main__":
    main()
