import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from service.core.errors import DataError
from training.__main__ import main
from training.data import load
from training.prepare import PrepareSettings, Report, prepare
from training.sample import write_sample

SESSION_FIELDS = ["timestamp", "user_id", "track_id", "event_type", "session_id"]
ARTIST_FIELDS = ["id", "name", "genres"]
USER_FIELDS = ["user_id", "name", "city", "street", "favourite_genres", "premium_user"]
TRACK_FIELDS = [
    *("id", "name", "popularity", "duration_ms", "explicit", "id_artist", "release_date", "danceability", "energy"),
    *("key", "loudness", "speechiness", "acousticness", "instrumentalness", "liveness", "valence", "tempo"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("service")
    write_sample(out, users=300, tracks=1_000, events=60_000, seed=3)
    return out


@pytest.fixture(scope="module")
def prepared(service: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("prepared") / "out"
    catalogue = {name: (service / f"{name}.jsonl",) for name in ("tracks", "artists", "users")}
    return out, prepare(PrepareSettings(events=(service / "sessions.jsonl",), **catalogue, threads=2), out)


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_files_and_fields_are_those_of_a_real_service(service: Path) -> None:
    fields = {"tracks": TRACK_FIELDS, "artists": ARTIST_FIELDS, "users": USER_FIELDS}
    for name, expected in fields.items():
        assert {tuple(record) for record in records(service / f"{name}.jsonl")} == {tuple(expected)}

    first = (service / "sessions.jsonl").read_text().partition("\n")[0]
    assert list(json.loads(first)) == SESSION_FIELDS


def test_sizes_are_as_asked_and_ids_agree_between_files(service: Path) -> None:
    tracks, artists, users = (records(service / f"{name}.jsonl") for name in ("tracks", "artists", "users"))

    assert (len(users), len({track["id"] for track in tracks})) == (300, 1_000)
    assert {track["id_artist"] for track in tracks} <= {artist["id"] for artist in artists}
    assert len({artist["name"] for artist in artists}) == len(artists)


def test_a_seed_makes_the_same_service_again_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in {"one": 1, "again": 1, "other": 2}.items():
        write_sample(tmp_path / name, users=20, tracks=50, events=500, seed=seed)

    for file in ("sessions", "tracks", "artists", "users"):
        one, again, other = ((tmp_path / name / f"{file}.jsonl").read_bytes() for name in ("one", "again", "other"))
        assert one == again != other


def test_every_sort_of_dirt_is_there_and_cleaning_finds_it(prepared: tuple[Path, Report]) -> None:
    _, report = prepared

    found = {reason for reason, rows in report.dropped.items() if rows}
    assert found >= {"unreadable", "advertisement", "no_event_type", "unknown_event_type", "no_track", "duplicate"}
    assert report.users_filled_in > 0
    assert report.rows_read == 60_000 + 60  # a line in a thousand is there twice
    assert report.events_kept > 0.85 * report.rows_read


def test_sessions_last_for_months_and_each_is_an_unbroken_run_of_one_user(tmp_path: Path) -> None:
    write_sample(tmp_path, users=50, tracks=100, events=5_000, seed=0)
    log = []
    for line in (tmp_path / "sessions.jsonl").read_text().splitlines():
        try:
            log.append(json.loads(line))
        except ValueError:
            continue

    runs = [
        row["session_id"]
        for row, before in zip(log[1:], log, strict=False)
        if row["session_id"] != before["session_id"]
    ]
    owners = Counter((row["session_id"], row["user_id"]) for row in log if row["user_id"])
    assert len(runs) == len(set(runs))
    assert len(owners) == len({session for session, _ in owners})
    assert log[0]["timestamp"][:7] == "2024-01"
    assert log[-1]["timestamp"][:7] == "2024-06"


def test_popularity_has_a_long_tail(prepared: tuple[Path, Report]) -> None:
    plays = np.sort(load(prepared[0]).interactions.matrix.sum(axis=0))[::-1]

    assert plays[: len(plays) // 10].sum() > 0.3 * plays.sum()


def test_tastes_can_be_learned_far_beyond_popularity(prepared: tuple[Path, Report]) -> None:
    """Recall@20 of new validation tracks: 16 factors against play counts."""
    data = load(prepared[0])
    heard = csr_array(data.interactions.matrix > 0, dtype=np.float64)
    u, s, vt = svds(heard, k=16, random_state=0)
    likely = (u * s) @ vt
    popular = np.broadcast_to(heard.sum(axis=0), heard.shape)
    new = np.zeros(heard.shape, dtype=bool)
    pairs = data.validation.known().liked()
    new[pairs.user_rows, pairs.track_rows] = True
    new &= ~(data.interactions.matrix.toarray() > 0)

    def recall(scores: np.ndarray) -> float:
        best = np.argsort(-np.where(heard.toarray() > 0, -np.inf, scores), axis=1)[:, :20]
        return float(np.take_along_axis(new, best, axis=1).sum() / new.sum())

    assert recall(likely) > 1.5 * recall(popular)


@pytest.mark.parametrize("size", [{"users": 1}, {"tracks": 1}, {"events": 1}, {"users": 0}, {"events": -1}])
def test_the_smallest_service_works_and_none_at_all_is_an_error(tmp_path: Path, size: dict[str, int]) -> None:
    sizes = {"users": 3, "tracks": 3, "events": 50} | size
    if min(sizes.values()) < 1:
        with pytest.raises(DataError, match="at least one"):
            write_sample(tmp_path, **sizes, seed=0)
    else:
        write_sample(tmp_path, **sizes, seed=0)

        assert len(records(tmp_path / "tracks.jsonl")) == sizes["tracks"]


def test_the_command_line_writes_the_service(tmp_path: Path) -> None:
    arguments = ["--users", "5", "--tracks", "9", "--events", "100", "--seed", "4"]

    assert main(["sample", "--out", str(tmp_path / "service"), *arguments]) == 0

    assert len(records(tmp_path / "service" / "users.jsonl")) == 5


def test_some_recordings_are_there_twice(service: Path) -> None:
    songs = {(track["id_artist"], str(track["name"])) for track in records(service / "tracks.jsonl")}

    reissues = {(artist, title.partition(" - Remastered ")[0]) for artist, title in songs if " - Remastered " in title}
    assert reissues
    assert reissues <= songs


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_leaves_the_files_of_an_earlier_sample_as_they_were(tmp_path: Path) -> None:
    write_sample(tmp_path, users=5, tracks=20, events=100, seed=1)
    before = contents(tmp_path)
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    limit += "; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"  # enough for the artists
    options = ["sample", "--out", str(tmp_path), "--users", "5", "--tracks", "20", "--events", "1000", "--seed", "2"]
    script = f"{limit}; from training.__main__ import main; raise SystemExit(main({options}))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, f"sample: [Errno 27] File too large: '{tmp_path}'\n")
    assert contents(tmp_path) == before


def test_what_a_sample_that_was_killed_left_goes_with_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training", "sample", "--out", str(tmp_path), "--events", "2000000"]
    process = subprocess.Popen(command)
    while process.poll() is None and not list(tmp_path.glob(".*/sessions.jsonl")):
        time.sleep(0.01)

    process.kill()
    process.wait()

    assert [path.name.startswith(".") for path in tmp_path.iterdir()] == [True]
    write_sample(tmp_path, users=5, tracks=20, events=100, seed=1)
    assert set(contents(tmp_path)) == {"artists.jsonl", "sessions.jsonl", "tracks.jsonl", "users.jsonl"}
