"""Small files that people write by hand: JSON lines, each held to a form, wrong ones named by file and line."""

import gzip
import json
import zlib
from codecs import BOM_UTF8
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from service.core.errors import DataError
from service.core.faults import said

Line = TypeVar("Line", bound=BaseModel)


def read_lines(path: Path, form: type[Line], example: str) -> list[tuple[int, Line]]:
    """Return the lines of a file, unpacked if it is called .gz, with their numbers from 1; empty ones are left out.

    DataError where the file cannot be read, and for the first line that is not of this form: it names the line, its
    faults and the `example`.
    """
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return [
        (number, _read(line, form, f"{path}, line {number}", example))
        for number, line in enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), start=1)
        if line.strip()
    ]


def _read(line: bytes, form: type[Line], where: str, example: str) -> Line:
    try:
        return form.model_validate(json.loads(line.decode()))
    except ValidationError as error:
        raise DataError(f"{where}: not {example}: {said(error)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not {example}: {error}") from error
