"""The catalogue: tracks, their artists, and the names of users."""

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from training.prepare.cleaning import count
from training.prepare.database import in_order
from training.prepare.staging import faults
from training.sources import Source
from training.sources.columns import Vocabulary
from training.sources.rejected import BROKEN, FAILURES, NESTED, keep_refused, unreadable_file
from training.sources.sql import relation

TRACKS = Vocabulary(
    {
        "track_id": ("track_id", "id", "media_id", "song_id", "item_id"),
        "title": ("title", "name", "track_name"),
        "artist_id": ("artist_id", "id_artist"),
        "artist": ("artist", "artist_name"),
        "album_id": ("album_id", "id_album"),
        "duration_ms": ("duration_ms",),
        "explicit": ("explicit",),
        "release_date": ("release_date",),
    },
    required=("track_id",),
)
ARTISTS = Vocabulary(
    {"artist_id": ("artist_id", "id"), "name": ("name", "artist", "artist_name")}, required=("artist_id", "name")
)
USERS = Vocabulary(
    {"user_id": ("user_id", "id", "playlist_id"), "name": ("name", "user_name", "title")}, required=("user_id",)
)

TYPED = {
    "duration_ms": "try_cast(round(try_cast(duration_ms_text AS DOUBLE)) AS INTEGER)",
    "explicit": "CASE lower(explicit_text) WHEN '1' THEN true WHEN 'true' THEN true "
    "WHEN '0' THEN false WHEN 'false' THEN false END",
}
"""The columns that are not text."""


class Mended(NamedTuple):
    """What was not taken from a catalogue as it stands there."""

    repeated: int = 0
    """Lines with an id that an earlier one has."""
    durations: int = 0
    """Tracks with a duration that is not positive, as some catalogues write what they do not know."""


def read_tracks(connection: duckdb.DuckDBPyConnection, tracks: Sequence[Source], artists: Sequence[Source]) -> Mended:
    """Make the table `tracks` anew: code (in order of track_id), and the columns of tracks.parquet."""
    repeated = _read(connection, "artists", artists, ARTISTS) + _read(connection, "titles", tracks, TRACKS)
    connection.execute(
        """CREATE OR REPLACE TABLE tracks AS
            SELECT (row_number() OVER (ORDER BY track_id) - 1)::INTEGER AS code,
                titles.* REPLACE (coalesce(artist, artists.name) AS artist,
                    CASE WHEN duration_ms > 0 THEN duration_ms END AS duration_ms)
            FROM titles LEFT JOIN artists USING (artist_id)"""
    )
    return Mended(repeated, count(connection, "FROM titles WHERE duration_ms <= 0"))


def read_users(connection: duckdb.DuckDBPyConnection, users: Sequence[Source]) -> Mended:
    """Make the table `people`: the columns of users.parquet."""
    return Mended(_read(connection, "people", users, USERS))


def _read(connection: duckdb.DuckDBPyConnection, table: str, sources: Sequence[Source], vocabulary: Vocabulary) -> int:
    """Make a table with one row for each id, the first role; lines without an id or unreadable are kept aside.

    Of several lines with the same id the first stays; returns how many others there are.
    """
    first, *others = vocabulary.names
    wrong = " ".join(f"WHEN {condition} THEN '{fault}'" for condition, fault in faults(f"{first}_text").items())
    texts = ", ".join(f"{role}_text VARCHAR" for role in vocabulary.names)
    connection.execute(f"CREATE TEMP TABLE raw (file VARCHAR, line BIGINT, key VARCHAR, problem VARCHAR, {texts})")
    for number, source in enumerate(sources):
        rejects = f"{table}_{number}"
        try:
            with in_order(connection):  # so that the first is the first
                connection.execute(
                    f"""INSERT INTO raw SELECT file, line, key,
                            CASE WHEN broken THEN '{BROKEN}' WHEN nested THEN '{NESTED}'
                                 WHEN coalesce({first}_text, '') = '' THEN 'no id'
                                 {wrong} END,
                            * EXCLUDE (file, line, key, broken, nested)
                        FROM ({relation(source, rejects)})"""
                )
        except FAILURES as error:
            raise unreadable_file(connection, source, error) from error
        keep_refused(connection, source, rejects)
    connection.execute("INSERT INTO unreadable SELECT file, line, problem, key FROM raw WHERE problem IS NOT NULL")
    columns = ", ".join(f"{role}: {TYPED.get(role, f'nullif({role}_text, {chr(39) * 2})')}" for role in others)
    connection.execute(
        f"CREATE TABLE {table} AS SELECT {first}, other.* FROM "
        f"(SELECT {first}_text AS {first}, arg_min({{{columns}}}, rowid) AS other FROM raw WHERE problem IS NULL "
        "GROUP BY ALL)"
    )
    repeated = count(connection, "FROM raw WHERE problem IS NULL") - count(connection, f"FROM {table}")
    connection.execute("DROP TABLE raw")
    return repeated
