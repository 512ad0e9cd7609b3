"""Group strategies on ml-1m: groups of 2, 4 and 8, random, similar and divergent, nine cells in all.

    TUTTI_DATA=... python -m benchmarks.group_strategies

Relevant is what each member turned out to hear and had not heard before; lists of 20. What one member has heard is
worth nothing to them and may still come for the others (`--protocol new`: comes for nobody). Groups are drawn anew for
every seed. Means are over all groups, `t` is that of the paired test of nDCG against `fair_share` over the same groups:
positive where fair_share is better. `--judge validation` learns from the train file alone and judges by the valid file:
choose with it, and never with the test file. The parameters of `TUNED` were, and `--model blend` blends the others with
the weights that it gets there.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.public_split import FILES, Judge, write_split
from service.core.artifacts import ArtifactStore
from service.core.strategies import STRATEGIES
from training.__main__ import main as run_command
from training.bootstrap import Difference, Estimate, differences, estimates
from training.evaluate.cohorts import ALL, Selection, drawn_cohorts, selections
from training.evaluate.held_out import HeldOut, Protocol, known_to_all
from training.evaluate.playlists import GroupTable, judge_playlists
from training.evaluate.subject import Subject
from training.groups import GROUP_TYPES, Listeners
from training.models.blend import Blend

RESULTS: Final = Path(__file__).parent / "results" / "groups.json"
SIZES: Final = (2, 4, 8)
K: Final = 20
OURS: Final = "fair_share"
TUNED: Final = {
    "ease": {"regularization": "500", "dropout": "0.5", "kept": "4000"},
    "wmf": {
        "dim": "256",
        "unobserved_weight": "0.5",
        "regularization": "0.009",
        "length_exponent": "0.65",
        "popularity_exponent": "0.3",
    },
}
"""Parameters in place of defaults, by nDCG@20 on the valid file."""

METRICS: Final = {"ndcg": "nDCG", "min_ndcg": "worst member", "zero_recall": "zRec", "prefix_min_max": "min/max"}


def prepared(judge: Judge) -> Path:
    """Return the folder of the data to learn from and to judge by."""
    folder = Path(f"data/ml-1m-{judge}")
    write_split(Path(os.environ["TUTTI_DATA"]) / "ml-1m", folder, judge)
    return folder


def trained(judge: Judge, model: str) -> ArtifactStore:
    """Return where a model is that was trained with its defaults."""
    return _trained(judge, model, "models", [])


def tuned(judge: Judge, model: str) -> ArtifactStore:
    """Return where a model is that was trained with what the valid file chose, parameters or a blend's weights."""
    chosen = dict(TUNED.get(model, {}))
    if model == "blend":
        for part in Blend().parts:
            tuned(judge, part)
        if judge == "test":
            chosen["weights"] = ",".join(map(str, weights(Blend().parts)))
    return _trained(judge, model, "tuned", [f"{name}={value}" for name, value in chosen.items()])


def _trained(judge: Judge, model: str, folder: str, parameters: Sequence[str]) -> ArtifactStore:
    data = prepared(judge)
    store = ArtifactStore(data / folder)
    if model not in store.names():
        options = [option for parameter in parameters for option in ("--set", parameter)]
        run_command(["train", model, "--data", str(data), "--models", str(store.root), "--seed", "0", *options])
    return store


def weights(parts: Sequence[str]) -> list[float]:
    """Return what a blend of these parts gives to each when validation decides."""
    metrics = tuned("validation", "blend").manifest("blend").metrics
    return [metrics[f"weight_{part}"] for part in parts]


def judged(
    judge: Judge, model: str, strategies: Sequence[str], protocol: Protocol, groups: int, seed: int
) -> tuple[list[GroupTable], list[Selection]]:
    """Return a table for each strategy over so many groups a cell, and the cells, all of them together first."""
    held_out, subject = HeldOut.load(prepared(judge)), Subject.of(tuned(judge, model).load(model))
    listeners = Listeners.of(known_to_all(held_out.users("new"), [subject.model.users]), held_out.train)
    cells = drawn_cohorts(listeners, GROUP_TYPES, SIZES, groups, seed)
    everybody = [group for cell in cells for group in cell.groups]
    tables = judge_playlists(held_out, [subject], strategies, everybody, [K], seed, protocols=[protocol])
    return tables, selections(cells, [groups])


class Row(BaseModel):
    """One strategy in one cell."""

    model: str
    strategy: str
    cell: str
    groups: int
    figures: dict[str, Estimate]
    fair_share_minus_this: dict[str, Difference]


def row(table: GroupTable, ours: GroupTable, cell: Selection, seed: int) -> Row:
    """Return the figures of one strategy in one cell, and by how much fair_share is better."""
    figures = estimates(table.figures_of(cell), seed)
    gaps = differences(ours.figures_of(cell), table.figures_of(cell), seed)
    return Row(
        model=table.subject.name,
        strategy=table.strategy,
        cell=cell.cohort,
        groups=len(cell.places),
        figures={name: figures[f"{name}@{K}"] for name in METRICS},
        fair_share_minus_this={name: gaps[f"{name}@{K}"] for name in METRICS},
    )


def show(rows: Sequence[Row], title: str) -> None:
    """Print some rows as a table."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", "strategy", "cell"):
        table.add_column(column, no_wrap=True)
    for column in (*METRICS.values(), "t"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in rows:
        t = entry.fair_share_minus_this["ndcg"].t
        figures = [f"{estimate.mean:.4f} ±{estimate.half or 0:.4f}" for estimate in entry.figures.values()]
        table.add_row(entry.model, entry.strategy, entry.cell, *figures, "" if t is None else f"{t:+.1f}")
    Console(width=140).print(table)


def main() -> None:
    """Run all, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--judge", choices=list(FILES), default="test")
    parser.add_argument("--protocol", choices=["discovery", "new"], default="discovery")
    parser.add_argument("--model", nargs="+", default=["ease"])
    parser.add_argument("--strategy", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--n-groups", type=int, default=150, help="in each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", action="store_true", help="also print every cell")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if "TUTTI_DATA" not in os.environ:
        print("group_strategies: TUTTI_DATA is not set, left out", file=sys.stderr)
        return
    strategies = list(dict.fromkeys([OURS, *arguments.strategy]))
    rows = []
    for model in arguments.model:
        tables, cells = judged(
            arguments.judge, model, strategies, arguments.protocol, arguments.n_groups, arguments.seed
        )
        rows += [row(table, tables[0], cell, arguments.seed) for cell in cells for table in tables]
    shown = rows if arguments.cells else [entry for entry in rows if entry.cell == ALL]
    what = f"ml-1m, {arguments.judge} file, {arguments.protocol}, {K} tracks, seed {arguments.seed}"
    show(shown, f"{what}; mean ± half of the 95 % interval")
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps([entry.model_dump() for entry in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
