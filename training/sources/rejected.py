"""Find again in their files the rows that could not be used, to name file and line.

The fast readers do not number lines. Only a file with unreadable rows is walked, once for up to AT_A_TIME of them: by
the place of a row where each line is a row, else by its text.
"""

import json
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

import duckdb

from service.core.errors import DataError
from training.sources.columns import delimiter, read_rows
from training.sources.files import LONGEST_OBJECT, LogFile, find_long_object, open_log
from training.sources.sql import KEY_SEPARATOR, LATE, LookCloserError, Source, relation

Line = TypeVar("Line")


class Refused(NamedTuple):
    """What DuckDB says of a row that it did not read."""

    offset: int
    """In bytes from the start of the (unpacked) file; may be that of the line end before."""
    reason: str
    text: str


BROKEN = "not a JSON object"
NESTED = "a list or an object in place of an id"
BAD_ENCODING = "invalid encoding"
"""As DuckDB's CSV reader calls bytes that are not UTF-8."""

TOO_LONG = "maximum_object_size"
"""What DuckDB's JSON reader names when a line is too long for it."""

FAILURES = (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException)
"""What DuckDB raises for a file that it cannot read, or in which it finds what it cannot convert."""

AT_A_TIME = 200_000
"""Unreadable rows that are looked for in one walk; bounds the memory."""


class Rejected(NamedTuple):
    """One line of rejected.jsonl."""

    file: str
    line: int | None
    """From 1; the first line of a CSV row that has several."""
    reason: str
    text: str


