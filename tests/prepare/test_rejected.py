from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.limits import LONGEST_ID
from tests.prepare.worlds import (
    event,
    rejected,
    rows,
    run,
    scores,
    write_json,
    write_lines,
    write_parquet,
    write_table,
)

GOOD = '{"user_id": "u", "track_id": "a", "timestamp": "2024-01-01T00:00:00"}'


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_unreadable_lines_are_kept_aside_with_file_line_reason_and_text(tmp_path: Path, name: str) -> None:
    lines: list[str | bytes] = [
        GOOD,
        "",
        "not JSON",
        "   ",
        "[1, 2]",
        '{"user_id": "u", "track_id": "a", "timestamp": "0001-01-01T00:00:00"}',
        '{"user_id": "u", "track_id": "a\\nb"}',
        b'{"user_id": "\xff", "track_id": "a"}',
        '{"user_id": "u"}{"track_id": "b"}',
        "null",
    ]
    log = write_lines(tmp_path / name, lines)

    report = run(tmp_path / "out", log)

    absurd = "no time between 1990-01-01 and 2100-01-01"
    found = sorted((row["line"], row["reason"]) for row in rejected(tmp_path / "out"))  # type: ignore[type-var]
    assert found == [
        (3, "not a JSON object"),
        (5, "not a JSON object"),
        (6, absurd),
        (7, "control character in an id"),
        (8, "invalid encoding"),
        (9, "not a JSON object"),
        (10, "not a JSON object"),
    ]
    assert {row["file"] for row in rejected(tmp_path / "out")} == {str(log)}
    assert rejected(tmp_path / "out")[-1]["text"] == "null"
    assert report.rows_read == 8
    assert sum(report.unreadable.values()) == report.dropped["unreadable"] == 7
    assert scores(tmp_path / "out") == {("u", "a"): 1.0}


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000], ids=["lists", "objects"])
def test_json_nested_too_deep_is_kept_aside(tmp_path: Path, line: str) -> None:
    run(tmp_path / "out", write_lines(tmp_path / "log.jsonl", [line, GOOD, line]))

    assert [(row["line"], row["reason"]) for row in rejected(tmp_path / "out")] == [
        (1, "not a JSON object"),
        (3, "not a JSON object"),
    ]
    assert scores(tmp_path / "out") == {("u", "a"): 1.0}


def test_an_unreadable_line_after_a_byte_order_mark_is_kept_aside_too(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", [b"\xef\xbb\xbf{broken", GOOD])

    report = run(tmp_path / "out", log)

    assert [(row["line"], row["text"]) for row in rejected(tmp_path / "out")] == [(1, "{broken")]
    assert report.dropped["unreadable"] == 1


def test_a_file_may_mix_the_line_endings_of_two_systems(tmp_path: Path) -> None:
    other, third = GOOD.replace('"u"', '"v"'), GOOD.replace('"a"', '"b"')
    (tmp_path / "log.jsonl").write_bytes(f"{GOOD}\n{other}\r\nbroken\n{third}\r\n".encode())

    run(tmp_path / "out", tmp_path / "log.jsonl")

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("v", "a"): 1.0, ("u", "b"): 1.0}
    assert [row["text"] for row in rejected(tmp_path / "out")] == ["broken"]


WHOLE = '{"user_id": "u", "track_id": "a", "timestamp": "2024-01-01T00:00:00", "event_type": "play"}'
PARTS = st.sampled_from(
    ["{", "}", "[", '"', ",", ":", "\\", "\\u0000", "\\ud800", "\t", " ", "1e999", "null", "\x00", "é", WHOLE]
)


@settings(max_examples=60)
@given(
    lines=st.lists(
        st.one_of(
            st.just(WHOLE),
            st.sampled_from(["{}", '{"other": 1}', "[]", "7", '"text"', "   "]),
            st.builds(lambda at, part: WHOLE[:at] + part + WHOLE[at:], st.integers(0, len(WHOLE)), PARTS),
            st.builds(lambda at, end: WHOLE[:at] + WHOLE[end:], st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE))),
        ),
        max_size=8,
    )
)
def test_no_line_whatever_is_in_it_is_lost_or_counted_twice(lines: list[str]) -> None:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"

        report = run(out, write_lines(Path(folder) / "log.jsonl", [WHOLE, *lines]))

        assert report.rows_read == 1 + sum(1 for line in lines if line.strip(" \t\r"))
        assert report.rows_read == report.events_kept + sum(report.dropped.values())
        assert min(report.dropped.values()) >= 0
        numbers = [row["line"] for row in rejected(out)]
        assert len(numbers) == len(set(numbers)) == report.dropped["unreadable"]


def test_the_same_unreadable_line_is_found_each_time_and_in_each_file(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "1.jsonl", ["broken", GOOD, "broken"])
    second = write_lines(tmp_path / "2.jsonl", [GOOD, "broken"])

    run(tmp_path / "out", first, second)

    assert [(row["file"], row["line"]) for row in rejected(tmp_path / "out")] == [
        (str(first), 1),
        (str(first), 3),
        (str(second), 2),
    ]


