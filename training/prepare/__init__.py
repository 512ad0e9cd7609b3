"""Raw logs in, prepared data out: clean, split, aggregated to one row per user and track.

DuckDB does the work out of core; a folder beside the output holds everything until it is complete, so a prepare
that fails leaves what was there before untouched.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Final, Literal

import duckdb

from service.core.errors import ConfigurationError, DataError
from training.output import PREPARED, publish, working_folder
from training.prepare.catalogue import ARTISTS, TRACKS, USERS, Mended, read_tracks, read_users
from training.prepare.cleaning import Counts, clean, count
from training.prepare.database import Database, open_database
from training.prepare.report import PairCounts, Report, count_pairs, density, notes_on
from training.prepare.splits import NAMES, TRAIN, Split, make_pairs
from training.prepare.staging import columns_of, count_suspects, name_suspects, stage
from training.sources import LookCloserError, Source, find_sources
from training.sources.columns import EVENTS, GROUP_EVENTS, Vocabulary
from training.sources.rejected import find_rejected, make_tables, write
from training.sources.sql import text

__all__ = ["PrepareSettings", "Report", "prepare"]

Listener = Literal["user", "group"]

PREFIX: Final[dict[Listener, str]] = {"user": "", "group": "group_"}
"""What the files of pairs begin with."""

EVENT: Final[dict[Listener, str]] = {"user": "event", "group": "event of a group"}
"""What each row of the logs is, to whoever reads what went wrong."""

MOST_THREADS: Final = 1024
"""More than any machine has use for, and less than what a system refuses to start."""

FILES = {
    *(f"{prefix}{name}.parquet" for prefix in ("", "group_") for name in NAMES),
    *(f"{name}.parquet" for name in ("tracks", "users", "groups")),
    *("report.json", "report.txt", "rejected.jsonl", "group_rejected.jsonl"),
}
"""What a prepared folder may hold; one with anything else in it is never replaced."""


@dataclass(frozen=True)
class PrepareSettings:
    """What to read and how to split it."""

    events: Sequence[Path]
    """Files and folders of events; with the split `given` those of train."""
    tracks: Sequence[Path] = ()
    """The catalogue; where it is given, events of tracks that it does not have are dropped."""
    artists: Sequence[Path] = ()
    users: Sequence[Path] = ()
    groups: Path | None = None
    """JSON lines {"group_id", "user_ids"}: who is in which group."""
    group_events: Sequence[Path] = ()
    """What groups listened to together: a column of the group's id stands where else that of the user does."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role to column name, where the names of the events' columns do not say it."""
    split: Split | None = None
    """None: `given` where validation or test is, else user-time where there is time, else random."""
    holdout: tuple[float, float] = (0.1, 0.1)
    """Shares of validation and test."""
    validation: Sequence[Path] = ()
    test: Sequence[Path] = ()
    """Files of a split that is given."""
    seed: int = 0
    keep_duplicates: bool = False
    """For logs without a time whose repeated rows are repeated plays."""
    memory_limit: str = "1GB"
    """Of DuckDB's buffers; beyond it works in a temporary folder below the output."""
    threads: int | None = None
    """None: one for each core."""


def prepare(settings: PrepareSettings, out: Path) -> Report:
    """Write the prepared data of some logs into the folder `out`, replacing an earlier one.

    Raises DataError for files that cannot be read or understood and when no event is left, ConfigurationError for
    settings that contradict each other.
    """
    _check(settings, out)
    with working_folder(out) as folder:
        prepared, work = folder / PREPARED, folder / "work"
        prepared.mkdir()
        n_groups = None if settings.groups is None else _write_groups(settings.groups, prepared / "groups.parquet")
        of_groups = _prepare(of_group_events(settings), "group", prepared, work) if settings.group_events else None
        report = replace(_prepare(settings, "user", prepared, work), groups=n_groups, group_events=of_groups)
        (prepared / "report.json").write_text(report.to_json(), encoding="utf-8")
        (prepared / "report.txt").write_text(report.to_text(), encoding="utf-8")
        publish(folder, out)
    return report


def _write_groups(path: Path, out: Path) -> int:
    # Whoever has no groups need not wait for pandas and pydantic, which take longer than many a log.
    from training.prepare.groups import write_groups

    return write_groups(path, out)


def of_group_events(settings: PrepareSettings) -> PrepareSettings:
    """Return the settings that read the events of groups as others read those of users."""
    split = None if settings.split == "given" else settings.split
    return replace(settings, events=settings.group_events, users=(), validation=(), test=(), columns={}, split=split)


