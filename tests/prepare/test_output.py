import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from service.core.errors import DataError
from tests.prepare.worlds import event, rows, run, scores, write_json, write_lines
from training.__main__ import main
from training.output import working_folder

SCHEMA = {
    "user_id": "VARCHAR",
    "track_id": "VARCHAR",
    "score": "FLOAT",
    "plays": "INTEGER",
    "skips": "INTEGER",
    "likes": "INTEGER",
    "last_time": "TIMESTAMP",
    "position": "INTEGER",
}


def test_pairs_have_the_promised_columns_and_order_even_where_a_split_is_empty(tmp_path: Path) -> None:
    log = [event(user, track) for user in ("10", "9", "ä", "Z") for track in ("b", "a", "007")]

    run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    for split in ("train", "validation", "test"):
        file = str(tmp_path / "out" / f"{split}.parquet")
        described = duckdb.connect().execute("DESCRIBE FROM read_parquet(?)", [file]).fetchall()
        assert {name: type_ for name, type_, *_ in described} == SCHEMA
    ids = [(row[0], row[1]) for row in rows(tmp_path / "out" / "train.parquet")]
    assert len(ids) == 12
    assert ids == sorted(ids)  # type: ignore[type-var]


def test_a_skip_is_not_when_somebody_last_chose_a_track(tmp_path: Path) -> None:
    log = write_json(
        tmp_path / "log.jsonl",
        [event("ann", "a", minute=1), event("ann", "a", "skip", minute=9), event("ann", "b", "skip", minute=5)],
    )

    report = run(tmp_path / "out", log)

    train = duckdb.read_parquet(str(tmp_path / "out" / "train.parquet"))
    assert train.select("track_id, last_time::VARCHAR").fetchall() == [("a", "2024-01-01 00:01:00"), ("b", None)]
    assert report.last_time == "2024-01-01 00:09:00"


def test_the_catalogue_has_titles_and_artists_and_every_track_once(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event(1, "a")])
    tracks = write_json(
        tmp_path / "tracks.jsonl",
        [
            {"id": "a", "name": "Song", "duration_ms": 177853, "explicit": 1, "id_artist": "x", "release_date": "2011"},
            {"id": "b", "name": "Tune", "duration_ms": None, "explicit": 0, "id_artist": "nobody", "release_date": ""},
        ],
    )
    artists = write_json(tmp_path / "artists.jsonl", [{"id": "x", "name": "Band", "genres": ["rock"]}])
    users = write_json(tmp_path / "users.jsonl", [{"user_id": 1, "name": "Ann"}])

    run(tmp_path / "out", log, tracks=[tracks], artists=[artists], users=[users])

    assert rows(tmp_path / "out" / "tracks.parquet") == [
        ("a", "Song", "x", "Band", None, 177853, True, "2011"),
        ("b", "Tune", "nobody", None, None, None, False, None),
    ]
    assert rows(tmp_path / "out" / "users.parquet") == [("1", "Ann")]


def test_of_several_lines_with_one_id_the_first_stays_and_the_report_counts_the_others(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event(1, "a")])
    tracks = write_json(tmp_path / "1.jsonl", [{"id": "a", "name": "Title 1", "album_id": "x"}, {"id": "a"}])
    more = write_json(tmp_path / "2.jsonl", [{"id": "a", "name": "Another title"}, {"id": "b", "name": "Tune"}])
    users = write_json(tmp_path / "users.jsonl", [{"user_id": 1, "name": "Bob"}, {"user_id": 1, "name": "Ann"}])

    report = run(tmp_path / "out", log, tracks=[tracks, more], users=[users])

    titles = [(row[0], row[1], row[4]) for row in rows(tmp_path / "out" / "tracks.parquet")]
    assert titles == [("a", "Title 1", "x"), ("b", "Tune", None)]
    assert rows(tmp_path / "out" / "users.parquet") == [("1", "Bob")]
    assert report.catalogue_repeated == 3
    assert "lines of the catalogue that repeat an id" in report.to_text()


def test_without_a_catalogue_the_tracks_are_those_of_the_events_that_were_kept(tmp_path: Path) -> None:
    log = [event("u", "b"), event("u", "a"), event(None, "nobody heard it", session=None)]

    run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    assert [row[0] for row in rows(tmp_path / "out" / "tracks.parquet")] == ["a", "b"]
    assert not (tmp_path / "out" / "users.parquet").exists()


def test_a_duration_that_is_not_positive_is_none_and_the_report_counts_it(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event(1, "a")])
    durations = {"a": -1, "b": 0, "c": 1, "d": None}
    tracks = write_json(tmp_path / "tracks.jsonl", [{"id": id_, "duration_ms": ms} for id_, ms in durations.items()])

    report = run(tmp_path / "out", log, tracks=[tracks])

    assert [(row[0], row[5]) for row in rows(tmp_path / "out" / "tracks.parquet")] == [
        ("a", None),
        ("b", None),
        ("c", 1),
        ("d", None),
    ]
    assert report.durations_dropped == 2
    assert "tracks whose duration was not positive" in report.to_text()


