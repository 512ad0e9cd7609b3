import json
from pathlib import Path

import pytest

from service.core.errors import DataError
from service.core.ids import group_key
from tests.prepare.worlds import event, rows, run, scores, write_json, write_lines
from training.data import load
from training.groups import read_groups


def heard_together(group: object, track: object, minute: int = 0) -> dict[str, object]:
    row = event(None, track, minute=minute)
    del row["user_id"]
    return {"group_id": group, **row}


def test_what_groups_heard_is_kept_apart_from_what_users_did(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("7", "a")])
    together = write_json(tmp_path / "together.jsonl", [heard_together(7, "b", 0), heard_together(7, "b", 1)])

    report = run(tmp_path / "out", log, group_events=[together])

    assert scores(tmp_path / "out") == {("7", "a"): 1.0}
    assert scores(tmp_path / "out", "group_train") == {("7", "b"): 2.0}
    assert [row[0] for row in rows(tmp_path / "out" / "tracks.parquet")] == ["a", "b"]
    assert report.group_events is not None
    assert (report.events_kept, report.group_events.events_kept) == (1, 2)
    on_disk = json.loads((tmp_path / "out" / "report.json").read_text())
    assert on_disk["group_events"]["rows_read"] == 2
    assert "Events of groups" in (tmp_path / "out" / "report.txt").read_text()


def test_a_group_may_stand_in_the_place_of_the_user_in_any_format(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.csv", ["user_id,track_id", "u,a"])
    together = write_lines(tmp_path / "together.csv.gz", ["user_id,track_id", "band,b", "band,\x07"])

    run(tmp_path / "out", log, group_events=[together])

    assert scores(tmp_path / "out", "group_train") == {("band", "b"): 1.0}
    [line] = (tmp_path / "out" / "group_rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["line"] == 3
    assert (tmp_path / "out" / "rejected.jsonl").read_text() == ""


def test_groups_are_split_like_users_and_by_themselves(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a", minute=minute) for minute in range(10)])
    together = write_json(tmp_path / "t.jsonl", [heard_together("g", str(minute), minute) for minute in range(20, 30)])

    run(tmp_path / "out", log, group_events=[together], split="user-time")

    held_out = {split: sorted(scores(tmp_path / "out", f"group_{split}")) for split in ("validation", "test")}
    assert held_out == {"validation": [("g", "28")], "test": [("g", "29")]}


def test_it_is_said_that_the_events_of_groups_are_the_ones_that_lack_something(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])
    empty = write_lines(tmp_path / "together.jsonl", [])
    timeless = write_lines(tmp_path / "timeless.csv", ["group,track", "g,a"])

    with pytest.raises(DataError, match=r"no event of a group is left of 0 read: nothing is in .*together\.jsonl"):
        run(tmp_path / "out", log, group_events=[empty])
    with pytest.raises(DataError, match="needs a time, and no event of a group has one"):
        run(tmp_path / "out", log, group_events=[timeless], split="user-time")


def test_members_of_groups_are_text_ordered_by_group(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])
    groups = write_json(
        tmp_path / "groups.jsonl", [{"group_id": "b", "user_ids": ["u", 7]}, {"group_id": 1, "user_ids": ["u"]}]
    )

    report = run(tmp_path / "out", log, groups=groups)

    assert rows(tmp_path / "out" / "groups.parquet") == [("1", ["u"]), ("b", ["u", "7"])]
    assert report.groups == 2


@pytest.mark.parametrize(
    "lines",
    [
        ["not JSON"],
        ["", '{"user_ids": ["u"]}'],
        ['{"group_id": "g", "user_ids": ["u"]}', '{"group_id": "g", "user_ids": ["v"]}'],
        ['{"group_id": "g", "user_ids": [["u"]]}'],
        ['{"group_id": "g", "user_ids": ["u"], "name": "The G"}'],
        [],
    ],
)
def test_a_file_of_groups_is_read_as_evaluate_reads_it(tmp_path: Path, lines: list[str]) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])
    groups = write_lines(tmp_path / "groups.jsonl", lines)

    with pytest.raises(DataError) as of_evaluate:
        read_groups(groups)
    with pytest.raises(DataError) as of_prepare:
        run(tmp_path / "out", log, groups=groups)

    assert str(of_prepare.value) == str(of_evaluate.value)


def test_a_group_trains_as_one_more_row_that_no_user_can_be_taken_for(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("7", "a"), event("8", "a")])
    together = write_json(tmp_path / "together.jsonl", [heard_together("7", "b"), heard_together("group\t8", "b")])
    run(tmp_path / "alone", log)
    run(tmp_path / "out", log, group_events=[together])

    alone, data = load(tmp_path / "alone"), load(tmp_path / "out")

    assert data.interactions.users.ids == ("7", "8", group_key("7"))  # an id with a tab in it was unreadable
    assert data.interactions.matrix.toarray().tolist() == [[1, 0], [1, 0], [0, 1]]
    assert data.fingerprint != alone.fingerprint
    assert len(data.catalogue) == 2