def _prepare(settings: PrepareSettings, who: Listener, prepared: Path, work: Path) -> Report:
    try:
        return _attempt(settings, who, prepared, work, closely=False)
    except LookCloserError:
        return _attempt(settings, who, prepared, work, closely=True)


def _attempt(settings: PrepareSettings, who: Listener, prepared: Path, work: Path, *, closely: bool) -> Report:
    work.mkdir()
    try:
        with open_database(settings.memory_limit, settings.threads, work) as database:
            return database.run(partial(_prepare_events, database, settings, who, prepared, work, closely=closely))
    finally:
        shutil.rmtree(work)


def _check(settings: PrepareSettings, out: Path) -> None:
    validation, test = settings.holdout
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ConfigurationError(f"the shares held out must leave something to train on, got {validation} and {test}")
    if settings.split is not None and (settings.split == "given") != bool(settings.validation or settings.test):
        raise ConfigurationError("the split 'given' and the files of validation and test go together")
    if settings.artists and not settings.tracks:
        raise ConfigurationError("artists say nothing without the tracks that name them")
    if settings.threads is not None and not 1 <= settings.threads <= MOST_THREADS:
        raise ConfigurationError(f"threads must be 1 to {MOST_THREADS}, got {settings.threads}")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; prepared data is a folder")
    if out.is_dir() and (foreign := sorted({path.name for path in out.iterdir()} - FILES)):
        raise DataError(f"{out} holds {foreign[0]!r}, which is no prepared data; it will not be replaced")


def _prepare_events(
    database: Database, settings: PrepareSettings, who: Listener, out: Path, work: Path, *, closely: bool
) -> Report:
    connection = database.connection

    def find(paths: Sequence[Path], vocabulary: Vocabulary) -> list[Source]:
        told = settings.columns if vocabulary is EVENTS else {}
        return find_sources(connection, paths, vocabulary, told, work, closely=closely)

    vocabulary = EVENTS if who == "user" else GROUP_EVENTS
    logs = [find(paths, vocabulary) for paths in (settings.events, settings.validation, settings.test)]
    _check_apart(logs)
    tracks, artists, users = find(settings.tracks, TRACKS), find(settings.artists, ARTISTS), find(settings.users, USERS)
    columns = columns_of(logs)
    make_tables(connection)
    counts, suspects = stage(connection, logs, columns)
    n_of_events = count(connection, "FROM refused") + count(connection, "FROM unreadable")
    of_tracks = read_tracks(connection, tracks, artists) if settings.tracks else Mended()
    of_users = read_users(connection, users) if settings.users else Mended()
    catalogue_rejected = count(connection, "FROM refused") + count(connection, "FROM unreadable") - n_of_events
    with (
        (out / f"{PREFIX[who]}rejected.jsonl").open("w", encoding="utf-8") as rejected,
        ThreadPoolExecutor(max_workers=1) as meanwhile,  # to find lines again takes one core and no database
    ):
        naming = meanwhile.submit(name_suspects, database.cursor(), suspects, rejected)
        clean(connection, counts, columns, keep_duplicates=settings.keep_duplicates)
        count_suspects(counts, suspects, naming.result())
        named = chain(*logs, *(() if who == "group" else (tracks, artists, users)))  # the catalogue only once
        write(find_rejected(connection, named), rejected)
    if counts.kept == 0:
        raise DataError(f"no {EVENT[who]} is left of {counts.read} read: {_reasons(counts, settings.events)}")
    split = _split(settings, counts, who)
    make_pairs(connection, split, settings.holdout, settings.seed)
    connection.execute("DROP TABLE kept")
    found = _write(database, settings, who, out)
    report = _report(connection, settings, split, counts, found, out)
    notes = notes_on(split, _expected(settings, split), found.splits)
    if found.splits[NAMES[TRAIN]].pairs == 0 and who == "user":
        raise DataError(f"{counts.kept} events are left of {counts.read} read, none to train on. {' '.join(notes)}")
    return replace(
        report,
        catalogue_rejected=catalogue_rejected,
        catalogue_repeated=of_tracks.repeated + of_users.repeated,
        durations_dropped=of_tracks.durations,
        notes=notes,
    )


def _expected(settings: PrepareSettings, split: Split) -> list[str]:
    """Return the splits that somebody who gives these settings expects something in."""
    train, *others = NAMES
    wanted = (settings.validation, settings.test) if split == "given" else settings.holdout
    return [train, *(name for name, some in zip(others, wanted, strict=True) if some and split != "none")]


