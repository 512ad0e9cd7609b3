"""Reading logs of any known format as text, with DuckDB; nothing here knows what an event means."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import duckdb

from service.core.errors import DataError
from training.sources import sql
from training.sources.columns import (
    EVENTS,
    GROUP_EVENTS,
    Vocabulary,
    delimiter,
    detect,
    is_enough,
    keys_of,
    keys_to_watch,
)
from training.sources.files import LogFile, check_lines, find_files, unpack
from training.sources.rejected import FAILURES
from training.sources.sql import LookCloserError, Source

__all__ = ["LookCloserError", "Source", "find_sources"]

NESTED = ("STRUCT", "MAP", "UNION")
"""How types of Parquet columns begin that hold several values; those of lists end with ]."""


def find_sources(
    connection: duckdb.DuckDBPyConnection,
    paths: Iterable[Path],
    vocabulary: Vocabulary,
    told: Mapping[str, str],
    unpacked: Path,
    *,
    closely: bool = False,
) -> list[Source]:
    """Return the files that paths name, grouped so that one query reads each group.

    `told` maps roles to columns where the user said so; packed Parquet files are unpacked into a folder. In
    nearly every log the first lines of JSON say what its keys are, and ids are no lists; where that does not hold,
    reading the sources raises LookCloserError, and with `closely` nothing is taken for granted.
    """
    single = [_source(connection, file, vocabulary, told, unpacked, closely=closely) for file in find_files(paths)]
    groups = [list(group) for _, group in groupby(single, key=_make)]
    return [replace(group[0], files=tuple(file for source in group for file in source.files)) for group in groups]


def _describe(connection: duckdb.DuckDBPyConnection, file: LogFile) -> dict[str, str]:
    """Return the columns of a Parquet file and their types."""
    try:
        found = connection.execute(f"DESCRIBE FROM read_parquet({sql.paths([file])})").fetchall()
    except FAILURES as error:
        raise DataError(f"{file.path} cannot be read: {str(error).partition(chr(10))[0]}") from error
    return {str(column): str(type_) for column, type_, *_ in found}


def _source(
    connection: duckdb.DuckDBPyConnection,
    file: LogFile,
    vocabulary: Vocabulary,
    told: Mapping[str, str],
    unpacked: Path,
    *,
    closely: bool,
) -> Source:
    if file.format == "json":
        return _json(connection, file, vocabulary, told, closely=closely)
    if file.format != "parquet":
        return Source((file,), detect(file, vocabulary, None, told), vocabulary)
    file = unpack(file, unpacked)
    types = _describe(connection, file)
    columns = detect(file, vocabulary, tuple(types), told)
    for role, place in columns.roles:
        type_ = types[columns.names[place]]
        if role in vocabulary.required and (type_.startswith(NESTED) or type_.endswith("]")):
            raise DataError(
                f"{file.path}: the {role}, column {columns.names[place]!r}, is no text or number but {type_}"
            )
    return Source((file,), columns, vocabulary, tuple(types.values()))


def _json(
    connection: duckdb.DuckDBPyConnection,
    file: LogFile,
    vocabulary: Vocabulary,
    told: Mapping[str, str],
    *,
    closely: bool,
) -> Source:
    seen = keys_of(file)
    watched = keys_to_watch(seen, vocabulary, told) if file.goes_on else ()
    if closely or not is_enough(seen, vocabulary, told):
        seen, watched = seen + _find_keys(connection, file, watched), ()
    columns = replace(detect(file, vocabulary, seen, told), watched=watched)
    of_events = vocabulary in (EVENTS, GROUP_EVENTS)
    source = Source((file,), columns, vocabulary, closely=closely or not of_events)
    if not (source.has_fast_reader and of_events):
        check_lines(file)
    return source


def _find_keys(connection: duckdb.DuckDBPyConnection, file: LogFile, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return those of the wanted keys that some line of a file has with a value."""
    if not wanted:
        return ()
    try:
        found = (
            connection.execute(
                f"SELECT {sql.counts(wanted)} FROM {sql.objects([file], dict.fromkeys(wanted, 'VARCHAR'))}"
            ).fetchone()
            or ()
        )
    except FAILURES:  # said, with the line, when the file is read
        return ()
    return tuple(key for key, lines in zip(wanted, found, strict=True) if lines)


def _make(source: Source) -> tuple[object, ...]:
    """Return what files must share to be read by one query."""
    separator = delimiter(source.files[0]) if source.format == "csv" else ""
    return (source.format, separator, source.files[0].mixes_line_ends, source.columns, source.types)
