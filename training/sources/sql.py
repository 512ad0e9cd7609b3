"""SQL that reads any source as text columns: one relation for a group of files of the same make."""

import glob
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.core.errors import DataError
from training.sources.columns import Columns, Vocabulary, delimiter
from training.sources.files import LogFile

KEY_SEPARATOR = "\x1f"
"""Joins the fields that a row of a CSV file is found again by."""

NO_SEPARATOR, NO_NULL = "\x01", "\x02"
"""What separates columns in a file read line by line, and what means null: characters that no text has."""

BUFFER = 4_000_000
"""Bytes that each thread reads at a time; DuckDB's own 32 MB cost memory and no time is won."""

LATE = "keys that matter come late"
"""What a query raises that meets a key it only watches for."""


class LookCloserError(DataError):
    """Sources hold what their first lines did not show: find them again, `closely`."""


@dataclass(frozen=True)
class Source:
    """Files that one query reads: same format, same columns."""

    files: tuple[LogFile, ...]
    columns: Columns
    vocabulary: Vocabulary
    types: tuple[str, ...] = ()
    """DuckDB's types of a Parquet file's columns, in the order of `columns.names`."""
    closely: bool = False
    """Of JSON: whether ids are read such that the text "[1]" and the list [1] are told apart, which takes longer."""

    @property
    def format(self) -> str:
        """json, csv, tsv, adjacency or parquet."""
        return self.files[0].format

    @property
    def has_fast_reader(self) -> bool:
        """Whether DuckDB's JSON reader can take it; that one does not know byte order marks."""
        return self.format == "json" and not any(file.byte_order_mark for file in self.files)

    def is_id(self, role: str) -> bool:
        """Whether a role is one that must be a single value: who, which track, or what the catalogue is about."""
        return role in self.vocabulary.required

    def has(self, role: str) -> bool:
        """Whether the files have a column for a role."""
        return self.columns.place(role) is not None


