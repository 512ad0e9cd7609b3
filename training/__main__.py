"""`python -m training COMMAND`: exit code 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.

Only the command that is asked for is imported: preparing logs need not wait for what training needs.
"""

import argparse
import importlib
import sys
from collections.abc import Container, Sequence
from typing import Final, Protocol

from service.core.errors import ConfigurationError, TuttiError

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
"""What shells say of a command that Ctrl-C ended."""


class Command(Protocol):
    """A module of `training.commands`."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return an exit code; a `TuttiError` or `OSError` says why it failed."""


COMMANDS: Final[dict[str, str]] = {
    "sample": "a synthetic music service in the files of a real one.",
    "prepare": "raw logs in, prepared data out.",
    "train": "fit a model to prepared data and publish it.",
    "tune": "search the parameters of a model on validation data and write them as a preset.",
    "evaluate": "judge models by held-out listening, and write a report.",
    "publish": "serve another version of a model, an older one for instance.",
}
"""Every command, a module of `training.commands`, and what it does."""


def parser(wanted: Container[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the whole command line; only the commands that are wanted have their options."""
    root = argparse.ArgumentParser(prog="python -m training", description="From raw event logs to models.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        options = commands.add_parser(
            name, help=summary, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name in wanted:
            command: Command = importlib.import_module(f"training.commands.{name}")
            command.add_arguments(options)
            options.set_defaults(run=command.run)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a failure is one line on stderr."""
    given = sys.argv[1:] if arguments is None else arguments
    command = "".join(given[:1])
    try:
        args = parser(wanted=[command]).parse_args(given)
        return int(args.run(args))
    except KeyboardInterrupt:
        return _interrupted(command)
    except Exception as error:
        if unwound_ctrl_c(error):
            return _interrupted(command)
        if isinstance(error, TuttiError | OSError | MemoryError | RuntimeError):
            return _failed(command, error)
        raise


def unwound_ctrl_c(error: BaseException | None) -> bool:
    """Return whether an error came up while Ctrl-C was on its way out, as from a lock that is given back twice."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _interrupted(command: str) -> int:
    print(f"{command}: interrupted", file=sys.stderr)
    return INTERRUPTED


def _failed(command: str, error: TuttiError | OSError | MemoryError | RuntimeError) -> int:
    """Say in one line why a command failed, and return its exit code; what is a fault of ours is raised again."""
    if isinstance(error, TuttiError | OSError):
        print(f"{command}: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, ConfigurationError) else FAILED
    if not _is_lack_of_memory(error):
        raise error
    print(f"{command}: this needs more memory than there is: {error}", file=sys.stderr)
    return FAILED


def _is_lack_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Return whether there was not enough memory, which torch says in a `RuntimeError`, on a GPU in other words."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "out of memory")
    )


if __name__ == "__main__":
    sys.exit(main())
