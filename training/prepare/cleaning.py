"""From text columns to clean events: what is kept, and why the rest is not.

Rules (ALGORITHMS, section 1), the first that fits wins: a row that cannot be understood is unreadable;
advertisements go; events without type, of unknown type, or without track go; a missing user is taken from the
other events of the session where they agree, else the event goes; tracks that a given catalogue does not know go;
exact duplicates go. Every row read is either kept or counted under one of `DROPPED`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from training.sources import Source
from training.sources.rejected import keep_refused, unreadable_file
from training.sources.sql import fields, relation

DROPPED = (
    "unreadable",
    "advertisement",
    "no_event_type",
    "unknown_event_type",
    "no_track",
    "no_user",
    "unknown_track",
    "duplicate",
)

EARLIEST, LATEST = "1990-01-01", "2100-01-01"
"""A time outside cannot be when somebody listened to a stream; it is a broken clock or a wrong unit."""

EVENT_KIND = """CASE lower(trim(event_text))
    WHEN 'play' THEN 'play' WHEN 'skip' THEN 'skip' WHEN 'like' THEN 'like'
    WHEN '1' THEN 'play' WHEN '0' THEN 'skip' WHEN 'true' THEN 'play' WHEN 'false' THEN 'skip'
    WHEN '1.0' THEN 'play' WHEN '0.0' THEN 'skip' END"""
"""1 and 0 are those of `is_listened`."""

IS_ADVERTISEMENT = "lower(trim(event_text)) LIKE 'advert%'"
"""`advertisment` and `ADVERTISMENT` are misspelt in real logs; we read what is there."""

# With an offset after the time of day the text is a moment in UTC; without, it is taken as UTC. Digits are an
# epoch in seconds, milliseconds, microseconds or nanoseconds, told apart by size.
TIME = """CASE WHEN contains(substr(time_text, 12), '+') OR contains(substr(time_text, 12), '-')
    THEN try_cast(try_cast(time_text AS TIMESTAMPTZ) AS TIMESTAMP)
    ELSE coalesce(try_cast(time_text AS TIMESTAMP), try(make_timestamp((try_cast(time_text AS DOUBLE) *
        CASE WHEN abs(try_cast(time_text AS DOUBLE)) < 1e11 THEN 1e6
             WHEN abs(try_cast(time_text AS DOUBLE)) < 1e14 THEN 1e3
             WHEN abs(try_cast(time_text AS DOUBLE)) < 1e17 THEN 1 ELSE 1e-3 END)::BIGINT))) END"""

BROKEN = "not a JSON object"
BREAKS_LINES = "control character in an id"
CONTROL = r"[\p{Cc}\x{2028}\x{2029}]"
"""An artifact keeps one id a line, so none may break it."""


@dataclass
class Counts:
    """What happened to the rows of a log; read = kept + the sum of dropped."""

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DROPPED, 0))
    unreadable: dict[str, int] = field(default_factory=dict)
    """Reason to number of rows."""
    unknown_event_types: dict[str, int] = field(default_factory=dict)
    users_filled_in: int = 0
    """Events whose missing user was taken from their session."""


def stage(connection: duckdb.DuckDBPyConnection, splits: Sequence[Sequence[Source]]) -> Counts:
    """Read all sources into the table `staged`, those of `splits[s]` with split s, and count what cannot be read.

    staged: source, split, user_id, track_id, kind, amount, time, session, position, fate (of DROPPED, null: none
    yet) and detail (what is unreadable, or the unknown type).
    """
    connection.execute(f"CREATE TYPE fate AS ENUM {DROPPED}")
    connection.execute("CREATE TYPE kind AS ENUM ('play', 'skip', 'like')")
    connection.execute(
        "CREATE TABLE staged (source INTEGER, split TINYINT, user_id VARCHAR, track_id VARCHAR, kind kind, "
        "amount INTEGER, time TIMESTAMP, session VARCHAR, position INTEGER, fate fate, detail VARCHAR)"
    )
    counts = Counts()
    sources = [(split, source) for split, those in enumerate(splits) for source in those]
    for number, (split, source) in enumerate(sources):
        _stage(connection, number, split, source)
    counts.read = count(connection, "FROM refused") + count(connection, "FROM staged")
    _mark_control_characters(connection)
    for number, (_, source) in enumerate(sources):
        _name_unreadable(connection, number, source, counts)
    counts.unreadable = dict(
        connection.execute(
            "SELECT reason, count(*) FROM (SELECT reason FROM unreadable UNION ALL SELECT reason FROM refused) "
            "GROUP BY reason ORDER BY reason"
        ).fetchall()
    )
    counts.dropped["unreadable"] = sum(counts.unreadable.values())
    return counts


def _stage(connection: duckdb.DuckDBPyConnection, number: int, split: int, source: Source) -> None:
    rejects = f"events_{number}"
    try:
        connection.execute(f"INSERT INTO staged SELECT {number}, {split}, {_judged(source, fields(source, rejects))}")
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise unreadable_file(connection, source, error) from error
    if not source.has_fast_reader:
        keep_refused(connection, source, rejects)


def _mark_control_characters(connection: duckdb.DuckDBPyConnection) -> None:
    """Make rows unreadable whose ids would break a line; to look at each different id is cheaper than at each row."""
    for column in ("user_id", "track_id"):
        # A table of its own, because the search would else be moved before the DISTINCT.
        connection.execute(f"CREATE OR REPLACE TEMP TABLE ids AS SELECT DISTINCT {column} FROM staged")
        bad = f"SELECT {column} FROM ids WHERE regexp_matches({column}, '{CONTROL}')"
        if count(connection, f"FROM ({bad})"):
            marks = f"SET fate = 'unreadable', detail = '{BREAKS_LINES}'"
            connection.execute(f"UPDATE staged {marks} WHERE {column} IN ({bad})")
    connection.execute("DROP TABLE ids")


def _name_unreadable(connection: duckdb.DuckDBPyConnection, number: int, source: Source, counts: Counts) -> None:
    """Read a source again, if rows of it are unreadable, to keep their file, key and reason."""
    marked = count(connection, f"FROM staged WHERE source = {number} AND fate = 'unreadable'")
    if marked == 0:
        return
    otherwise = f"source = {number} AND fate = 'unreadable' AND detail <> '{BROKEN}'"
    rejects = f"unreadable_{number}"
    rows = relation(source, rejects)
    if count(connection, f"FROM staged WHERE {otherwise}") == 0:
        # Nothing but the text is asked for, so no field of any line is looked at.
        unreadable = f"SELECT file, line, '{BROKEN}', key FROM ({rows}) WHERE broken"
    else:
        control = f"regexp_matches(concat(user_text, track_text), '{CONTROL}')"
        unreadable = f"""
            SELECT file, line, problem, key
            FROM (SELECT *, {_problem(source, {control: BREAKS_LINES})} AS problem
                  FROM (SELECT *, {_typed(source)} FROM ({rows})))
            WHERE problem IS NOT NULL"""
    known = count(connection, "FROM unreadable") + count(connection, "FROM refused")
    connection.execute(f"INSERT INTO unreadable {unreadable}")
    if source.has_fast_reader:
        keep_refused(connection, source, rejects)
    found = count(connection, "FROM unreadable") + count(connection, "FROM refused") - known
    # What is left are objects with none of the fields: a row of nulls, and nothing wrong with the line.
    counts.dropped["no_event_type" if source.has("event") else "no_track"] += marked - found


def _judged(source: Source, rows: str) -> str:
    kind, is_advertisement, no_type = EVENT_KIND, IS_ADVERTISEMENT, "nullif(trim(event_text), '') IS NULL"
    if not source.has("event"):
        kind, is_advertisement, no_type = "'play'", "false", "false"
    return f"""
        user_id, track_id, kind, amount, time, session, position,
            CASE WHEN problem IS NOT NULL THEN 'unreadable'
                 WHEN kind IS NOT NULL THEN CASE WHEN track_id IS NULL THEN 'no_track' END
                 WHEN {is_advertisement} THEN 'advertisement'
                 WHEN {no_type} THEN 'no_event_type'
                 ELSE 'unknown_event_type' END AS fate,
            CASE WHEN problem IS NOT NULL THEN problem WHEN kind IS NULL THEN lower(trim(event_text)) END
        FROM (SELECT *, {_problem(source, {})} AS problem
              FROM (SELECT *, {kind} AS kind, {_typed(source)} FROM ({rows})))"""


def _typed(source: Source) -> str:
    time = TIME if source.has("time") else "NULL::TIMESTAMP"
    amount = "try_cast(count_text AS DOUBLE)" if source.has("count") else "1"
    position = "try_cast(position_text AS INTEGER)" if source.has("position") else "NULL::INTEGER"
    return (
        "nullif(user_text, '') AS user_id, nullif(track_text, '') AS track_id, "
        f"nullif(session_text, '') AS session, {time} AS time, {amount} AS amount, {position} AS position"
    )


def _problem(source: Source, also: Mapping[str, str]) -> str:
    """Return SQL for what makes a row unreadable, null where nothing does; `also` are further conditions."""
    cases = {"broken": BROKEN, **also} if source.format == "json" else dict(also)
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


def clean(connection: duckdb.DuckDBPyConnection, counts: Counts, *, catalogue: bool, keep_duplicates: bool) -> None:
    """Turn `staged` into `events`, and count what was dropped on the way; `staged` is used up.

    users and tracks: code, and user_id or track_id; codes follow the order of the ids. events: split, user, track
    (codes), kind, amount, time, position, times (how often the row was there). With `catalogue` the table `tracks` is
    there already.
    """
    counts.users_filled_in = _fill_in_users(connection)
    _count_fates(connection, counts)
    _number(connection, "user")
    if not catalogue:
        _number(connection, "track")
    usable = "FROM staged WHERE fate IS NULL AND user_id IS NOT NULL"
    n_usable = count(connection, usable)
    # Beside equal user, track, kind and time, equal hashes of the session mean equal sessions.
    connection.execute(
        f"""CREATE TABLE events AS
            SELECT split, users.code AS user, tracks.code AS track, kind, time, position, count(*) AS times,
                amount{" * times" if keep_duplicates else ""} AS amount
            FROM staged JOIN users USING (user_id) JOIN tracks USING (track_id) WHERE fate IS NULL
            GROUP BY split, user, track, kind, staged.amount, time, position, hash(session)"""
    )
    connection.execute("DROP TABLE staged")
    [(different, known)] = connection.execute("SELECT count(*), coalesce(sum(times), 0)::BIGINT FROM events").fetchall()
    counts.kept = known if keep_duplicates else different
    counts.dropped["unknown_track"] = n_usable - known
    counts.dropped["duplicate"] = known - counts.kept


def _fill_in_users(connection: duckdb.DuckDBPyConnection) -> int:
    """Give events without user the user of their session, where its other events agree on one."""
    orphans = "FROM staged WHERE fate IS NULL AND user_id IS NULL"
    n_orphans = count(connection, orphans)
    if n_orphans == 0:
        return 0
    connection.execute(
        f"""UPDATE staged SET user_id = owner.user_id
            FROM (SELECT session, min(user_id) AS user_id FROM staged
                  WHERE session IN (SELECT session {orphans}) AND fate IS DISTINCT FROM 'unreadable'
                  GROUP BY session HAVING min(user_id) = max(user_id)) AS owner
            WHERE staged.fate IS NULL AND staged.user_id IS NULL AND staged.session = owner.session"""
    )
    return n_orphans - count(connection, orphans)


def _count_fates(connection: duckdb.DuckDBPyConnection, counts: Counts) -> None:
    for fate, rows in connection.execute(
        "SELECT fate::VARCHAR, count(*) FROM staged WHERE fate IS NOT NULL AND fate <> 'unreadable' GROUP BY fate"
    ).fetchall():
        counts.dropped[fate] += rows
    counts.dropped["no_user"] = count(connection, "FROM staged WHERE fate IS NULL AND user_id IS NULL")
    counts.unknown_event_types = dict(
        connection.execute(
            "SELECT detail, count(*) FROM staged WHERE fate = 'unknown_event_type' GROUP BY detail ORDER BY detail"
        ).fetchall()
    )


def _number(connection: duckdb.DuckDBPyConnection, what: str) -> None:
    connection.execute(
        f"CREATE TABLE {what}s AS SELECT (row_number() OVER (ORDER BY {what}_id) - 1)::INTEGER AS code, {what}_id "
        f"FROM (SELECT DISTINCT {what}_id FROM staged WHERE fate IS NULL AND {what}_id IS NOT NULL)"
    )


def count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Return how many rows `FROM ...` has."""
    found = connection.execute(f"SELECT count(*) {rows}").fetchone()
    return int(found[0]) if found else 0
