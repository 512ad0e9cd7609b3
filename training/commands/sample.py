"""`python -m training sample`: a synthetic music service in the files of a real one."""

import argparse
from pathlib import Path

from training.commands.arguments import positive, seed
from training.commands.places import check_folder, writing
from training.sample import write_sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sample`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the JSON-lines files")
    parser.add_argument("--users", type=positive, default=1_000, metavar="N")
    parser.add_argument("--tracks", type=positive, default=4_000, metavar="N")
    parser.add_argument("--events", type=positive, default=200_000, metavar="N")
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="same seed, same files")


def run(args: argparse.Namespace) -> int:
    """Write the files and say where they are."""
    check_folder("--out", args.out)
    with writing(args.out):
        write_sample(args.out, users=args.users, tracks=args.tracks, events=args.events, seed=args.seed)
    print(f"{args.out}: {args.users} users, {args.tracks} tracks, {args.events} events")
    return 0