def test_a_csv_catalogue_with_albums_is_understood(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.csv", ["playlist_id,track_id", "0,1"])
    tracks = write_lines(tmp_path / "tracks.csv", ["track_id,album_id,artist_id,duration_ms", "1,6306,449,167000"])

    run(tmp_path / "out", log, tracks=[tracks])

    assert rows(tmp_path / "out" / "tracks.parquet") == [("1", None, "449", None, "6306", 167000, None, None)]


def test_the_same_log_gives_the_same_files_whatever_the_threads(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event(u, t, minute=u * t % 60) for u in range(40) for t in range(40)])

    one, two = (run(tmp_path / f"{n}", log, split="user-time", threads=n) for n in (1, 2))

    assert one.sha256 == two.sha256


def test_the_report_says_on_disk_what_it_says_in_memory(tmp_path: Path) -> None:
    report = run(tmp_path / "out", write_json(tmp_path / "log.jsonl", [event("u", "a"), event("u", "")]))

    on_disk = json.loads((tmp_path / "out" / "report.json").read_text())
    assert on_disk["rows_read"] == 2
    assert on_disk["dropped"]["no_track"] == 1
    for name, digest in on_disk["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert (tmp_path / "out" / "report.txt").read_text() == report.to_text()
    assert "no_track" in report.to_text()


def test_a_failing_prepare_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    good = write_json(tmp_path / "good.jsonl", [event("u", "a")])
    bad = write_lines(tmp_path / "bad.jsonl", ["nothing", "usable"])
    run(tmp_path / "out", good)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    with pytest.raises(DataError):
        run(tmp_path / "out", bad, columns={"user": "", "track": ""})

    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "good.jsonl", "out"]


def test_what_a_killed_prepare_left_is_cleaned_up_and_what_it_was_replacing_comes_back(tmp_path: Path) -> None:
    run(tmp_path / "out", write_json(tmp_path / "log.jsonl", [event("u", "a")]))
    before = scores(tmp_path / "out")
    left = tmp_path / ".out.preparing-killed"
    (left / "prepared").mkdir(parents=True)
    (tmp_path / "out").rename(left / "replaced")  # the first of the two renames, and no more

    with pytest.raises(DataError):
        run(tmp_path / "out", tmp_path / "no such log.jsonl")

    assert scores(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "out"]


def test_what_another_prepare_is_working_on_stays(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])
    with working_folder(tmp_path / "out") as other:
        run(tmp_path / "out", log)

        assert other.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "out"]


def test_of_several_at_once_into_one_folder_the_last_stays_whole(tmp_path: Path) -> None:
    logs = [write_json(tmp_path / f"{user}.jsonl", [event(user, "a")]) for user in "uvw"]

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda log: run(tmp_path / "out", log), logs))

    assert scores(tmp_path / "out") in ({("u", "a"): 1.0}, {("v", "a"): 1.0}, {("w", "a"): 1.0})
    assert {path.name for path in tmp_path.iterdir()} == {"u.jsonl", "v.jsonl", "w.jsonl", "out"}


def test_preparing_again_replaces_the_whole_folder(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])
    users = write_json(tmp_path / "users.jsonl", [{"user_id": "u", "name": "Ann"}])
    run(tmp_path / "out", log, users=[users])

    run(tmp_path / "out", write_json(tmp_path / "log.jsonl", [event("v", "b")]))

    assert scores(tmp_path / "out") == {("v", "b"): 1.0}
    assert not (tmp_path / "out" / "users.parquet").exists()


def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])

    with pytest.raises(DataError, match=r"holds 'log\.jsonl'"):
        run(tmp_path, log)

    assert log.exists()


def test_the_command_line_prepares_and_shows_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_lines(tmp_path / "log.csv", ["who,what", "007,a"])

    code = main(
        ["prepare", "--events", str(log), "--columns", "user=who", "track=what", "--out", str(tmp_path / "out")]
    )

    assert code == 0
    assert capsys.readouterr().out == (tmp_path / "out" / "report.txt").read_text()
    assert ("007", "a") in scores(tmp_path / "out") | scores(tmp_path / "out", "validation") | scores(
        tmp_path / "out", "test"
    )


def test_a_folder_that_cannot_be_is_said_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_lines(tmp_path / "log.csv", ["user,track", "u,a"])

    code = main(["prepare", "--events", str(log), "--out", str(log / "x")])

    assert code == 2
    assert capsys.readouterr().err == f"prepare: --out {log / 'x'} cannot be a folder: {log} is a file\n"


def test_preparing_waits_for_no_library_that_only_training_needs() -> None:
    code = "import sys; from training.__main__ import parser; parser(['prepare']); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "duckdb" in modules
    assert not {"torch", "numba", "pandas", "scipy"} & set(modules)


def test_work_that_does_not_fit_in_memory_moves_to_disk_or_says_what_to_do(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.csv", ["user,track", *(f"{n},{n}" for n in range(200_000))])

    report = run(tmp_path / "out", log, memory_limit="100MB")

    assert report.pairs == 200_000
    with pytest.raises(DataError, match="raise --memory-limit"):
        run(tmp_path / "other", log, memory_limit="5MB")


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "log.jsonl", [event("u", f"track {number}") for number in range(1000)])
    code = """
import resource, sys
from training.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # what a full disk is to one file
sys.exit(main(["prepare", "--events", "log.jsonl", "--out", "out"]))
"""

    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    assert process.returncode == 1
    assert process.stderr.startswith("prepare: ")
    assert "cannot be written" in process.stderr
    assert process.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
