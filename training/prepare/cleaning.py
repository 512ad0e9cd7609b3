"""From staged rows to clean events: what is kept, and why the rest is not.

Rules (ALGORITHMS, section 1), the first that fits wins: a row that cannot be understood is unreadable;
advertisements go; events without type, of unknown type, or without track go; a missing user is taken from the
other events of the session where they agree, else the event goes; tracks that a given catalogue does not know go;
exact duplicates go. Every row read is either kept or counted under one of `DROPPED`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb

from training.prepare.database import in_order

LISTENING = ("play", "skip", "like")
"""What an event can be that is kept."""

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


COLUMNS = {
    "split": ("TINYINT", "0"),
    "amount": ("INTEGER", "1"),
    "time": ("TIMESTAMP", "NULL"),
    "session": ("UBIGINT", "NULL"),
    "position": ("INTEGER", "NULL"),
}
"""Columns that not every log has: type, and what they hold where they are missing. A table of events leaves out those
that would hold nothing else, because every column costs time and memory for each of millions of rows."""


@dataclass
class Counts:
    """What happened to the rows of a log; read = kept + the sum of dropped."""

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DROPPED, 0))
    unreadable: Counter[str] = field(default_factory=Counter)
    """Reason to number of rows."""
    unknown_event_types: dict[str, int] = field(default_factory=dict)
    users_filled_in: int = 0
    """Events whose missing user was taken from their session."""
    by_type: dict[str, int] = field(default_factory=dict)
    """Kind to number of events kept."""
    last_time: str | None = None
    """When the last event that was kept happened, None where no event says."""


def clean(
    connection: duckdb.DuckDBPyConnection, counts: Counts, columns: Sequence[str], *, keep_duplicates: bool
) -> None:
    """Turn `staged` into `events`, and count what was dropped on the way; `staged` is used up.

    events: user, track (codes of the tables users and tracks), kind, and all of COLUMNS; a view of the table `kept`,
    which has only the `columns` that staged has.
    """
    event = ", ".join(("user", "track", "kind", *columns))
    _count_fates(connection, counts)
    usable = f"FROM staged WHERE {is_listening('fate')}"
    n_usable = count(connection, usable)
    connection.execute(f"CREATE TABLE kept AS {_coded(f'(SELECT *, fate AS kind {usable})', event)}")
    if "session" in columns and counts.dropped["no_user"]:
        counts.users_filled_in = _fill_in_users(connection, columns)
        counts.dropped["no_user"] -= counts.users_filled_in
        connection.execute(f"INSERT INTO kept {_coded('filled', event)}")
    connection.execute("DROP TABLE staged")
    counts.dropped["unknown_track"] = n_usable + counts.users_filled_in - count(connection, "FROM kept")
    if not keep_duplicates:
        counts.dropped["duplicate"] = _drop_duplicates(connection, event)
    missing = [f"{value}::{type_} AS {name}" for name, (type_, value) in COLUMNS.items() if name not in columns]
    connection.execute(f"CREATE VIEW events AS SELECT {', '.join(('*', *missing))} FROM kept")
    for kind, events, last_time in connection.execute(
        "SELECT kind::VARCHAR, count(*), (max(max(time)) OVER ())::VARCHAR FROM events GROUP BY kind ORDER BY kind"
    ).fetchall():
        counts.by_type[kind], counts.last_time = events, last_time
    counts.kept = sum(counts.by_type.values())


def _coded(rows: str, event: str) -> str:
    """Return SQL for the columns `event` of rows that have user_id and track_id in the place of user and track."""
    return (
        f"SELECT {event} FROM (SELECT rows.*, users.code AS user, tracks.code AS track "
        f"FROM {rows} AS rows JOIN users USING (user_id) JOIN tracks USING (track_id))"
    )


def _fill_in_users(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> int:
    """Find the user of events without one, where the other events of the session agree on one; return how many.

    They go to the table `filled`: user_id, track_id, kind and the `columns`.
    """
    connection.execute(
        f"CREATE TEMP TABLE orphans AS SELECT {', '.join(('track_id', 'detail::fate AS kind', *columns))} "
        "FROM staged WHERE fate = 'no_user'"
    )
    connection.execute(
        """CREATE TEMP TABLE filled AS SELECT owner.user_id, orphans.*
           FROM orphans JOIN (SELECT session, min(user_id) AS user_id FROM staged SEMI JOIN orphans USING (session)
                              WHERE fate <> 'unreadable'
                              GROUP BY session HAVING min(user_id) = max(user_id)) AS owner USING (session)"""
    )
    return count(connection, "FROM filled")


def _count_fates(connection: duckdb.DuckDBPyConnection, counts: Counts) -> None:
    """Count what is dropped for a fate of its own, and what has no user."""
    for fate, type_, rows in connection.execute(
        f"""SELECT fate::VARCHAR, CASE fate WHEN 'unknown_event_type' THEN detail END AS type, count(*) FROM staged
            WHERE fate <> 'unreadable' AND NOT {is_listening("fate")} GROUP BY ALL ORDER BY type"""
    ).fetchall():
        counts.dropped[fate] += rows
        if type_ is not None:
            counts.unknown_event_types[type_] = rows


def _drop_duplicates(connection: duckdb.DuckDBPyConnection, event: str) -> int:
    """Leave one of the rows that agree in the columns `event`, and return how many went.

    Only rows that share a hash with another one are compared, because in most logs few do. Equal hashes stand side by
    side once they are sorted, which takes half of what a GROUP BY takes with as many groups as rows; 32 bits of them
    are sorted in two thirds of the time of 64, and few rows share those by chance.
    """
    hash_ = f"(hash({event}) >> 32)::UINTEGER"
    with in_order(connection):
        connection.execute(f"CREATE TEMP TABLE hashes AS SELECT {hash_} AS hash FROM kept ORDER BY hash")
        connection.execute(
            """CREATE TEMP TABLE shared AS SELECT hash
               FROM (SELECT hash, lag(hash) OVER () AS previous FROM hashes) WHERE hash = previous"""
        )
    connection.execute("DROP TABLE hashes")
    connection.execute(
        f"""CREATE TEMP TABLE repeated AS SELECT unnest(list(kept.rowid)[2:]) AS row
            FROM kept SEMI JOIN shared ON shared.hash = {hash_} GROUP BY {event}"""
    )
    connection.execute("DELETE FROM kept WHERE rowid IN (FROM repeated)")
    return count(connection, "FROM repeated")


def is_listening(fate: str) -> str:
    """Return SQL for whether a fate is of LISTENING, with which its type begins; IN compares it with each of them."""
    return f"{fate} <= '{LISTENING[-1]}'::fate"


def count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Return how many rows `FROM ...` has."""
    found = connection.execute(f"SELECT count(*) {rows}").fetchone()
    return int(found[0]) if found else 0
