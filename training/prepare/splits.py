"""Which events or pairs are held out for validation and test, and the aggregation to pairs.

    none        nothing
    time        the latest events of the whole log: two moments cut it in three
    user-time   the latest events of each user: two moments for each
    random      pairs by a hash of seed, user and track: the same whatever the threads, files or order
    given       as the files say

Shares are (validation, test). Events of one moment stay together on the older side of a cut, and events without a
time count as oldest. An event belongs to one split, and each split is aggregated by itself: with `time` and
`user-time` a pair that was played before and after a cut is in both, as it is for a service that predicts the
future; the report says what share is new. With `random` no pair is in two splits.
"""

from typing import Literal, get_args

import duckdb

from training.prepare.cleaning import count

Split = Literal["user-time", "time", "random", "none", "given"]
SPLITS: tuple[Split, ...] = get_args(Split)

NAMES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

# 0 up to the first cut, 1 up to the second, else 2. Of equal cuts, as a share of 0 makes them, the later one wins.
AFTER_CUTS = "coalesce(time > first_cut, false)::TINYINT + coalesce(time > second_cut, false)::TINYINT"


def make_pairs(connection: duckdb.DuckDBPyConnection, split: Split, holdout: tuple[float, float], seed: int) -> None:
    """Aggregate `events` to `pairs`: split, user, track (codes), plays, skips, likes, last_time, position.

    last_time is that of the last play or like: models take it for the order in which a user chose tracks.

    `holdout` are the shares of validation and test.
    """
    which, cuts = AFTER_CUTS, ""
    match split:
        case "none":
            which = str(TRAIN)
        case "given" | "random":
            which = "split"
        case "time":
            _make_cuts(connection, "FROM events", holdout)
            cuts = "CROSS JOIN cuts"
        case "user-time":
            _make_cuts(connection, "user, FROM events GROUP BY user", holdout)
            cuts = "JOIN cuts USING (user)"
    plays, skips, likes = (_total(connection, kind) for kind in ("play", "skip", "like"))
    # An aggregate costs time for each of millions of groups, even one of nothing.
    position = "min(position)" if count(connection, "FROM events WHERE position IS NOT NULL") else "NULL::INTEGER"
    connection.execute(
        f"""CREATE TABLE pairs AS
            SELECT ({which})::TINYINT AS split, user, track, {plays} AS plays, {skips} AS skips, {likes} AS likes,
                max(time) FILTER (kind <> 'skip') AS last_time, {position} AS position
            FROM events {cuts} GROUP BY ALL"""
    )
    if split == "random":
        _split_at_random(connection, *holdout, seed)


def _make_cuts(connection: duckdb.DuckDBPyConnection, by: str, holdout: tuple[float, float]) -> None:
    """Make the table `cuts`: the two moments, of the whole log or `by` user."""
    validation, test = holdout
    shares = [round(1 - validation - test, 12), round(1 - test, 12)]
    connection.execute(
        f"""CREATE TEMP TABLE cuts AS SELECT * EXCLUDE (moments), moments[1] AS first_cut, moments[2] AS second_cut
            FROM (SELECT {by.replace("FROM", f"quantile_disc(time, {shares}) AS moments FROM")})"""
    )


def _total(connection: duckdb.DuckDBPyConnection, kind: str) -> str:
    if count(connection, "FROM events WHERE amount <> 1") == 0:
        return f"(count(*) FILTER (kind = '{kind}'))::INTEGER"
    # As DOUBLE, exact far beyond INTEGER, because DuckDB sums integers as 128 bits. A total beyond INTEGER is no
    # count, and must not stop the work either.
    return f"least(coalesce(sum(amount::DOUBLE) FILTER (kind = '{kind}'), 0), 2147483647)::INTEGER"


def _split_at_random(connection: duckdb.DuckDBPyConnection, validation: float, test: float, seed: int) -> None:
    # MD5 rather than DuckDB's own hash, which may change with its version.
    draw = f"md5_number_lower(concat_ws(chr(31), '{seed}', user_id, track_id)) / 18446744073709551616.0"
    connection.execute(
        f"""CREATE TABLE drawn AS
            SELECT CASE WHEN draw < {test} THEN {TEST} WHEN draw < {validation} + {test} THEN {VALIDATION}
                   ELSE {TRAIN} END::TINYINT AS split, * EXCLUDE (draw)
            FROM (SELECT pairs.* EXCLUDE (split), {draw} AS draw FROM pairs
                  JOIN users ON users.code = pairs.user JOIN tracks ON tracks.code = pairs.track)"""
    )
    connection.execute("DROP TABLE pairs")
    connection.execute("ALTER TABLE drawn RENAME TO pairs")
