from collections.abc import Iterable
from pathlib import Path

import pytest

from service.core.errors import ConfigurationError, DataError
from tests.prepare.worlds import event, run, scores, write_json, write_lines


def tracks(out: Path, split: str, user: str = "u") -> list[object]:
    return [track for owner, track in scores(out, split) if owner == user]


def log_of(tmp_path: Path, minutes: Iterable[int], user: str = "u") -> Path:
    """Write a log in which the track heard at minute m is called m."""
    return write_json(tmp_path / f"{user}.jsonl", [event(user, f"{m:02d}", minute=m) for m in minutes])


def test_user_time_holds_out_the_latest_events_of_each_user(tmp_path: Path) -> None:
    early, late = log_of(tmp_path, range(10), "u"), log_of(tmp_path, range(20, 40), "v")

    report = run(tmp_path / "out", early, late, split=None)

    assert report.parameters["split"] == "user-time"  # the default where there is time
    assert tracks(tmp_path / "out", "validation", "u") == ["08"]
    assert tracks(tmp_path / "out", "test", "u") == ["09"]
    assert tracks(tmp_path / "out", "validation", "v") == ["36", "37"]
    assert tracks(tmp_path / "out", "test", "v") == ["38", "39"]


def test_time_holds_out_the_latest_events_of_all(tmp_path: Path) -> None:
    early, late = log_of(tmp_path, range(5), "u"), log_of(tmp_path, range(5, 10), "v")

    run(tmp_path / "out", early, late, split="time", holdout=(0.2, 0.1))

    assert tracks(tmp_path / "out", "train", "u") == ["00", "01", "02", "03", "04"]
    assert tracks(tmp_path / "out", "train", "v") == ["05", "06"]
    assert tracks(tmp_path / "out", "validation", "v") == ["07", "08"]
    assert tracks(tmp_path / "out", "test", "v") == ["09"]


def test_a_user_with_few_events_keeps_them_to_train_on(tmp_path: Path) -> None:
    for events, held_out in {1: 0, 4: 0, 5: 1, 9: 1, 10: 2}.items():
        log = log_of(tmp_path, range(events))

        report = run(tmp_path / f"{events}", log, split="user-time")

        assert report.splits["validation"].pairs + report.splits["test"].pairs == held_out, events


def test_a_share_of_nothing_holds_out_nothing(tmp_path: Path) -> None:
    for split in ("user-time", "time", "random"):
        log = log_of(tmp_path, range(20))

        only_test = run(tmp_path / f"test-{split}", log, split=split, holdout=(0.0, 0.5)).splits
        only_validation = run(tmp_path / f"validation-{split}", log, split=split, holdout=(0.5, 0.0)).splits

        assert (only_test["validation"].pairs, only_validation["test"].pairs) == (0, 0)
        assert only_test["test"].pairs > 0 < only_validation["validation"].pairs


def test_events_of_one_moment_stay_together_and_events_without_time_are_oldest(tmp_path: Path) -> None:
    log = [event("u", f"{m}", minute=m) for m in range(8)]
    log += [event("u", "like and play", kind, minute=8) for kind in ("play", "like")]
    log += [{**event("u", "sometime"), "timestamp": None}]

    run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log), split="user-time", holdout=(0.0, 0.1))

    assert tracks(tmp_path / "out", "test") == []
    assert scores(tmp_path / "out")["u", "like and play"] == 2.0
    assert ("u", "sometime") in scores(tmp_path / "out")


def test_each_split_is_aggregated_by_itself_and_new_pairs_are_those_not_in_train(tmp_path: Path) -> None:
    plays = ["a"] * 6 + ["b"] * 2 + ["a", "c"]
    log = [event("u", track, minute=minute) for minute, track in enumerate(plays)]

    report = run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log), split="user-time", holdout=(0.2, 0.2))

    assert scores(tmp_path / "out", "train") == {("u", "a"): 6.0}
    assert scores(tmp_path / "out", "validation") == {("u", "b"): 2.0}
    assert scores(tmp_path / "out", "test") == {("u", "a"): 1.0, ("u", "c"): 1.0}
    assert (report.splits["validation"].share_new, report.splits["test"].share_new) == (1.0, 0.5)
    assert report.splits["test"].pairs_unknown_to_train == 1  # train has never seen c
    [header, _, train, *_, test] = report.to_text().partition("Splits\n")[2].splitlines()
    assert header.endswith("new pairs  unknown to train")
    assert train.endswith("%")
    assert test.split()[-2:] == ["50.00%", "1"]
    assert (report.pairs, report.density) == (3, 1.0)


