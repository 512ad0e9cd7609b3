"""From text columns to typed rows: every row of the log, and what is wrong with it.

A row that cannot be understood is unreadable and is kept aside with its file and line; events that are no listening
are marked with the reason. The rules that need other rows come in `cleaning`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import duckdb

from service.core.limits import LONGEST_ID
from training.ids import BREAKS_LINES, CONTROL, TOO_LONG
from training.prepare.cleaning import COLUMNS, DROPPED, LISTENING, Counts, count, is_listening
from training.prepare.database import in_order
from training.sources import Source
from training.sources.rejected import BROKEN, FAILURES, NESTED, keep_refused, name_lines, unreadable_file, write
from training.sources.sql import LookCloserError, fields, relation, text

EARLIEST, LATEST = "1990-01-01", "2100-01-01"
"""A time outside cannot be when somebody listened to a stream; it is a broken clock or a wrong unit."""

KINDS = {
    **{kind: kind for kind in ("play", "skip", "like")},
    **dict.fromkeys(("1", "true", "1.0"), "play"),
    **dict.fromkeys(("0", "false", "0.0"), "skip"),
}
"""Event type, in lower case, to kind; 1 and 0 are those of `is_listened`."""

SPELT = {
    spelt: fate
    for word, fate in (KINDS | {"advertisement": "advertisement"}).items()
    for spelt in (word.upper(), word, word.title())
}
"""What becomes of an event type in the usual cases: most texts are found here as they are."""

IS_ADVERTISEMENT = "type LIKE 'advert%'"
"""`advertisment` and `ADVERTISMENT` are misspelt in real logs; we read what is there."""


def _fate(column: str, fates: Mapping[str, str]) -> str:
    whens = " ".join(f"WHEN '{word}' THEN '{fate}'::fate" for word, fate in fates.items())
    return f"CASE {column} {whens} END"


UNUSUAL = f"""coalesce({_fate("type", KINDS)}, CASE WHEN {IS_ADVERTISEMENT} THEN 'advertisement'::fate
    WHEN coalesce(type, '') = '' THEN 'no_event_type'::fate ELSE 'unknown_event_type'::fate END)"""
"""The fate of an event whose type, in lower case, is not among SPELT as it is."""

ISO_8601 = [f"%Y-%m-%d{t}%H:%M:%S{part}{z}" for t in "T " for part in (".%f", "") for z in ("", "Z")]

# A time of another form is read as TIMESTAMPTZ, which knows offsets and named zones and refuses what it does not know;
# TIMESTAMP would pass over both. Digits are an epoch in seconds, milli-, micro- or nanoseconds, told apart by size.
TIME = rf"""coalesce(try_strptime(time_text, {ISO_8601}), CASE WHEN time_text <> '' THEN coalesce(
    try_cast(regexp_replace(time_text, ' ([-+Z])', '\1') AS TIMESTAMPTZ)::TIMESTAMP,
    try(make_timestamp((try_cast(time_text AS DOUBLE) *
        CASE WHEN abs(try_cast(time_text AS DOUBLE)) < 1e11 THEN 1e6
             WHEN abs(try_cast(time_text AS DOUBLE)) < 1e14 THEN 1e3
             WHEN abs(try_cast(time_text AS DOUBLE)) < 1e17 THEN 1 ELSE 1e-3 END)::BIGINT))) END)"""


def columns_of(splits: Sequence[Sequence[Source]]) -> tuple[str, ...]:
    """Return which of COLUMNS some of the sources have; the split where there are several."""
    role = {"amount": "count", "time": "time", "session": "session", "position": "position"}
    found = {column for column, of in role.items() if any(source.has(of) for those in splits for source in those)}
    return tuple(column for column in COLUMNS if column in found or (column == "split" and any(splits[1:])))


class Part(NamedTuple):
    """The rows of one source in the table `staged`."""

    source: Source
    rows: str
    """SQL, `FROM ... WHERE ...`."""


class SuspectFile(NamedTuple):
    """A file with unreadable rows that are known by their place alone, for its rows are its lines."""

    source: Source
    path: Path
    number: int
    """What the table `suspects` calls it."""
    rows: int
    """Lines that are not blank."""
    suspects: int
    """Lines that are unreadable, or objects without any of the fields."""


def stage(
    connection: duckdb.DuckDBPyConnection, splits: Sequence[Sequence[Source]], columns: Sequence[str]
) -> tuple[Counts, list[SuspectFile]]:
    """Read all sources into the table `staged`, those of `splits[s]` with split s, and count what cannot be read.

    staged: file, user_id, track_id, fate (of LISTENING, or of DROPPED as far as it is known), detail (what is
    unreadable, the unknown type, or which of LISTENING has no user) and the `columns`; a session is its hash.
    users and tracks: code and user_id or track_id of all rows, codes in the order of the ids. The files that are
    returned have rows in the table `suspects`, which are not counted yet.
    """
    names = dict.fromkeys(str(file.readable) for sources in splits for source in sources for file in source.files)
    connection.execute(f"CREATE TYPE file AS ENUM ({', '.join(map(text, names))})")
    connection.execute(f"CREATE TYPE fate AS ENUM {LISTENING + DROPPED}")
    types = {column: type_ for column, (type_, _) in COLUMNS.items() if column in columns}
    types = {"file": "file", "user_id": "VARCHAR", "track_id": "VARCHAR", "fate": "fate"} | types
    described = ", ".join(f"{column} {type_}" for column, type_ in types.items())
    connection.execute(f"CREATE TABLE staged ({described}, detail VARCHAR)")
    parts = [_stage(connection, split, source, columns) for split, those in enumerate(splits) for source in those]
    is_sure = all(source.closely for those in splits for source in those if source.format == "json")
    for what in ("user", "track"):
        _number(connection, what)
        if not is_sure:
            _check_not_nested(connection, what)
        _mark_faults(connection, what)
    counts = Counts(read=count(connection, "FROM refused") + count(connection, "FROM staged"))
    connection.execute("CREATE TABLE suspects (file INTEGER, place BIGINT, reason VARCHAR)")
    files: list[SuspectFile] = []
    for part in parts:
        if part.source.has_fast_reader:
            files += _keep_places(connection, part, len(files))
        else:
            _keep_unreadable(connection, part)
    for reason, rows in connection.execute(
        "SELECT reason, count(*) FROM (SELECT reason FROM unreadable UNION ALL SELECT reason FROM refused) GROUP BY ALL"
    ).fetchall():
        counts.unreadable[reason] += rows
    return counts, files


def name_suspects(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SuspectFile], rejected: TextIO
) -> list[Counter[str]]:
    """Write the unreadable lines of each file to rejected.jsonl, and return how many there are of each reason."""
    return [_name(connection, file, rejected) for file in files]


def count_suspects(counts: Counts, files: Sequence[SuspectFile], unreadable: Sequence[Counter[str]]) -> None:
    """Count what `name_suspects` found, and what was unreadable all together."""
    for file, lines in zip(files, unreadable, strict=True):
        counts.unreadable += lines
        # What is left are objects with none of the fields: a row of nulls, and nothing wrong with the line.
        counts.dropped["no_event_type" if file.source.has("event") else "no_track"] += file.suspects - lines.total()
    counts.dropped["unreadable"] = counts.unreadable.total()


def _name(connection: duckdb.DuckDBPyConnection, file: SuspectFile, rejected: TextIO) -> Counter[str]:
    keys = [file.source.columns.names[place] for _, place in file.source.columns.roles]
    suspects = connection.execute("SELECT place, reason FROM suspects WHERE file = ? ORDER BY place", [file.number])
    return write(name_lines(file.path, suspects, file.rows, keys), rejected)


def _stage(connection: duckdb.DuckDBPyConnection, split: int, source: Source, columns: Sequence[str]) -> Part:
    first = count(connection, "FROM staged")
    rejects = f"events_{first}_{id(source)}"
    # In the order of the files, so that the place of a row says on which line it was.
    try:
        with in_order(connection):
            connection.execute(f"INSERT INTO staged BY NAME {_judged(source, split, columns, fields(source, rejects))}")
    except FAILURES as error:
        raise unreadable_file(connection, source, error) from error
    if not source.has_fast_reader:
        keep_refused(connection, source, rejects)
    return Part(source, f"FROM staged WHERE rowid >= {first} AND rowid < {count(connection, 'FROM staged')}")


def _number(connection: duckdb.DuckDBPyConnection, what: str) -> None:
    connection.execute(
        f"CREATE TABLE {what}s AS SELECT (row_number() OVER (ORDER BY {what}_id) - 1)::INTEGER AS code, {what}_id "
        f"FROM (SELECT DISTINCT {what}_id FROM staged WHERE {what}_id IS NOT NULL)"
    )


def _check_not_nested(connection: duckdb.DuckDBPyConnection, what: str) -> None:
    """Raise where an id looks like a list or an object of JSON, and may be a text all the same."""
    if count(connection, f"FROM {what}s WHERE {what}_id[1] IN ('[', '{{')"):
        raise LookCloserError(f"a {what} may be a list or an object")


def faults(value: str) -> dict[str, str]:
    """Return SQL for what may be wrong with an id, and what that is called: the same as `training.ids.fault_of`."""
    return {f"length({value}) > {LONGEST_ID}": TOO_LONG, f"regexp_matches({value}, '{CONTROL}')": BREAKS_LINES}


def _mark_faults(connection: duckdb.DuckDBPyConnection, what: str) -> None:
    """Make rows unreadable whose ids have a fault; to look at each different id is cheaper than at each row."""
    for condition, fault in faults(f"{what}_id").items():
        bad = f"FROM {what}s WHERE {condition}"
        if count(connection, bad):
            connection.execute(
                f"UPDATE staged SET fate = 'unreadable', detail = '{fault}' "
                f"WHERE {what}_id IN (SELECT {what}_id {bad}) AND fate <> 'unreadable'"
            )


def _keep_places(connection: duckdb.DuckDBPyConnection, part: Part, known: int) -> Iterator[SuspectFile]:
    """Keep the places of unreadable rows of a source, whose rows are its lines, in the table `suspects`."""
    paths = {str(file.readable): file.path for file in part.source.files}
    files = connection.execute(
        f"""SELECT file::VARCHAR, min(rowid), count(*), count(*) FILTER (fate = 'unreadable') AS suspects {part.rows}
            GROUP BY file HAVING suspects > 0 ORDER BY min(rowid)"""
    ).fetchall()
    for number, (file, first, rows, suspects) in enumerate(files, start=known):
        connection.execute(
            f"INSERT INTO suspects SELECT {number}, rowid - {first}, detail {part.rows} "
            "AND file = ? AND fate = 'unreadable'",
            [file],
        )
        yield SuspectFile(part.source, paths[file], number, rows, suspects)


def _keep_unreadable(connection: duckdb.DuckDBPyConnection, part: Part) -> None:
    """Read a source again, if it has unreadable rows, to keep their file, key and reason."""
    if count(connection, f"{part.rows} AND fate = 'unreadable'") == 0:
        return
    of_ids = faults("user_text") | faults("track_text")
    connection.execute(
        f"""INSERT INTO unreadable SELECT file, line, problem, key
            FROM (SELECT *, {_problem(part.source, of_ids)} AS problem
                  FROM (SELECT *, {_typed(part.source)} FROM ({relation(part.source, f"unreadable_{id(part)}")})))
            WHERE problem IS NOT NULL"""
    )


def _judged(source: Source, split: int, columns: Sequence[str], rows: str) -> str:
    """Return SQL for the columns of `staged`."""
    spelt, unusual, type_ = _fate("event_text", SPELT), UNUSUAL, "lower(trim(event_text))"
    if not source.has("event"):
        spelt, unusual, type_ = "'play'::fate", "NULL", "NULL"
    # A count beyond INTEGER makes its row unreadable, and must not stop the others.
    values = ["try_cast(amount AS INTEGER) AS amount" if column == "amount" else column for column in columns]
    return f"""
        SELECT {", ".join(("file", "user_id", "track_id", *values))},
            CASE WHEN problem IS NOT NULL THEN 'unreadable'::fate
                 WHEN (track_id IS NULL OR user_id IS NULL) AND {is_listening("known")}
                 THEN CASE WHEN track_id IS NULL THEN 'no_track'::fate ELSE 'no_user'::fate END
                 ELSE known END AS fate,
            CASE WHEN problem IS NOT NULL THEN problem WHEN known = 'unknown_event_type' THEN type
                 WHEN user_id IS NULL THEN known::VARCHAR END AS detail
        FROM (SELECT *, {split} AS split, coalesce(spelt, {unusual}) AS known, {_problem(source, {})} AS problem
              FROM (SELECT *, CASE WHEN spelt IS NULL THEN {type_} END AS type
                    FROM (SELECT *, {spelt} AS spelt, {_typed(source)} FROM ({rows}))))"""


def _typed(source: Source) -> str:
    time = TIME if source.has("time") else "NULL::TIMESTAMP"
    amount = "try_cast(count_text AS DOUBLE)" if source.has("count") else "1"
    position = "try_cast(position_text AS INTEGER)" if source.has("position") else "NULL::INTEGER"
    # Of a session only whether it is the same as another one is asked: 8 bytes instead of a text of any length.
    return (
        "nullif(user_text, '') AS user_id, nullif(track_text, '') AS track_id, "
        f"CASE WHEN session_text <> '' THEN hash(session_text) END AS session, "
        f"{time} AS time, {amount} AS amount, {position} AS position"
    )


def _problem(source: Source, also: Mapping[str, str]) -> str:
    """Return SQL for what makes a row unreadable, null where nothing does; `also` are further conditions."""
    cases = {"broken": BROKEN, "nested": NESTED, **also} if source.format == "json" else dict(also)
    if source.has("time"):
        absurd = f"time IS NULL OR time NOT BETWEEN TIMESTAMP '{EARLIEST}' AND TIMESTAMP '{LATEST}'"
        cases[f"time_text <> '' AND ({absurd})"] = f"no time between {EARLIEST} and {LATEST}"
    if source.has("count"):
        cases["amount IS NULL OR amount <> trunc(amount) OR amount NOT BETWEEN 0 AND 2147483647"] = (
            "count is no whole number"
        )
    if source.has("position"):
        cases["position_text <> '' AND position IS NULL"] = "position is no whole number"
    whens = " ".join(f"WHEN {case} THEN '{reason}'" for case, reason in cases.items())
    return f"CASE {whens} END" if cases else "NULL"
