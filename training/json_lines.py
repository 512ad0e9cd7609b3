"""Small files that people write by hand: JSON lines, each held to a form, wrong ones named by file and line."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from service.core.errors import DataError
from service.core.faults import said

Line = TypeVar("Line", bound=BaseModel)


def read_lines(path: Path, form: type[Line], example: str) -> list[tuple[int, Line]]:
    """Return the lines of a file with their numbers, from 1; empty ones are left out.

    DataError where the file cannot be read, and for the first line that is not of this form: it names the line, its
    faults and the `example`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return [
        (number, _read(line, form, f"{path}, line {number}", example))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _read(line: str, form: type[Line], where: str, example: str) -> Line:
    try:
        return form.model_validate(json.loads(line))
    except ValidationError as error:
        raise DataError(f"{where}: not {example}: {said(error)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}") from error
