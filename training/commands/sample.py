"""`python -m training sample`: a synthetic music service in the files of a real one."""

import argparse
from pathlib import Path

from training.commands.arguments import add_seed, positive
from training.commands.places import check_folder, writing
from training.sample import write_sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sample`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the JSON-lines files")
    for what, number in (("users", 1_000), ("tracks", 4_000), ("events", 200_000)):
        parser.add_argument(
            f"--{what}", type=positive, default=number, metavar="N", help=f"how many {what} (default: %(default)s)"
        )
    add_seed(parser, "same seed, same files")
    parser.epilog = "example: python -m training sample --out data/raw --users 200 --events 40000"


def run(args: argparse.Namespace) -> int:
    """Write the files and say where they are."""
    check_folder("--out", args.out)
    with writing(args.out):
        write_sample(args.out, users=args.users, tracks=args.tracks, events=args.events, seed=args.seed)
    print(f"{args.out}: {args.users} users, {args.tracks} tracks, {args.events} events")
    return 0