def text(value: str) -> str:
    """Return an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def paths(files: Sequence[LogFile]) -> str:
    """Return an SQL list of the files; `*` and `[` in a name mean themselves."""
    return "[" + ", ".join(text(glob.escape(str(file.readable))) for file in files) + "]"


def relation(source: Source, rejects: str) -> str:
    """Return a SELECT of all rows: file, line, key, broken, nested, and a text `<role>_text` for each role.

    `key` finds a row again in its file: the line itself, or the fields of a CSV row joined by KEY_SEPARATOR;
    `line` is known for Parquet only. `broken` is true for a line that is no JSON object, `nested` for one with a list
    or an object in place of an id. What the CSV reader refuses goes to the table `<rejects>_errors`.
    """
    files = paths(source.files)
    match source.format:
        case "json":
            return _json_lines(source, files, rejects)
        case "adjacency":
            return _adjacency(source, files, rejects)
        case "parquet":
            return _parquet(source, files)
        case _:
            return _separated(source, files, rejects)


def _reader(files: str, rejects: str, columns: str, separator: str, quote: str, *, header: bool, strict: bool) -> str:
    # Strictly read, a file that mixes line ends stops the reader or loses rows; without quotes it makes no other odds.
    return (
        f"read_csv({files}, columns = {columns}, delim = {text(separator)}, quote = {text(quote)}, "
        f"escape = {text(quote)}, header = {header}, nullstr = {text(NO_NULL)}, auto_detect = false, "
        f"strict_mode = {strict}, ignore_errors = true, store_rejects = true, rejects_table = '{rejects}_errors', "
        f"rejects_scan = '{rejects}_scans', filename = 'file', buffer_size = {BUFFER})"
    )


def _lines(files: str, rejects: str) -> str:
    return _reader(files, rejects, "{'text': 'VARCHAR'}", NO_SEPARATOR, "", header=False, strict=False)


def fields(source: Source, rejects: str) -> str:
    """Return `relation` without line and key, for JSON in half the time: a row for each line that is not blank.

    There a line that is no JSON object is a row of nulls, and so is an object without any of the fields: `broken` is
    true for both.
    """
    if not source.has_fast_reader:
        return relation(source, rejects)
    keys = {role: source.columns.names[place] for role, place in source.columns.roles}
    names = {role: _name(key) for role, key in keys.items()}
    texts = _texts(source, names)
    broken = _broken(f"coalesce({', '.join(texts.values())}) IS NULL", map(_name, source.columns.watched))
    return (
        f"SELECT file, {broken} AS broken, {_nested(source, names)} AS nested, {_columns(source, texts)} "
        f"FROM {objects(source.files, _types(source))}"
    )


def objects(files: Sequence[LogFile], types: Mapping[str, str]) -> str:
    """Return SQL for JSON lines as rows: a column for each key, and the file."""
    columns = ", ".join(f"{text(key)}: {text(type_)}" for key, type_ in types.items())
    return (
        f"read_json({paths(files)}, format = 'newline_delimited', columns = {{{columns}}}, "
        f"ignore_errors = true, filename = 'file')"
    )


def counts(columns: Sequence[str]) -> str:
    """Return SQL for how many rows have a value in each of some columns."""
    return ", ".join(f"count({_name(column)})" for column in columns)


def _types(source: Source) -> dict[str, str]:
    """Return how each key of JSON lines is read; as JSON, a text keeps its quotes."""
    keys = {role: source.columns.names[place] for role, place in source.columns.roles}
    types = {key: "JSON" if source.closely and source.is_id(role) else "VARCHAR" for role, key in keys.items()}
    return types | dict.fromkeys(source.columns.watched, "VARCHAR")


def _texts(source: Source, values: Mapping[str, str]) -> dict[str, str]:
    """Return SQL for the text of each value, by role, that was read as `_types` says."""
    as_json = {role for role in values if source.closely and source.is_id(role)}
    return {role: f"({value} ->> '$')" if role in as_json else value for role, value in values.items()}


def _nested(source: Source, values: Mapping[str, str]) -> str:
    """Return SQL for whether a value that is to be an id, by role, is a list or an object."""
    ids = [value for role, value in values.items() if source.is_id(role)]
    nested = " OR ".join(f"coalesce(json_type({value}) IN ('ARRAY', 'OBJECT'), false)" for value in ids)
    return nested if source.closely else "false"


def _broken(condition: str, watched: Iterable[str]) -> str:
    """Return SQL for a condition that stops the query where anything watched is there."""
    there = " OR ".join(f"{value} IS NOT NULL" for value in watched)
    return f"CASE WHEN {there} THEN error({text(LATE)}) ELSE {condition} END" if there else condition


def _json_lines(source: Source, files: str, rejects: str) -> str:
    keys = {role: source.columns.names[place] for role, place in source.columns.roles}
    shape = text(json.dumps(_types(source), ensure_ascii=False))
    found = {role: _value(key) for role, key in keys.items()}
    broken = _broken("NOT valid OR ltrim(text) NOT LIKE '{%'", map(_value, source.columns.watched))
    # json_transform stops at a broken line, so json_valid comes first; try() would go row by row wherever one is.
    record = f"CASE WHEN valid THEN json_transform(text, {shape}) END"
    return (
        f"SELECT file, NULL::BIGINT AS line, text AS key, {broken} AS broken, "
        f"{_nested(source, found)} AS nested, {_columns(source, _texts(source, found))} "
        f"FROM (SELECT *, {record} AS record "
        f"FROM (SELECT file, text, json_valid(text) AS valid FROM {_lines(files, rejects)})) "
        f"WHERE valid OR trim(text, ' \t\r') <> ''"
    )


def _adjacency(source: Source, files: str, rejects: str) -> str:
    words = "list_filter(string_split(trim(text), ' '), lambda word: word <> '')"
    return (
        f"SELECT file, NULL::BIGINT AS line, text AS key, false AS broken, false AS nested, "
        f"{_columns(source, {'user': 'words[1]', 'track': 'other'})} "
        f"FROM (SELECT file, text, words, unnest(words[2:]) AS other "
        f"FROM (SELECT file, text, {words} AS words FROM {_lines(files, rejects)}))"
    )


def _separated(source: Source, files: str, rejects: str) -> str:
    names = {place: f"c{place}" for place in range(len(source.columns.names))}
    columns = "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in names.values()) + "}"
    fields = {role: names[place] for role, place in source.columns.roles}
    separator = delimiter(source.files[0])
    quote = "" if separator == "\t" else '"'
    strict = quote != "" and not any(file.mixes_line_ends for file in source.files)
    return (
        f"SELECT file, NULL::BIGINT AS line, concat_ws({text(KEY_SEPARATOR)}, {', '.join(fields.values())}) AS key, "
        f"false AS broken, false AS nested, {_columns(source, fields)} "
        f"FROM {_reader(files, rejects, columns, separator, quote, header=source.columns.header, strict=strict)}"
    )


def _parquet(source: Source, files: str) -> str:
    quoted = {role: _name(source.columns.names[place]) for role, place in source.columns.roles}
    record = ", ".join(f"{text(role)}: {name}" for role, name in quoted.items())
    fields = {
        role: _as_text(name, source.types[place])
        for (role, place), name in zip(source.columns.roles, quoted.values(), strict=True)
    }
    return (
        f"SELECT filename AS file, file_row_number + 1 AS line, to_json({{{record}}})::VARCHAR AS key, "
        f"false AS broken, false AS nested, {_columns(source, fields)} "
        f"FROM read_parquet({files}, filename = true, file_row_number = true, binary_as_string = true)"
    )


def _as_text(name: str, type_: str) -> str:
    """Cast to text; whole numbers that were stored as floats, as pandas does beside a null, lose their .0.

    NaN is how pandas writes what is missing. It passes any condition that holds for the least and the greatest number
    of a file, because the statistics leave it out and DuckDB trusts them; so the cast itself must not fail.
    """
    if type_ in ("FLOAT", "DOUBLE"):
        whole = f"{name} = trunc({name}) AND abs({name}) < 1e15"
        return f"nullif(CASE WHEN {whole} THEN try_cast({name} AS BIGINT)::VARCHAR ELSE {name}::VARCHAR END, 'nan')"
    return f"{name}::VARCHAR"


def _value(key: str) -> str:
    return f"struct_extract(record, {text(key)})"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _columns(source: Source, fields: dict[str, str]) -> str:
    return ", ".join(f"{fields.get(role, 'NULL::VARCHAR')} AS {role}_text" for role in source.vocabulary.names)
