"""Options, and kinds of numbers, that more than one command takes."""

import argparse
from pathlib import Path
from typing import Final

MOST: Final = 1_000_000_000
"""Of whatever is counted: more is a slip of the hand, and sizes of arrays would overflow."""

MOST_SEED: Final = 2**32 - 1
"""The generators that are seeded take no larger number, each in a traceback of its own."""


def positive(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST:,}")
    return int(text)


def not_negative(text: str) -> int:
    """Return a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def seed(text: str) -> int:
    """Return a number to draw at random from."""
    if not text.isdecimal() or int(text) > MOST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {MOST_SEED:,}")
    return int(text)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add `--models`."""
    parser.add_argument(
        "--models",
        type=Path,
        default=Path("model_files"),
        metavar="DIR",
        help="folder of the models, a folder each (default: %(default)s)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="where to train; auto is cuda where torch finds it (default: %(default)s)",
    )


def add_seed(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--seed`, and say what is the same for the same seed."""
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help=f"{what} (default: %(default)s)")