def test_random_holds_out_about_its_share_of_pairs_and_none_twice(tmp_path: Path) -> None:
    lines = ["playlist_id,track_id"] + [f"{u},{t}" for u in range(100) for t in range(100)]

    report = run(tmp_path / "out", write_lines(tmp_path / "log.csv", lines), split=None)

    assert report.parameters["split"] == "random"  # the default where there is no time
    splits = [set(scores(tmp_path / "out", name)) for name in ("train", "validation", "test")]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 10_000
    assert [len(pairs) for pairs in splits] == pytest.approx([8_000, 1_000, 1_000], abs=160)  # 4 sigma


def test_random_depends_on_seed_alone_not_on_threads_files_or_order(tmp_path: Path) -> None:
    lines = [f"{u},{t}" for u in range(50) for t in range(50)]
    one = write_lines(tmp_path / "one.csv", ["user,track", *lines])
    two = [
        write_lines(tmp_path / "2.csv", ["user,track", *lines[:700]]),
        write_lines(tmp_path / "1.csv", ["track,user", *(",".join(reversed(x.split(","))) for x in lines[:699:-1])]),
    ]

    first = run(tmp_path / "first", one, split="random", seed=7, threads=1).sha256
    again = run(tmp_path / "again", *two, split="random", seed=7, threads=2).sha256
    other = run(tmp_path / "other", one, split="random", seed=8).sha256

    assert first == again
    assert first["train.parquet"] != other["train.parquet"]


def test_a_given_split_is_taken_as_the_files_say(tmp_path: Path) -> None:
    train = write_lines(tmp_path / "train.txt", ["0 1 2"])
    test = write_lines(tmp_path / "test.txt", ["0 3", "1 2"])

    report = run(tmp_path / "out", train, test=[test])

    assert set(scores(tmp_path / "out")) == {("0", "1"), ("0", "2")}
    assert set(scores(tmp_path / "out", "test")) == {("0", "3"), ("1", "2")}
    assert scores(tmp_path / "out", "validation") == {}
    assert report.parameters["split"] == "given"
    assert report.splits["test"].pairs_unknown_to_train == 2


@pytest.mark.parametrize(
    "log",
    [
        [event(user, track) for user in "uvw" for track in "abcdefghij"],  # all at one moment
        [event(user, "a", minute=minute) for minute, user in enumerate("uvwxyz")],  # one event each
    ],
    ids=["one moment", "one event"],
)
def test_where_nothing_can_be_held_out_the_report_says_so_and_what_to_do(
    tmp_path: Path, log: list[dict[str, object]]
) -> None:
    report = run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log), split=None)

    [note] = report.notes
    assert note.startswith("Nothing is in validation and test: no user has enough events at different moments.")
    assert "--split random" in note
    assert note in report.to_text()


def test_what_nobody_asked_for_is_not_missed(tmp_path: Path) -> None:
    log = log_of(tmp_path, [0])

    for settings in ({"split": "none"}, {"split": "user-time", "holdout": (0.0, 0.0)}):
        assert run(tmp_path / "out", log, **settings).notes == ()


def test_files_of_a_given_split_that_leave_nothing_are_told(tmp_path: Path) -> None:
    test = write_json(tmp_path / "test.jsonl", [event("u", "", minute=1)])

    report = run(tmp_path / "out", log_of(tmp_path, [0]), test=[test])

    assert [note.partition(".")[0] for note in report.notes] == ["Nothing is in test: no event of the files is left"]


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    log = log_of(tmp_path, [0])

    with pytest.raises(DataError, match=r"1 events are left of 1 read, none to train on\. Nothing is in train"):
        run(tmp_path / "out", log, split="random", holdout=(0.49, 0.5))


def test_splits_that_cannot_be_are_refused(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.csv", ["user,track", "u,a"])

    with pytest.raises(DataError, match="needs a time"):
        run(tmp_path / "out", log, split="time")
    for wrong in (
        {"holdout": (0.5, 0.5)},
        {"holdout": (-0.1, 0.1)},
        {"split": "given"},
        {"threads": 0},
        {"threads": 10**6},
    ):
        with pytest.raises(ConfigurationError):
            run(tmp_path / "out", log, **wrong)
    with pytest.raises(ConfigurationError, match="go together"):
        run(tmp_path / "out", log, split="none", test=[log])


def test_a_file_that_is_given_to_two_splits_is_refused(tmp_path: Path) -> None:
    log = log_of(tmp_path, range(10))

    for events in (log, tmp_path):
        with pytest.raises(ConfigurationError, match=rf"{log} is given to two splits"):
            run(tmp_path / "out", events, validation=[tmp_path / "." / log.name])
