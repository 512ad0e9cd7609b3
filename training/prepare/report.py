"""What `prepare` did, as numbers for a machine and as tables for a person."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import duckdb

from training.prepare.cleaning import count
from training.prepare.splits import NAMES, TRAIN, Split
from training.prepare.table import table

AT_RANDOM = "--split random holds out pairs whatever their times; more data may help, too"

EMPTY: dict[Split, tuple[str, str]] = {
    "user-time": ("no user has enough events at different moments", AT_RANDOM),
    "time": ("there are not enough events at different moments", AT_RANDOM),
    "random": ("there are too few pairs", "More data leave some for each split, and --holdout asks for other shares"),
    "given": ("no event of the files is left", "rejected.jsonl has those that could not be read"),
    "none": ("no event is left", "More data leave more"),
}
"""For each split why a part of it holds nothing, and the way out."""


@dataclass(frozen=True)
class SplitReport:
    """One of train, validation, test."""

    pairs: int
    users: int
    tracks: int
    plays: int
    skips: int
    likes: int
    density: float
    """Pairs over users x tracks of this split."""
    new_pairs: int | None
    """Pairs that are not in train; null for train itself."""
    share_new: float | None
    """new_pairs over pairs; null where there is no pair."""
    pairs_unknown_to_train: int | None
    """Pairs whose user or track train does not have: no model can answer for them."""


@dataclass(frozen=True)
class Report:
    """The whole of report.json."""

    rows_read: int
    events_kept: int
    dropped: Mapping[str, int]
    """By reason; rows_read = events_kept + their sum."""
    unreadable: Mapping[str, int]
    """The unreadable rows of the events by what is wrong with them; each is in rejected.jsonl."""
    unknown_event_types: Mapping[str, int]
    users_filled_in: int
    """Events whose missing user was taken from their session."""
    users: int
    tracks: int
    pairs: int
    """Of all splits together."""
    density: float
    """Pairs over users x tracks of all splits together."""
    catalogue_tracks: int
    events_by_type: Mapping[str, int]
    last_time: str | None
    splits: Mapping[str, SplitReport]
    parameters: Mapping[str, object]
    sha256: Mapping[str, str]
    """Of each Parquet file and of rejected.jsonl."""
    catalogue_rejected: int = 0
    """Unreadable lines of the tracks, artists and users; in rejected.jsonl too."""
    catalogue_repeated: int = 0
    """Lines of the tracks, artists and users with an id that an earlier one has: the earliest stays."""
    durations_dropped: int = 0
    """Tracks of the catalogue whose duration was not positive; they have none now."""
    groups: int | None = None
    """In groups.parquet; null where no groups were given."""
    notes: Sequence[str] = ()
    """What whoever prepared this would not expect, and the way out; a sentence each."""
    group_events: "Report | None" = None
    """What became of the events of groups, with groups for users."""

    @property
    def share_new(self) -> float | None:
        """The share of validation pairs that are new."""
        return self.splits["validation"].share_new

    def to_json(self) -> str:
        """Return report.json."""
        return json.dumps({**asdict(self), "share_of_validation_pairs_new": self.share_new}, indent=2) + "\n"

    def to_text(self) -> str:
        """Return the readable tables."""
        parts = [_rows_table(self), _data_table(self), _splits_table(self)]
        parts += [f"{note}\n" for note in self.notes]
        if self.groups is not None:
            parts.append(f"{self.groups:,} groups and their members\n")
        if self.group_events is not None:
            parts += ["Events of groups, where groups stand for users\n", self.group_events.to_text()]
        return "\n".join(parts)


@dataclass(frozen=True)
class PairCounts:
    """What is in the table `pairs`."""

    users: int
    tracks: int
    pairs: int
    splits: dict[str, SplitReport]


def count_pairs(connection: duckdb.DuckDBPyConnection) -> PairCounts:
    """Count the table `pairs`, split by split and all together."""
    in_train = f"(SELECT user, track FROM pairs WHERE split = {TRAIN})"
    connection.execute(
        f"CREATE TEMP TABLE new_pairs AS SELECT split, user, track FROM pairs ANTI JOIN {in_train} "
        f"USING (user, track) WHERE split <> {TRAIN}"
    )
    for what in ("user", "track"):  # `splits` has one bit for each split that a user or track is in
        connection.execute(
            f"CREATE TEMP TABLE {what}_splits AS SELECT {what}, bit_or(1 << split) AS splits FROM pairs GROUP BY {what}"
        )
    # Who is not in train has new pairs only.
    new = _by_split(
        connection,
        f"count(*), count(*) FILTER ((user_splits.splits & track_splits.splits & {1 << TRAIN}) = 0) "
        "FROM new_pairs JOIN user_splits USING (user) JOIN track_splits USING (track)",
    )
    totals = _by_split(connection, "count(*), sum(plays)::BIGINT, sum(skips)::BIGINT, sum(likes)::BIGINT FROM pairs")
    splits = {
        name: _split_report(connection, split, totals.get(split, (0, 0, 0, 0)), new.get(split, (0, 0)))
        for split, name in enumerate(NAMES)
    }
    # Pairs of train, and each new one once.
    pairs = splits[NAMES[TRAIN]].pairs + count(connection, "FROM (SELECT DISTINCT user, track FROM new_pairs)")
    return PairCounts(count(connection, "FROM user_splits"), count(connection, "FROM track_splits"), pairs, splits)


def _by_split(connection: duckdb.DuckDBPyConnection, totals: str) -> dict[int, list[int]]:
    """Return the totals, `... FROM ...`, of each split that has rows."""
    return {split: found for split, *found in connection.execute(f"SELECT split, {totals} GROUP BY split").fetchall()}


def _split_report(
    connection: duckdb.DuckDBPyConnection, split: int, totals: Sequence[int], new_pairs: Sequence[int]
) -> SplitReport:
    pairs, plays, skips, likes = totals
    new, unknown = (None, None) if split == TRAIN else new_pairs
    users, tracks = (
        count(connection, f"FROM {what}_splits WHERE splits & {1 << split} > 0") for what in ("user", "track")
    )
    return SplitReport(
        pairs=pairs,
        users=users,
        tracks=tracks,
        plays=plays,
        skips=skips,
        likes=likes,
        density=density(pairs, users, tracks),
        new_pairs=new,
        share_new=new / pairs if new is not None and pairs else None,
        pairs_unknown_to_train=unknown,
    )


def notes_on(split: Split, expected: Sequence[str], splits: Mapping[str, SplitReport]) -> tuple[str, ...]:
    """Return what is to be said of splits that were expected to hold something and do not."""
    empty = [name for name in expected if splits[name].pairs == 0]
    if not empty:
        return ()
    why, way_out = EMPTY[split]
    return (f"Nothing is in {' and '.join(empty)}: {why}. {way_out}.",)


def density(pairs: int, users: int, tracks: int) -> float:
    """Return the share of all possible pairs that are there; 0 where none is possible."""
    return pairs / (users * tracks) if users and tracks else 0.0


def _rows_table(report: Report) -> str:
    rows = [("read", report.rows_read), ("kept", report.events_kept)]
    for reason, dropped in report.dropped.items():
        rows.append((f"dropped: {reason}", dropped))
        details = {"unreadable": report.unreadable, "unknown_event_type": report.unknown_event_types}.get(reason, {})
        rows += [(f"  {detail!r}", part) for detail, part in details.items()]
    if report.users_filled_in:
        rows.append(("kept, user taken from the session", report.users_filled_in))
    shares = ((name, f"{number:,}", f"{number / max(1, report.rows_read):.2%}") for name, number in rows)
    return table("What became of the log", ("rows", "number", "share"), shares)


def _data_table(report: Report) -> str:
    rows: dict[str, str] = {
        "users": f"{report.users:,}",
        "tracks": f"{report.tracks:,}",
        "tracks in the catalogue": f"{report.catalogue_tracks:,}",
        "pairs": f"{report.pairs:,}",
        "density": f"{report.density:.4%}",
        **{f"events: {kind}": f"{events:,}" for kind, events in report.events_by_type.items()},
        "last event": report.last_time or "no time",
        "unreadable lines of the catalogue": f"{report.catalogue_rejected:,}",
    }
    if report.catalogue_repeated:
        rows["lines of the catalogue that repeat an id"] = f"{report.catalogue_repeated:,}"
    if report.durations_dropped:
        rows["tracks whose duration was not positive"] = f"{report.durations_dropped:,}"
    return table("What is in it", ("data", "number"), rows.items())


def _splits_table(report: Report) -> str:
    def row(name: str, split: SplitReport) -> tuple[str, ...]:
        numbers = (split.pairs, split.users, split.tracks, split.plays, split.skips, split.likes)
        new = "" if split.share_new is None else f"{split.share_new:.2%}"
        unknown = "" if split.pairs_unknown_to_train is None else f"{split.pairs_unknown_to_train:,}"
        return (name, *(f"{number:,}" for number in numbers), f"{split.density:.4%}", new, unknown)

    header = (
        "split",
        "pairs",
        "users",
        "tracks",
        "plays",
        "skips",
        "likes",
        "density",
        "new pairs",
        "unknown to train",
    )
    return table("Splits", header, (row(name, split) for name, split in report.splits.items()))
