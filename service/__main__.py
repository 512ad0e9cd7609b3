"""python -m service: serve until SIGTERM or Ctrl-C, then finish what was begun and exit 0."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from service.signals import ended_at_once


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 served and stopped, or stopped before; 1 cannot serve, 2 wrong usage."""
    with ended_at_once():  # until it serves, and after: when uvicorn has finished it raises the signal again
        given = _given(arguments)
        from pydantic import ValidationError

        from service.core.faults import faults
        from service.settings import Settings

        try:
            settings = Settings(**given)
        except ValidationError as error:
            found = faults(error.errors())
            print("; ".join(f"{_place(each['loc'], given)}: {each['msg']}" for each in found), file=sys.stderr)
            return 2
        from service.core.errors import TuttiError
        from service.runtime import Runtime
        from service.server import serve

        try:
            Runtime(settings)  # for its checks: workers would each fail by themselves, and be started again
            return serve(settings)
        except TuttiError as error:
            print(_as_given(str(error), given), file=sys.stderr)
            return 1


def _place(location: Sequence[str | int], given: Mapping[str, object]) -> str:
    """Return what a user calls the setting at fault: the option, where it came from one, or the variable."""
    from service.settings import PREFIX

    name, *inside = map(str, location)
    return ".".join([f"--{name}" if name in given else PREFIX + name.upper(), *inside])


def _as_given(message: str, given: Mapping[str, object]) -> str:
    """Return what is wrong with a setting, with the option that it came from in place of the variable."""
    variable, colon, rest = message.partition(":")
    places = {_place([name], {}): _place([name], given) for name in given}
    return places.get(variable, variable) + colon + rest


def _given(arguments: Sequence[str] | None) -> dict[str, Any]:  # Settings checks the values
    """Return the settings that the command line names; the environment has the others."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve group playlists and similar tracks over HTTP.",
        epilog="Every other setting is an environment variable: see docs/operations.md.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--models", help="folder of the trained models (SERVICE_MODELS)")
    parser.add_argument("--host", help="address to listen on (SERVICE_HOST)")
    parser.add_argument("--port", help="port to listen on (SERVICE_PORT)")
    parser.add_argument("--workers", help="processes (SERVICE_WORKERS)")
    parser.add_argument("--device", help="auto, cpu or cuda (SERVICE_DEVICE)")
    return vars(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