def make_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of what the CSV reader refused, and of rows that were read and make no sense."""
    connection.execute("CREATE TABLE refused (file VARCHAR, byte_offset BIGINT, reason VARCHAR, text VARCHAR)")
    connection.execute("CREATE TABLE unreadable (file VARCHAR, line BIGINT, reason VARCHAR, key VARCHAR)")


def keep_refused(connection: duckdb.DuckDBPyConnection, source: Source, rejects: str) -> None:
    """Move what DuckDB refused while it read a source into the table `refused`."""
    if source.format == "parquet":
        return
    # A line can be refused for several reasons; the leftmost column's names it.
    connection.execute(
        f"""INSERT INTO refused
            SELECT file_path, line_byte_position - 1, lower(replace(min_by(error_type::VARCHAR, column_idx), '_', ' ')),
                any_value(csv_line)
            FROM {rejects}_errors JOIN {rejects}_scans USING (scan_id, file_id) GROUP BY ALL"""
    )


def unreadable_file(connection: duckdb.DuckDBPyConnection, source: Source, error: duckdb.Error) -> DataError:
    """Return the error for a query that failed over several files, naming the one that fails alone."""
    if LATE in str(error):
        return LookCloserError(str(error))
    if TOO_LONG in str(error):
        for file in source.files:
            if (number := find_long_object(file.path)) is not None:
                return DataError(f"{file.path} has more than {LONGEST_OBJECT:,} bytes in line {number}")
    guilty = source.files
    for number, file in enumerate(source.files if len(source.files) > 1 else ()):
        alone = relation(replace(source, files=(file,)), f"probe_{number}")
        try:
            connection.execute(f"SELECT count(*) FROM ({alone})")
        except FAILURES:
            guilty = (file,)
            break
    names = ", ".join(str(file.path) for file in guilty)
    return DataError(f"{names} cannot be read: {str(error).partition(chr(10))[0]}")


def write(rejected: Iterable[Rejected], out: TextIO) -> Counter[str]:
    """Add lines to rejected.jsonl and return how many there are of each reason."""
    reasons: Counter[str] = Counter()
    for line in rejected:
        out.write(json.dumps(line._asdict(), ensure_ascii=False) + "\n")
        reasons[line.reason] += 1
    return reasons


def name_lines(path: Path, unreadable: duckdb.DuckDBPyConnection, rows: int, keys: Sequence[str]) -> Iterator[Rejected]:
    """Yield the unreadable lines of a file of JSON lines, given as a result of (row from 0, reason) in that order.

    `rows` says how many lines are not blank. A line that is BROKEN because none of its `keys` was found is left out
    when it is an object that has none.
    """
    while some := unreadable.fetchmany(AT_A_TIME):
        for (number, line), (_, reason) in zip(_lines_at(path, [row for row, _ in some], rows), some, strict=True):
            if reason == BROKEN:
                reason = _what_is_wrong(line, keys)
            if reason:
                yield Rejected(str(path), number, reason, line.decode(errors="replace").rstrip("\r\n"))


def _lines_at(path: Path, places: Sequence[int], rows: int) -> list[tuple[int, bytes]]:
    """Return number and text of the lines at some places, from 0, among those that are not blank."""
    with open_log(path) as file:
        lines = list(_pick(file, places))
        found = [(place + 1, line) for place, line in zip(places, lines, strict=False)]
        has_blanks = places[-1] + 1 + sum(1 for _ in file) != rows  # else no line had to be looked at
    if has_blanks:
        with open_log(path) as file:
            numbered = ((number, line) for number, line in enumerate(file, start=1) if not line.isspace())
            found = list(_pick(numbered, places))
    if len(found) < len(places):
        raise DataError(f"{path} changed while it was read")
    return found


def _pick(lines: Iterator[Line], places: Sequence[int]) -> Iterator[Line]:
    gaps = (place - before - 1 for before, place in pairwise([-1, *places]))
    return chain.from_iterable(islice(lines, gap, gap + 1) for gap in gaps)


def _what_is_wrong(line: bytes, keys: Sequence[str]) -> str | None:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError:
        return BAD_ENCODING
    except (ValueError, RecursionError):
        return BROKEN
    is_empty = isinstance(record, dict) and all(record.get(key) is None for key in keys)
    return None if is_empty else BROKEN


def find_rejected(connection: duckdb.DuckDBPyConnection, sources: Iterable[Source]) -> Iterator[Rejected]:
    """Yield the unreadable rows that are found by their text."""
    return chain.from_iterable(_rejected(connection, source, file) for source in sources for file in source.files)


def _rejected(connection: duckdb.DuckDBPyConnection, source: Source, file: LogFile) -> Iterator[Rejected]:
    name = [str(file.readable)]
    refused = connection.execute(
        "SELECT byte_offset, reason, text FROM refused WHERE file = ? ORDER BY byte_offset", name
    ).fetchall()
    if refused:
        yield from _find_offsets(file.path, [Refused(*row) for row in refused])
    rows = connection.cursor().execute(
        "SELECT line, reason, key FROM unreadable WHERE file = ? GROUP BY ALL ORDER BY ALL", name
    )
    while some := rows.fetchmany(AT_A_TIME):
        if source.format == "parquet":
            yield from (Rejected(str(file.path), line, reason, key) for line, reason, key in some)
        elif source.format in ("json", "adjacency"):
            yield from _find_lines(file.path, {key: reason for _, reason, key in some})
        else:
            yield from _find_records(file.path, source, {key: reason for _, reason, key in some})


def _find_lines(path: Path, wanted: Mapping[str, str]) -> Iterator[Rejected]:
    """Yield every line whose text is a key of `wanted` (text to reason)."""
    # Every line of the file passes here, so it is compared as it is, end of line included.
    endings = ("\n", "\r\n", "")
    reasons = {(text + end).encode(): reason for text, reason in wanted.items() for end in endings}
    with open_log(path) as file:
        for number, whole in enumerate(file, start=1):
            line = whole.removeprefix(BOM_UTF8) if number == 1 else whole
            if line in reasons:
                yield Rejected(str(path), number, reasons[line], line.decode().rstrip("\r\n"))


def _find_offsets(path: Path, ahead: list[Refused]) -> Iterator[Rejected]:
    """Yield the line that holds each byte offset, given in ascending order."""
    ahead.reverse()
    for number, start, line in _lines(path):
        while ahead and ahead[-1].offset <= start + len(line):
            _, reason, text = ahead.pop()
            blank = len(text) - len(text.lstrip("\r\n"))
            yield Rejected(str(path), number + text[:blank].count("\n"), reason, text.strip("\r\n"))


def _find_records(path: Path, source: Source, wanted: Mapping[str, str]) -> Iterator[Rejected]:
    """Yield every row of a CSV or TSV file whose fields, joined, are a key of `wanted` (fields to reason)."""
    places = [place for _, place in source.columns.roles]
    for number, record, text in _records(path, delimiter(source.files[0])):
        if len(record) == len(source.columns.names):
            key = KEY_SEPARATOR.join(record[place] for place in places)
            if (reason := wanted.get(key)) is not None:
                yield Rejected(str(path), number, reason, text)


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, byte offset and bytes of each line, without its end."""
    offset = 0
    with open_log(path) as file:
        for number, line in enumerate(file, start=1):
            yield number, offset, line.rstrip(b"\r\n")
            offset += len(line)


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield the first line number, fields and text of each row of a CSV or TSV file."""
    since: list[str] = []

    def remember(lines: Iterable[bytes]) -> Iterator[str]:
        for line in lines:
            since.append(line.decode("utf-8", errors="replace"))
            yield since[-1]

    with open_log(path) as file:
        number = 1
        for record in read_rows(remember(file), separator):
            yield number, record, "".join(since).rstrip("\r\n")
            number += len(since)
            since.clear()
