"""`python -m training prepare`: raw logs in, prepared data out."""

import argparse
from dataclasses import fields
from pathlib import Path

from training.commands.arguments import add_seed
from training.commands.places import check_folder
from training.prepare import PrepareSettings, prepare
from training.prepare.splits import SPLITS
from training.sources.columns import EVENTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare`."""
    defaults = PrepareSettings(events=())
    known = ".jsonl, .csv, .tsv, .txt or .parquet, each also .gz"
    parser.add_argument(
        "--events", type=Path, nargs="+", required=True, metavar="PATH", help=f"files and folders: {known}"
    )
    parser.add_argument("--tracks", type=Path, nargs="+", default=[], metavar="PATH", help="the catalogue")
    parser.add_argument("--artists", type=Path, nargs="+", default=[], metavar="PATH", help="names of the artists")
    parser.add_argument("--users", type=Path, nargs="+", default=[], metavar="PATH", help="names of the users")
    parser.add_argument(
        "--groups", type=Path, metavar="FILE", help='who is in which group: JSON lines {"group_id", "user_ids"}'
    )
    parser.add_argument(
        "--group-events",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="what groups heard together: like --events, with group_id or the group's id in the place of the user's",
    )
    parser.add_argument(
        "--columns",
        type=_role_and_column,
        nargs="+",
        default=[],
        metavar="ROLE=COLUMN",
        help=f"which column is what; roles: {', '.join(EVENTS.names)}; a number, from 1, where there is no header",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the prepared data")
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default=None,
        help="what is held out (default: user-time where there is a time, else random)",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        nargs=2,
        default=defaults.holdout,
        metavar=("VALIDATION", "TEST"),
        help="shares held out (default: 0.1 0.1)",
    )
    parser.add_argument("--validation", type=Path, nargs="+", default=[], metavar="PATH", help="with a given split")
    parser.add_argument("--test", type=Path, nargs="+", default=[], metavar="PATH", help="with a given split")
    add_seed(parser, "of the random split")
    parser.add_argument("--keep-duplicates", action="store_true", help="repeated rows are repeated plays")
    parser.add_argument(
        "--memory-limit",
        default=defaults.memory_limit,
        metavar="SIZE",
        help="that DuckDB may use (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, default=None, metavar="N", help="how many work at a time (default: one for each core)"
    )
    parser.epilog = (
        "examples:\n"
        "  python -m training prepare --events logs/plays.jsonl --tracks logs/tracks.jsonl --out data/prepared\n"
        "  python -m training prepare --events plays.csv --columns user=listener track=song --out data/prepared"
    )


def run(args: argparse.Namespace) -> int:
    """Prepare, and show what became of the log."""
    check_folder("--out", args.out)
    names = {field.name for field in fields(PrepareSettings)}
    settings = {name: value for name, value in vars(args).items() if name in names}
    report = prepare(
        PrepareSettings(**settings | {"columns": dict(args.columns), "holdout": tuple(args.holdout)}), args.out
    )
    print(report.to_text(), end="")
    return 0


def _role_and_column(argument: str) -> tuple[str, str]:
    role, equals, column = argument.partition("=")
    if not equals or role not in EVENTS.names:
        raise argparse.ArgumentTypeError(f"{argument!r} is not ROLE=COLUMN; roles: {', '.join(EVENTS.names)}")
    return role, column
