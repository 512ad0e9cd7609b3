"""Logs change over the years: keys of JSON count wherever in a file they first appear."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.core.errors import DataError
from tests.prepare.worlds import rows, run, scores, write_json, write_lines
from training.prepare import Report
from training.sources.files import HEAD

LONG = HEAD // 4
"""Four lines of this length are all that is looked at before a file is read."""


def early(row: Mapping[str, object]) -> list[dict[str, object]]:
    """Return lines that fill the beginning of a file, with nothing but these keys and one that plays no role."""
    return [{**row, "comment": "x" * LONG} for _ in range(5)]


def prepared(
    tmp_path: Path, name: str, lines: list[dict[str, object]], mark: bytes = b"", **settings: object
) -> Report:
    packed = write_lines(tmp_path / name, [mark + json.dumps(lines[0]).encode(), *map(json.dumps, lines[1:])])
    return run(tmp_path / "out", packed, **settings)


@pytest.mark.parametrize(("name", "mark"), [("log.jsonl", b""), ("log.jsonl.gz", b""), ("log.jsonl", b"\xef\xbb\xbf")])
def test_types_and_times_count_that_come_late_in_a_file(tmp_path: Path, name: str, mark: bytes) -> None:
    late = {"user_id": "u", "track_id": "b", "event_type": "skip", "timestamp": "2024-01-02"}

    report = prepared(tmp_path, name, [*early({"user_id": "u", "track_id": "a"}), late], mark)

    assert report.events_by_type == {"skip": 1}
    assert report.dropped["no_event_type"] == 5  # as in a file that says from the start what happened
    assert report.last_time == "2024-01-02 00:00:00"
    assert report.rows_read == 6


@pytest.mark.parametrize(
    ("user", "track", "event"),
    [
        ("userId", "trackId", "eventType"),
        ("UserId", "TrackId", "EventType"),
        ("User ID", "Track ID", "Event Type"),
        ("USER-ID", "TRACK-ID", "EVENT-TYPE"),
        ("user_id", "track_id", "event"),
        ("user", "item", "is_listened"),
    ],
)
def test_a_late_key_is_known_by_any_of_its_names_in_the_manner_of_the_others(
    tmp_path: Path, user: str, track: str, event: str
) -> None:
    lines = [*early({user: "u", track: "a"}), {user: "u", track: "b", event: "0" if event == "is_listened" else "skip"}]

    assert prepared(tmp_path, "log.jsonl", lines).events_by_type == {"skip": 1}


def test_a_column_that_is_told_may_come_late(tmp_path: Path) -> None:
    lines = [*early({"user": "u", "track": "a"}), {"user": "u", "track": "b", "at": "2024-01-02"}]

    assert prepared(tmp_path, "log.jsonl", lines, columns={"time": "at"}).last_time == "2024-01-02 00:00:00"
    with pytest.raises(DataError, match="there is no column 'when' for time"):
        prepared(tmp_path, "log.jsonl", lines, columns={"time": "when"})


def test_a_role_that_was_taken_away_stays_away(tmp_path: Path) -> None:
    lines = [*early({"user": "u", "track": "a"}), {"user": "u", "track": "b", "timestamp": "2024-01-02"}]

    assert prepared(tmp_path, "log.jsonl", lines, columns={"time": ""}).last_time is None


def test_the_user_may_come_late(tmp_path: Path) -> None:
    prepared(tmp_path, "log.jsonl", [*early({"track": "a"}), {"user": "u", "track": "b"}])

    assert scores(tmp_path / "out") == {("u", "b"): 1.0}


def test_what_a_catalogue_says_late_counts(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.csv", ["user,track", "u,a", "u,b"])
    tracks = write_json(tmp_path / "tracks.jsonl", [*early({"id": "a"}), {"id": "b", "name": "Song", "album_id": "x"}])

    run(tmp_path / "out", log, tracks=[tracks])

    assert [row[:5] for row in rows(tmp_path / "out" / "tracks.parquet")] == [
        ("a", None, None, None, None),
        ("b", "Song", None, None, "x"),
    ]
