import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.errors import DataError
from tests.prepare.worlds import event, rejected, rows, run, scores, write_json, write_lines


def test_score_is_plays_plus_likes_and_a_pair_with_only_skips_stays(tmp_path: Path) -> None:
    log = [event("u", "a", kind, minute) for minute, kind in enumerate(["play", "PLAY", "Like", " skip "])]
    log += [event("u", "b", "skip", 9)]

    report = run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    pairs = [row[:6] for row in rows(tmp_path / "out" / "train.parquet")]
    assert pairs == [("u", "a", 3.0, 2, 1, 1), ("u", "b", 0.0, 0, 1, 0)]
    assert report.events_by_type == {"play": 2, "skip": 2, "like": 1}


@pytest.mark.parametrize("name", ["advertisment", "ADVERTISEMENT", "Advertisement", "ADVERTISMENT"])
def test_advertisements_go_however_they_are_spelt(tmp_path: Path, name: str) -> None:
    log = [event("u", "a"), event("u", "", name), event("u", "a", name)]

    report = run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    assert report.dropped["advertisement"] == 2
    assert report.events_kept == 1


def test_events_without_track_or_type_go_and_unknown_types_are_counted_by_name(tmp_path: Path) -> None:
    log = [event("u", "a"), event("u", None), event("u", ""), event("u", "a", None), event("u", "a", "")]
    log += [event("u", "", "BUY_PREMIUM"), event("u", "a", "rewind"), event("u", "b", "rewind")]

    report = run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    assert report.dropped["no_track"] == 2
    assert report.dropped["no_event_type"] == 2
    assert report.unknown_event_types == {"buy_premium": 1, "rewind": 2}


def test_a_missing_user_is_taken_from_the_session_only_where_its_other_events_agree(tmp_path: Path) -> None:
    log = [
        event("u", "", "advertisement", 0, session="one user"),  # what is dropped still says whose session it is
        event(None, "a", "play", 1, session="one user"),
        event("u", "b", "play", 2, session="two users"),
        event("v", "b", "play", 3, session="two users"),
        event(None, "c", "play", 4, session="two users"),
        event(None, "d", "play", 5, session="nobody"),
        event("u", "b", "play", 6, session=None),
        event("", "e", "play", 7, session=None),
    ]

    report = run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("u", "b"): 2.0, ("v", "b"): 1.0}
    assert (report.users_filled_in, report.dropped["no_user"]) == (1, 3)


def test_exact_duplicates_go_also_across_files_and_after_filling_in_the_user(tmp_path: Path) -> None:
    first = write_json(tmp_path / "1.jsonl", [event("u", "a"), event(None, "a"), event("u", "a", "PLAY")])
    second = write_json(tmp_path / "2.jsonl", [event("u", "a"), event("u", "a", minute=1), event("u", "a", session=2)])

    report = run(tmp_path / "out", first, second)

    assert scores(tmp_path / "out") == {("u", "a"): 3.0}  # another minute and another session are other events
    assert report.dropped["duplicate"] == 3


def test_events_that_differ_stay_where_they_share_a_hash_by_chance(tmp_path: Path) -> None:
    events = 300_000  # of 32 bits; 300,000 ** 2 / 2 / 2 ** 32 = 10 pairs share theirs
    log = write_lines(tmp_path / "log.csv", ["user_id,track_id", *(f"u,{track}" for track in range(events)), "u,7"])

    report = run(tmp_path / "out", log)

    assert (report.events_kept, report.dropped["duplicate"]) == (events, 1)


def test_repeated_rows_can_be_kept_where_they_mean_repeated_plays(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.csv", ["media_id,user_id", "a,u", "a,u"])

    run(tmp_path / "once", log)
    run(tmp_path / "twice", log, keep_duplicates=True)

    assert scores(tmp_path / "once") == {("u", "a"): 1.0}
    assert scores(tmp_path / "twice") == {("u", "a"): 2.0}


def test_tracks_that_the_catalogue_does_not_know_go(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a"), event("u", "b"), event("u", "B")])
    catalogue = write_json(tmp_path / "tracks.jsonl", [{"id": "a"}, {"id": "b"}, {"id": "never heard"}])

    report = run(tmp_path / "out", log, tracks=[catalogue])

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("u", "b"): 1.0}
    assert report.dropped["unknown_track"] == 1
    assert (report.tracks, report.catalogue_tracks) == (2, 3)


def test_nothing_left_is_an_error_that_says_where_everything_went(tmp_path: Path) -> None:
    log = [event("u", "", "advertisement"), event("u", "a", "rewind")]

    with pytest.raises(DataError, match="no event is left of 2 read: 1 advertisement, 1 unknown_event_type"):
        run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "\n \n", "user_id,track_id\n"])
