"""What `--set` takes: every parameter of a model with its default, its choices and what it is for, and its presets."""

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from training.models import ALGORITHMS
from training.models.algorithm import DEFAULT_PRESET, Algorithm, Choice, Range

WIDTH: Final = 100
"""Columns of the descriptions."""


class ShowParameters(argparse.Action):
    """Print the parameters of a model and end, as `--help` does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002, what argparse calls it with
        values: str | Sequence[object] | None,
        option_string: str | None = None,  # noqa: ARG002, likewise
    ) -> None:
        """Print those of the model named."""
        name = str(values)
        print(described(name, ALGORITHMS[name]), end="")
        parser.exit()


def described(name: str, algorithm: type[Algorithm]) -> str:
    """Return a paragraph for each parameter, and the presets and the search of an algorithm."""
    schemas = algorithm.model_json_schema()["properties"] if algorithm.model_fields else {}
    return "\n".join(
        [
            f"{name}: {(algorithm.__doc__ or '').splitlines()[0]}\n",
            *(_parameter(field, schema, algorithm.search.get(field)) for field, schema in schemas.items()),
            *([] if schemas else ["It has no parameters.\n"]),
            *(_preset(preset, changes) for preset, changes in {DEFAULT_PRESET: {}, **algorithm.presets}.items()),
        ]
    )


def _parameter(name: str, schema: Mapping[str, JsonValue], search: Range | Choice | None) -> str:
    searched = "" if search is None else f" Searched by `tune`: {_space(search)}."
    text = f"{schema['description']}{_choices(schema)}{searched}"
    paragraph = textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"{name}={_text(schema['default'])}\n{paragraph}\n"


def _choices(schema: Mapping[str, JsonValue]) -> str:
    names = schema.get("enum")
    return f" One of {', '.join(map(str, names))}." if isinstance(names, list) else ""


def _space(search: Range | Choice) -> str:
    return ", ".join(map(str, search.values)) if isinstance(search, Choice) else f"{search.low:g} to {search.high:g}"


def _preset(name: str, changes: Mapping[str, JsonValue]) -> str:
    text = " ".join(f"{key}={_text(value)}" for key, value in changes.items()) or "the values above"
    return textwrap.fill(f"--preset {name}: {text}", WIDTH, subsequent_indent="    ") + "\n"


def _text(value: JsonValue) -> str:
    """Return a value as `--set` takes it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