def _check_apart(splits: Sequence[Sequence[Source]]) -> None:
    """Raise where two splits name the same file."""
    files = [{file.path.resolve() for source in sources for file in source.files} for sources in splits]
    for one, other in combinations(files, 2):
        if both := sorted(one & other):
            raise ConfigurationError(f"{both[0]} is given to two splits; what a model learned it is not judged by")


def _split(settings: PrepareSettings, counts: Counts, who: Listener) -> Split:
    if settings.validation or settings.test:
        return "given"
    has_time = counts.last_time is not None
    if settings.split in ("time", "user-time") and not has_time:
        raise DataError(f"the split {settings.split!r} needs a time, and no {EVENT[who]} has one; use random or none")
    return settings.split or ("user-time" if has_time else "random")


def _write(database: Database, settings: PrepareSettings, who: Listener, out: Path) -> PairCounts:
    """Write the Parquet files, and count the pairs meanwhile: no single query keeps all cores at work to its end."""
    files = {f"{PREFIX[who]}{name}": _of_split(split, who) for split, name in enumerate(NAMES)}
    if who == "user":
        files["tracks"] = _catalogue(settings, out)
        if settings.users:
            files["users"] = "FROM people ORDER BY user_id"
    with ThreadPoolExecutor(2) as pool:
        counting = pool.submit(count_pairs, database.cursor())
        writing = [pool.submit(_copy, database.cursor(), rows, out / f"{name}.parquet") for name, rows in files.items()]
        try:
            for file in writing:
                file.result()
            return counting.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _of_split(split: int, who: Listener) -> str:
    return f"""
        SELECT user_id AS {who}_id, track_id, (plays::BIGINT + likes)::FLOAT AS score, plays, skips, likes,
            last_time, position
        FROM pairs JOIN users ON users.code = pairs.user JOIN tracks ON tracks.code = pairs.track
        WHERE split = {split} ORDER BY pairs.user, pairs.track"""


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    # Whoever reads such a file reads all of it, so a filter that says which ids are in a part of it would not pay.
    connection.execute(f"COPY ({query}) TO {text(str(path))} (FORMAT parquet, write_bloom_filter false)")


def _catalogue(settings: PrepareSettings, out: Path) -> str:
    """Return the given catalogue, else the tracks of the events that were kept, those of groups included."""
    if settings.tracks:
        return "SELECT * EXCLUDE (code) FROM tracks ORDER BY code"
    kept = "SELECT track_id FROM tracks SEMI JOIN pairs ON tracks.code = pairs.track"
    for path in sorted(out.glob("group_*.parquet")):
        kept += f" UNION SELECT track_id FROM read_parquet({text(str(path))})"
    return (
        "SELECT track_id, NULL::VARCHAR AS title, NULL::VARCHAR AS artist_id, NULL::VARCHAR AS artist, "
        "NULL::VARCHAR AS album_id, NULL::INTEGER AS duration_ms, NULL::BOOLEAN AS explicit, "
        f"NULL::VARCHAR AS release_date FROM ({kept}) ORDER BY track_id"
    )


def _reasons(counts: Counts, paths: Sequence[Path]) -> str:
    dropped = {**counts.dropped, **counts.unreadable}
    reasons = ", ".join(f"{rows} {reason}" for reason, rows in dropped.items() if rows)
    return reasons or f"nothing is in {', '.join(map(str, paths))}"


def _report(
    connection: duckdb.DuckDBPyConnection,
    settings: PrepareSettings,
    split: Split,
    counts: Counts,
    found: PairCounts,
    out: Path,
) -> Report:
    catalogue = out / "tracks.parquet"
    n_catalogue = (
        count(connection, f"FROM read_parquet({text(str(catalogue))})") if catalogue.exists() else found.tracks
    )
    parameters = json.loads(json.dumps(asdict(settings) | {"split": split}, default=str))
    return Report(
        rows_read=counts.read,
        events_kept=counts.kept,
        dropped=counts.dropped,
        unreadable=dict(sorted(counts.unreadable.items())),
        unknown_event_types=counts.unknown_event_types,
        users_filled_in=counts.users_filled_in,
        users=found.users,
        tracks=found.tracks,
        pairs=found.pairs,
        density=density(found.pairs, found.users, found.tracks),
        catalogue_tracks=n_catalogue,
        events_by_type=counts.by_type,
        last_time=counts.last_time,
        splits=found.splits,
        parameters=parameters,
        sha256={path.name: _sha256(path) for path in sorted(out.iterdir())},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
