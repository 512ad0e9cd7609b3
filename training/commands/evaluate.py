"""`python -m training evaluate`: judge models by held-out listening, and write a report."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from service.core.strategies import STRATEGIES
from training.bootstrap import Estimate
from training.commands.arguments import not_negative, positive
from training.evaluate import Evaluation, Plan, evaluate
from training.evaluate.held_out import EARLIER, Protocol
from training.evaluate.results import Results
from training.groups import GROUP_TYPES
from training.metrics import CUTOFFS
from training.report import left_out, write_report
from training.report.figures import PROTOCOL_TITLES, middle_cutoff

FILE_WIDTH: Final = 110
"""Columns of the tables where they do not go to a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what `prepare` wrote")
    parser.add_argument("--models", type=Path, default=Path("model_files"), metavar="DIR")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="results.json, report.html, tables, figures"
    )
    parser.add_argument("--model", nargs="+", default=[], metavar="NAME", help="by default all of --models")
    parser.add_argument(
        "--strategy", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES), metavar="NAME",
        help=f"by default all: {', '.join(STRATEGIES)}",
    )  # fmt: skip
    parser.add_argument("--split", choices=list(EARLIER), help="what to judge by; by default test unless it is empty")
    parser.add_argument(
        "--n-groups", type=positive, nargs="+", default=[10, 100], metavar="N", help="a table for each; default 10 100"
    )
    parser.add_argument(
        "--group-size",
        type=positive,
        nargs="+",
        default=[5],
        metavar="N",
        help="members; groups of every size are drawn; default 5",
    )
    parser.add_argument(
        "--group-type", nargs="+", choices=GROUP_TYPES, default=["random"], metavar="TYPE",
        help="random, similar, divergent (by what members heard in training), each in every size; default random",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", nargs="+", default=[], metavar="NAME",
        help="compare every playlist with these: a STRATEGY of the same model, or MODEL/STRATEGY; default average, and "
        "basic as it is served",
    )  # fmt: skip
    parser.add_argument("--k", type=positive, nargs="+", default=list(CUTOFFS), metavar="K", help="default 5 10 30")
    parser.add_argument(
        "--max-users", type=not_negative, default=10_000, metavar="N",
        help="judge at most so many listeners one by one, drawn at random; 0 for all; default 10000",
    )  # fmt: skip
    parser.add_argument("--seed", type=not_negative, default=0, metavar="S", help="same seed, same figures")
    parser.add_argument(
        "--groups", type=Path, metavar="FILE",
        help='groups in place of random ones: JSON lines {"group_id", "user_ids"}',
    )  # fmt: skip
    parser.add_argument("--rankings", type=Path, metavar="FILE", help="also write what was recommended, as JSON lines")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the files."""
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    plan = Plan(
        data=args.data,
        models=args.models,
        names=tuple(args.model),
        strategies=tuple(args.strategy),
        split=args.split,
        n_groups=tuple(args.n_groups),
        group_types=tuple(args.group_type),
        group_sizes=tuple(args.group_size),
        baselines=tuple(args.baseline),
        groups=args.groups,
        cutoffs=tuple(sorted(set(args.k))),
        max_users=args.max_users or None,
        seed=args.seed,
        command=f"python -m training {shlex.join(sys.argv[1:])}",
    )
    with Console(stderr=True).status("evaluating") as status:
        evaluation = evaluate(plan, say=status.update)
        status.update("drawing figures")
        write(evaluation, args.out, args.rankings)
    show(evaluation.results, console)
    console.print(f"{args.out / 'report.html'} shows it all, results.json has every figure", markup=False)
    return 0


def write(evaluation: Evaluation, out: Path, rankings: Path | None) -> None:
    """Write results.json, the tables of single figures, the figures and the report."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(evaluation.results.model_dump_json(indent=2) + "\n", encoding="utf-8")
    pd.concat([table.frame() for table in evaluation.users]).to_csv(out / "users.csv", index=False)
    pd.concat([table.frame() for table in evaluation.groups]).to_csv(out / "groups.csv", index=False)
    if rankings is not None:
        lines = (json.dumps(line, ensure_ascii=False) for table in evaluation.groups for line in table.rankings())
        rankings.parent.mkdir(parents=True, exist_ok=True)
        rankings.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    write_report(evaluation, out)


def show(results: Results, console: Console) -> None:
    """Print what was judged by, and the main tables."""
    data, population = results.data, results.population
    console.print(
        f"{data.folder}, {data.split} split: {data.relevant} relevant pairs, {data.new_share:.1%} of them new; "
        f"{population.drawn} of {population.known} listeners judged",
        markup=False,
    )
    for line in [*left_out(results), *results.warnings]:
        console.print(line, style="yellow", markup=False)
    for protocol in PROTOCOL_TITLES:
        console.print(_group_table(results, protocol))
    for protocol in PROTOCOL_TITLES:
        console.print(_user_table(results, protocol))


def _group_table(results: Results, protocol: Protocol) -> Table:
    cohort, number = results.group_tables[0]
    table = Table(
        title=f"{cohort.capitalize()} ({number}), {PROTOCOL_TITLES[protocol]}: mean ± sd",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    names = [f"precision@{k}" for k in results.cutoffs]
    _add_columns(table, ["model", "strategy"], names)
    for row in results.main_groups:
        if row.protocol == protocol:
            cells = [_cell(row.metrics.get(name), lambda e: f"{e.mean:.3f} ± {e.sd:.3f}") for name in names]
            table.add_row(row.model, row.strategy, *cells, style="bold" if row.default else "")
    return table


def _user_table(results: Results, protocol: Protocol) -> Table:
    k = middle_cutoff(results)
    table = Table(
        title=f"Single listeners, {PROTOCOL_TITLES[protocol]}: mean ± half of the 95 % interval",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    names = [f"{name}@{k}" for name in ("ndcg", "precision", "recall", "map")]
    _add_columns(table, ["model"], ["users", *names])
    for row in results.users:
        if row.protocol == protocol:
            cells = [
                _cell(row.metrics.get(name), lambda e: f"{e.mean:.4f} ±{(e.high - e.low) / 2:.4f}") for name in names
            ]
            table.add_row(row.model, str(row.users), *cells)
    return table


def _add_columns(table: Table, labels: Sequence[str], figures: Sequence[str]) -> None:
    for label in labels:
        table.add_column(label, no_wrap=True)
    for label in figures:
        table.add_column(label, justify="right", no_wrap=True)


def _cell(estimate: Estimate | None, form: Callable[[Estimate], str]) -> str:
    return "-" if estimate is None else form(estimate)
