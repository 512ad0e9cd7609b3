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

Split = Literal["user-time", "time", "random", "none", "given"]
SPLITS: tuple[Split, ...] = get_args(Split)

NAMES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

# 0 up to the first cut, 1 up to the second, else 2. Of equal cuts, as a share of 0 makes them, the later one wins.
AFTER_CUTS = "coalesce(time > cuts[1], false)::TINYINT + coalesce(time > cuts[2], false)::TINYINT"


def make_pairs(connection: duckdb.DuckDBPyConnection, split: Split, holdout: tuple[float, float], seed: int) -> None:
    """Aggregate `events` to `pairs`: split, user, track (codes), plays, skips, likes, last_time, position.

    `holdout` are the shares of validation and test. `events` is used up.
    """
    match split:
        case "none":
            which, cuts = str(TRAIN), ""
        case "given" | "random":
            which, cuts = "split", ""
        case "time":
            which, cuts = AFTER_CUTS, f"CROSS JOIN (SELECT {_quantiles(holdout)} FROM events)"
        case "user-time":
            by_user = f"SELECT user, {_quantiles(holdout)} FROM events GROUP BY user"
            which, cuts = AFTER_CUTS, f"JOIN ({by_user}) USING (user)"
    connection.execute(
        f"""CREATE TABLE pairs AS
            SELECT ({which})::TINYINT AS split, user, track,
                {_total("play")} AS plays, {_total("skip")} AS skips, {_total("like")} AS likes,
                max(time) AS last_time, min(position) AS position
            FROM events {cuts} GROUP BY ALL"""
    )
    connection.execute("DROP TABLE events")
    if split == "random":
        _split_at_random(connection, *holdout, seed)


def _total(kind: str) -> str:
    # As DOUBLE, exact far beyond INTEGER, because DuckDB sums integers as 128 bits. A total beyond INTEGER is no
    # count, and must not stop the work either.
    return f"least(coalesce(sum(amount::DOUBLE) FILTER (kind = '{kind}'), 0), 2147483647)::INTEGER"


def _quantiles(holdout: tuple[float, float]) -> str:
    validation, test = holdout
    shares = [round(1 - validation - test, 12), round(1 - test, 12)]
    return f"quantile_disc(time, {shares}) AS cuts"


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
