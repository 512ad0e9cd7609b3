"""The public data sets that the README speaks of; skipped where TUTTI_DATA does not say where they are."""

import os
from pathlib import Path

import pytest

from tests.prepare.worlds import rows, run

DATA = Path(os.environ.get("TUTTI_DATA", ""))

pytestmark = pytest.mark.skipif(
    not (DATA / "ium-v2").is_dir(), reason="TUTTI_DATA does not name the folder of the public data sets"
)


def test_ium_logs_are_read_as_they_are(tmp_path: Path) -> None:
    folder = DATA / "ium-v2"
    catalogue = {name: [folder / f"{name}.jsonl.gz"] for name in ("tracks", "artists", "users")}

    report = run(tmp_path / "out", folder / "sessions.jsonl.gz", split="user-time", **catalogue)

    assert (report.rows_read, report.events_kept) == (19_348, 16_823)
    assert report.dropped["advertisement"] == 2_497
    assert report.unknown_event_types == {"buy_premium": 28}
    assert report.events_by_type == {"play": 10_229, "skip": 3_761, "like": 2_833}
    assert (report.users, report.catalogue_tracks) == (50, 21_608)
    assert all(row[1] and row[3] for row in rows(tmp_path / "out" / "tracks.parquet"))  # title and artist


def test_playlists_are_read_as_they_are(tmp_path: Path) -> None:
    folder = DATA / "playlists-2018"

    report = run(tmp_path / "out", folder / "interactions.csv.gz", tracks=[folder / "tracks.csv.gz"], split="random")

    assert (report.users, report.tracks, report.pairs) == (50_446, 20_635, 1_211_791)
    assert sum(report.dropped.values()) == 0


def test_given_splits_of_adjacency_lists_are_read_as_they_are(tmp_path: Path) -> None:
    folder = DATA / "gowalla"
    train = [folder / "train.txt.gz", folder / "valid.txt.gz"]

    report = run(tmp_path / "out", *train, test=[folder / "test.txt.gz"])

    assert (report.users, report.tracks) == (29_858, 40_981)
    assert (report.splits["train"].pairs, report.splits["test"].pairs) == (810_128, 217_242)
