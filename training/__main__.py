"""`python -m training COMMAND`: exit code 0 done, 1 the work failed, 2 wrong usage."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final, Protocol

from service.core.errors import ConfigurationError, TuttiError
from training.commands import evaluate, prepare, publish, sample, train

FAILED: Final = 1
WRONG_USAGE: Final = 2


class Command(Protocol):
    """A module of `training.commands`; the first line of its docstring is its help."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return an exit code; a `TuttiError` or `OSError` says why it failed."""


COMMANDS: Final[dict[str, Command]] = {
    "sample": sample,
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "publish": publish,
}
"""Every command by name."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = argparse.ArgumentParser(prog="python -m training", description="From raw event logs to models.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").partition("\n")[0].partition(": ")[2]
        command.add_arguments(commands.add_parser(name, help=summary, description=summary))
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a failure is one line on stderr."""
    args = parser().parse_args(arguments)
    try:
        return COMMANDS[args.command].run(args)
    except (TuttiError, OSError) as error:
        print(f"{args.command}: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, ConfigurationError) else FAILED


if __name__ == "__main__":
    sys.exit(main())