def test_a_log_without_events_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "log.csv").write_text(content)

    with pytest.raises(DataError, match="no event is left of 0 read"):
        run(tmp_path / "out", tmp_path / "log.csv")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2024-01-02T03:04:05", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05.678900", "2024-01-02 03:04:05.6789"),
        ("2024-01-02 03:04:05Z", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05+02:00", "2024-01-02 01:04:05"),
        ("2024-01-02T03:04:05.5-0130", "2024-01-02 04:34:05.5"),
        ("2024-01-02T03:04:05.123456789Z", "2024-01-02 03:04:05.123456"),
        ("2024-01-02 03:04:05 +02:00", "2024-01-02 01:04:05"),
        ("2024-01-02T03:04:05 UTC", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05 Europe/Berlin", "2024-01-02 02:04:05"),
        ("2024-07-02T03:04:05 Europe/Berlin", "2024-07-02 01:04:05"),  # summer time
        ("2024-01-02", "2024-01-02 00:00:00"),
        ("1704164645", "2024-01-02 03:04:05"),
        ("1704164645.5", "2024-01-02 03:04:05.5"),
        ("1704164645678", "2024-01-02 03:04:05.678"),
        ("1704164645678901", "2024-01-02 03:04:05.678901"),
    ],
)
def test_times_are_read_as_utc_in_every_usual_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time: str, expected: str
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    log = write_lines(tmp_path / "log.csv", ["user_id,track_id,timestamp", f"u,a,{time}"])

    assert run(tmp_path / "out", log).last_time == expected


@pytest.mark.parametrize(
    "time",
    ["2024-01-02T03:04:05 Europe/Atlantis", "2024-01-02T03:04:05+01:00[Europe/Berlin]", "2024-01-02 03:04:05 PM"],
)
def test_what_stands_behind_a_time_is_understood_or_the_row_is_unreadable(tmp_path: Path, time: str) -> None:
    log = write_lines(tmp_path / "log.csv", ["user_id,track_id,timestamp", "u,a,2024-01-02", f"u,b,{time}"])

    run(tmp_path / "out", log)

    assert scores(tmp_path / "out") == {("u", "a"): 1.0}
    assert [row["reason"] for row in rejected(tmp_path / "out")] == ["no time between 1990-01-01 and 2100-01-01"]


WORLD = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u", "v", None, ""]),
        "track_id": st.sampled_from(["a", "b", "c", None, ""]),
        "event_type": st.sampled_from(["PLAY", "like", "skip", "ADVERTISMENT", "buy_premium", None]),
        "session_id": st.sampled_from([1, 2, None]),
        "timestamp": st.sampled_from(["2024-01-01T00:00:00", "2024-01-01T00:01:00", "1024-01-01T00:00:00", None]),
    }
)


def clean_slowly(log: list[dict[str, str | int | None]]) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Apply the rules one event at a time; the catalogue knows a and b."""
    dropped: Counter[str] = Counter()
    kept: set[tuple[object, ...]] = set()
    readable = [row for row in log if row["timestamp"] != "1024-01-01T00:00:00"]
    dropped["unreadable"] = len(log) - len(readable)
    for row in readable:
        kind = str(row["event_type"] or "").lower()
        same_session = [r["user_id"] for r in readable if r["session_id"] == row["session_id"] and r["user_id"]]
        agreed = same_session[0] if row["session_id"] and len(set(same_session)) == 1 else None
        user = row["user_id"] or agreed
        if kind.startswith("advert"):
            dropped["advertisement"] += 1
        elif not kind:
            dropped["no_event_type"] += 1
        elif kind not in ("play", "skip", "like"):
            dropped["unknown_event_type"] += 1
        elif not row["track_id"]:
            dropped["no_track"] += 1
        elif not user:
            dropped["no_user"] += 1
        elif row["track_id"] == "c":
            dropped["unknown_track"] += 1
        elif (event := (user, row["track_id"], kind, row["session_id"], row["timestamp"])) in kept:
            dropped["duplicate"] += 1
        else:
            kept.add(event)
    pairs: Counter[tuple[str, str]] = Counter()
    for user, track, kind, *_ in kept:
        pairs[str(user), str(track)] += kind != "skip"
    return dropped, pairs


@settings(max_examples=40, deadline=None)
@given(log=st.lists(WORLD, min_size=1, max_size=30), broken=st.integers(0, 3))
def test_every_row_is_kept_or_counted_as_the_rules_say(log: list[dict[str, str | int | None]], broken: int) -> None:
    expected, pairs = clean_slowly(log)
    expected["unreadable"] += broken
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        lines = [json.dumps(row) for row in log] + ['{"user_id": "u", "tr'] * broken
        write_lines(Path(folder) / "log.jsonl", lines)
        catalogue = write_json(Path(folder) / "tracks.jsonl", [{"id": "a"}, {"id": "b"}])
        if not pairs:
            with pytest.raises(DataError, match="no event is left"):
                run(out, Path(folder) / "log.jsonl", tracks=[catalogue])
            return

        report = run(out, Path(folder) / "log.jsonl", tracks=[catalogue])

        assert +Counter(report.dropped) == +expected
        assert report.rows_read == len(lines) == report.events_kept + sum(report.dropped.values())
        assert scores(out) == pairs
        assert len(rejected(out)) == expected["unreadable"]
