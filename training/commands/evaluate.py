"""`python -m training evaluate`: judge models by held-out listening, and write a report."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import Final, get_args

import pandas as pd
from rich.console import Console

from service.core.strategies import STRATEGIES
from training.commands.arguments import add_models, add_seed, not_negative, positive
from training.commands.places import check_file, check_folder, writing
from training.evaluate import Evaluation, Plan, evaluate
from training.evaluate.cold_start import LIKED, LONG_ENOUGH, MOST_GUESTS
from training.evaluate.group_metrics import GROUP_WEIGHT
from training.evaluate.held_out import EARLIER, PROTOCOLS, Protocol
from training.evaluate.rankings import Line
from training.evaluate.sessions import LENGTH, PLAYLISTS
from training.groups import GROUP_TYPES
from training.metrics import CUTOFFS
from training.output import replacing_files
from training.report import write_report
from training.report.tables import on_screen

FILE_WIDTH: Final = 132
"""Columns of the tables where they do not go to a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what `prepare` wrote")
    add_models(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="results.json, report.html, tables, figures"
    )
    parser.add_argument(
        "--model", nargs="+", default=[], metavar="NAME", help="which to judge (default: all of --models)"
    )
    parser.add_argument(
        "--strategy", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES), metavar="NAME",
        help=f"how playlists are made (default: all): {', '.join(STRATEGIES)}",
    )  # fmt: skip
    parser.add_argument("--split", choices=list(EARLIER), help="what to judge by (default: test unless it is empty)")
    parser.add_argument(
        "--n-groups",
        type=positive,
        nargs="+",
        default=[10, 100],
        metavar="N",
        help="groups drawn, a table for each (default: 10 100)",
    )
    parser.add_argument(
        "--group-size",
        type=positive,
        nargs="+",
        default=[5],
        metavar="N",
        help="members; groups of every size are drawn (default: 5)",
    )
    parser.add_argument(
        "--group-type", nargs="+", choices=GROUP_TYPES, default=["random"], metavar="TYPE",
        help="random, similar, divergent (by what members heard in training), each in every size (default: random)",
    )  # fmt: skip
    parser.add_argument(
        "--group-weight", type=_weight, default=GROUP_WEIGHT, metavar="W",
        help="how much what a known group heard together counts, over all its members; 0 for not at all "
        "(default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--group-protocol", nargs="+", choices=get_args(Protocol), default=list(PROTOCOLS), metavar="PROTOCOL",
        help="what groups may get: all; new, what no member has heard; discovery, all, but it counts for those members "
        "only who have not heard it (default: new all)",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", nargs="+", default=[], metavar="NAME",
        help="compare every playlist with these: a STRATEGY of the same model, or MODEL/STRATEGY (default: average, "
        "and basic as it is served)",
    )  # fmt: skip
    parser.add_argument(
        "--k", type=positive, nargs="+", default=list(CUTOFFS), metavar="K", help="lengths of lists (default: 5 10 30)"
    )
    parser.add_argument(
        "--max-users", type=not_negative, default=10_000, metavar="N",
        help="judge at most so many listeners one by one, drawn at random; 0 for all (default: %(default)s)",
    )  # fmt: skip
    add_seed(parser, "same seed, same figures")
    parser.add_argument(
        "--groups", type=Path, metavar="FILE",
        help='groups in place of random ones: JSON lines {"group_id", "user_ids"}',
    )  # fmt: skip
    parser.add_argument(
        "--sessions", action="store_true",
        help=f"also judge {PLAYLISTS} playlists of {LENGTH} tracks in a row for each group, without repeats",
    )  # fmt: skip
    parser.add_argument(
        "--cold-start", type=positive, nargs="?", const=LONG_ENOUGH, metavar="N",
        help=f"also judge what guests get who like 0, {', '.join(map(str, LIKED))} tracks; they are listeners who "
        f"liked at least N (default where there is no N: {LONG_ENOUGH})",
    )  # fmt: skip
    parser.add_argument(
        "--max-guests", type=not_negative, default=MOST_GUESTS, metavar="N",
        help="judge at most so many of the listeners as guests, drawn at random; 0 for all (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--candidates", type=Path, metavar="FILE",
        help='also judge given candidate lists: JSON lines {"group_id" or "user_ids", "positive", "negatives"}',
    )  # fmt: skip
    parser.add_argument(
        "--rankings", type=Path, metavar="FILE",
        help="also write what is recommended to every listener (of more than --max-users so many) and group, as JSON "
        "lines; nothing need be held out",
    )  # fmt: skip
    parser.epilog = (
        "examples:\n"
        "  python -m training evaluate --data data/prepared --out reports/all\n"
        "  python -m training evaluate --data data/prepared --out reports/pairs --model wmf basic --group-size 2 --k 10"
    )


def _weight(text: str) -> float:
    """Return a number of 0 or more."""
    try:
        weight = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not 0 <= weight < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return weight


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the files."""
    check_folder("--out", args.out)
    if args.rankings is not None:
        check_file("--rankings", args.rankings)
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    plan = Plan(
        data=args.data,
        models=args.models,
        names=tuple(args.model),
        strategies=tuple(dict.fromkeys(args.strategy)),
        split=args.split,
        n_groups=tuple(args.n_groups),
        group_types=tuple(args.group_type),
        group_sizes=tuple(args.group_size),
        group_weight=args.group_weight,
        group_protocols=tuple(dict.fromkeys(args.group_protocol)),
        baselines=tuple(args.baseline),
        sessions=args.sessions,
        cold_start=args.cold_start,
        max_guests=args.max_guests or None,
        candidates=args.candidates,
        rankings=args.rankings is not None,
        groups=args.groups,
        cutoffs=tuple(sorted(set(args.k))),
        max_users=args.max_users or None,
        seed=args.seed,
        command=f"python -m training {shlex.join(sys.argv[1:])}",
    )
    with Console(stderr=True).status("evaluating") as status:
        evaluation = evaluate(plan, say=status.update)
        status.update("drawing figures")
        with writing(args.out):
            write(evaluation, args.out, args.rankings)
    for part in on_screen(evaluation.results):
        console.print(part)
    console.print(f"{args.out / 'report.html'} shows it all, results.json has every figure", markup=False)
    return 0


def write(evaluation: Evaluation, out: Path, rankings: Path | None) -> None:
    """Write results.json, the tables of single figures, the figures and the report."""
    with replacing_files(out) as folder:
        (folder / "results.json").write_text(evaluation.results.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for name, tables in (("users", evaluation.users), ("groups", evaluation.groups)):
            frames = [table.frame() for table in tables]
            (pd.concat(frames) if frames else pd.DataFrame()).to_csv(folder / f"{name}.csv", index=False)
        write_report(evaluation, folder)
        if rankings is not None:
            with writing(rankings):
                write_rankings(evaluation.rankings, rankings)


def write_rankings(lines: Iterable[Line], path: Path) -> None:
    """Write JSON lines to a file, or as they come to what is none, such as a pipe."""
    texts = (f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(texts)
        return
    path = path.resolve()  # so that a link stays one
    with replacing_files(path.parent) as folder, (folder / path.name).open("w", encoding="utf-8") as file:
        file.writelines(texts)
