"""Kinds of numbers that more than one command takes."""

import argparse
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