def test_lines_of_many_files_keep_their_numbers_whatever_is_blank_or_broken(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wanted, files = [], []
    for name in ("1.jsonl", "2.jsonl.gz", "3.jsonl"):
        kinds = [GOOD, "broken", '{"user_id": "\\t", "track_id": 1}', " ", "{}"]
        lines = rng.choice(kinds, size=30_000, p=[0.996, *[0.001] * 4]).tolist()
        if name.startswith("3"):
            lines = [line for line in lines if line != " "]
        files.append(write_lines(tmp_path / name, lines))
        wanted += [(str(files[-1]), n) for n, line in enumerate(lines, 1) if line not in (GOOD, " ", "{}")]

    report = run(tmp_path / "out", *files)

    assert [(row["file"], row["line"]) for row in rejected(tmp_path / "out")] == wanted
    assert report.dropped["unreadable"] == len(wanted)


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", [GOOD, "broken", GOOD])

    report = run(tmp_path / "out", log, tmp_path / "." / "log.jsonl", keep_duplicates=True)

    assert report.rows_read == 3
    assert [row["line"] for row in rejected(tmp_path / "out")] == [2]


def test_bad_csv_rows_are_numbered_by_line_even_after_rows_of_several_lines(tmp_path: Path) -> None:
    lines: list[str | bytes] = [
        "user_id,track_id,timestamp",
        '"u',
        'v",a,2024-01-01',
        "",
        "too,few",
        "one,too,many,fields",
        "u,b,yesterday",
        "u,\x07bell,2024-01-01",
        b"\xff,b,2024-01-01",
        "u,c,2024-01-01",
    ]

    report = run(tmp_path / "out", write_lines(tmp_path / "log.csv", lines))

    assert sorted((row["line"], row["text"]) for row in rejected(tmp_path / "out")) == [  # type: ignore[type-var]
        (2, '"u\nv",a,2024-01-01'),
        (5, "too,few"),
        (6, "one,too,many,fields"),
        (7, "u,b,yesterday"),
        (8, "u,\x07bell,2024-01-01"),
        (9, "?,b,2024-01-01"),
    ]
    assert scores(tmp_path / "out") == {("u", "c"): 1.0}
    assert report.dropped["unreadable"] == 6


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_a_list_or_an_object_is_no_id_though_a_text_may_look_like_one(tmp_path: Path, mark: bytes) -> None:
    lines: list[str | bytes] = [
        mark + GOOD.encode(),
        '{"user_id": ["u"], "track_id": "a"}',
        '{"user_id": "u", "track_id": {"id": "a"}}',
        '{"user_id": "[u]", "track_id": "{}", "timestamp": null}',
        '{"user_id": 9007199254740993, "track_id": "\\"quoted\\""}',
    ]

    report = run(tmp_path / "out", write_lines(tmp_path / "log.jsonl", lines))

    assert scores(tmp_path / "out") == {
        ("u", "a"): 1.0,
        ("[u]", "{}"): 1.0,
        ("9007199254740993", '"quoted"'): 1.0,
    }
    assert report.unreadable == {"a list or an object in place of an id": 2}
    assert [row["line"] for row in rejected(tmp_path / "out")] == [2, 3]


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.parquet"])
def test_an_id_that_no_request_may_name_is_dropped_and_said(tmp_path: Path, name: str) -> None:
    fits, too_long = "ü" * LONGEST_ID, "ü" * (LONGEST_ID + 1)
    log = [{"user_id": user, "track_id": track} for user, track in [(fits, "a"), (too_long, "a"), ("u", too_long)]]
    path = tmp_path / name
    if path.suffix == ".parquet":
        write_parquet(path, {key: pa.array([row[key] for row in log]) for key in log[0]})
    else:
        (write_json if path.suffix == ".jsonl" else write_table)(path, log)
    tracks = write_json(tmp_path / "tracks.jsonl", [{"id": "a"}, {"id": too_long}])

    report = run(tmp_path / "out", path, tracks=[tracks])

    assert scores(tmp_path / "out") == {(fits, "a"): 1.0}
    assert report.unreadable == {"id of more than 256 characters": 2}
    assert report.catalogue_rejected == 1
    assert {row["reason"] for row in rejected(tmp_path / "out")} == {"id of more than 256 characters"}


def test_a_list_is_no_id_of_the_catalogue_either(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "[a]")])
    tracks = write_lines(tmp_path / "tracks.jsonl", ['{"id": ["a"]}', '{"id": "[a]", "name": ["b"]}'])

    report = run(tmp_path / "out", log, tracks=[tracks])

    assert [row[:2] for row in rows(tmp_path / "out" / "tracks.parquet")] == [("[a]", '["b"]')]
    assert report.catalogue_rejected == 1


def test_counts_and_positions_must_be_whole_numbers(tmp_path: Path) -> None:
    wrong = ["u\tb\t2.5\t1", "u\tc\t-1\t1", "u\td\t\t1", "u\te\t2\tx", "u\tf\t1e300\t1", "u\tg\tnan\t1"]
    lines = ["user\ttrack\tcount\tposition", "u\ta\t2\t1", *wrong]

    run(tmp_path / "out", write_lines(tmp_path / "log.tsv", lines))

    assert scores(tmp_path / "out") == {("u", "a"): 2.0}
    assert [row["line"] for row in rejected(tmp_path / "out")] == [3, 4, 5, 6, 7, 8]


def test_unreadable_rows_of_parquet_are_numbered_too(tmp_path: Path) -> None:
    columns = {"user_id": pa.array(["u", "v\n"]), "track_id": pa.array(["a", "b"])}

    run(tmp_path / "out", write_parquet(tmp_path / "log.parquet.gz", columns))

    assert rejected(tmp_path / "out") == [
        {
            "file": str(tmp_path / "log.parquet.gz"),
            "line": 2,
            "reason": "control character in an id",
            "text": '{"track":"b","user":"v\\n"}',
        }
    ]


def test_unreadable_lines_of_the_catalogue_are_kept_aside_and_counted_apart(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])
    tracks = write_lines(tmp_path / "tracks.jsonl", ['{"id": "a"}', "broken", '{"name": "no id"}'])

    report = run(tmp_path / "out", log, tracks=[tracks])

    assert [row["line"] for row in rejected(tmp_path / "out")] == [2, 3]
    assert report.catalogue_rejected == 2
    assert report.dropped["unreadable"] == 0
