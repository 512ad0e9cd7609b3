import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from service.core.errors import DataError
from tests.prepare.worlds import (
    event,
    rows,
    run,
    scores,
    write_json,
    write_lines,
    write_parquet,
    write_table,
)
from training.sources.files import LONGEST_OBJECT

BIG = 9007199254740993  # 2^53 + 1: the first whole number that a float cannot hold
LOG = [
    event(BIG, "007", "play", 0),
    event(BIG, "007", "like", 1),
    event("u", "7", "skip", 2),
    event("ü", "x y", "play", 3),
]
SCORES = {(str(BIG), "007"): 2.0, ("u", "7"): 0.0, ("ü", "x y"): 1.0}


def write(path: Path) -> Path:
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    if suffix in ("jsonl", "ndjson", "json"):
        return write_json(path, LOG)
    if suffix == "parquet":
        return write_parquet(path, {name: pa.array([str(row[name]) for row in LOG]) for name in LOG[0]})
    return write_table(path, LOG, "\t" if suffix == "tsv" else ",")


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "csv", "tsv", "parquet"])
def test_every_format_plain_or_packed_gives_the_same_pairs(tmp_path: Path, suffix: str, packed: str) -> None:
    run(tmp_path / "out", write(tmp_path / f"log.{suffix}{packed}"))

    assert scores(tmp_path / "out") == SCORES


def test_an_ending_may_be_in_any_case(tmp_path: Path) -> None:
    for name in ("log.JSONL", "log.JSONL.GZ", "log.Csv.Gz"):
        small = write(tmp_path / name.lower())
        small.rename(tmp_path / name)

        run(tmp_path / f"out of {name}", tmp_path / name)

        assert scores(tmp_path / f"out of {name}") == SCORES, name


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    log = [{"user_id": "u", "track_id": "a", "title": "one\u2028two\x85three", "event_type": "play"}]
    lines = [json.dumps(row, ensure_ascii=False) for row in log]

    run(tmp_path / "out", write_lines(tmp_path / "log.jsonl", lines))

    assert scores(tmp_path / "out") == {("u", "a"): 1.0}


def test_many_files_of_many_formats_are_one_log(tmp_path: Path) -> None:
    first = write_json(tmp_path / "1.jsonl", [event("u", "a", minute=0)])
    second = write_table(tmp_path / "2.csv", [event("u", "a", minute=1)])

    run(tmp_path / "out", first, second)

    assert scores(tmp_path / "out") == {("u", "a"): 2.0}


def test_a_folder_stands_for_the_logs_below_it(tmp_path: Path) -> None:
    (tmp_path / "logs" / "2024").mkdir(parents=True)
    write_json(tmp_path / "logs" / "2024" / "part-0.jsonl", [event("u", "a")])
    write_json(tmp_path / "logs" / "part-[1]*.jsonl", [event("v", "b")])
    (tmp_path / "logs" / "_SUCCESS").touch()
    (tmp_path / "logs" / "read.me").write_text("not a log")
    (tmp_path / "logs" / "empty.jsonl").touch()

    run(tmp_path / "out", tmp_path / "logs")

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("v", "b"): 1.0}


def test_whole_numbers_of_parquet_stay_exact_even_where_nulls_made_floats_of_them(tmp_path: Path) -> None:
    exact = write_parquet(tmp_path / "1.parquet", {"user_id": pa.array([BIG]), "track_id": pa.array(["a"])})
    floats = write_parquet(
        tmp_path / "2.parquet", {"user_id": pa.array([101.0, None]), "track_id": pa.array(["a", "b"])}
    )

    report = run(tmp_path / "out", exact, floats)

    assert scores(tmp_path / "out") == {(str(BIG), "a"): 1.0, ("101", "a"): 1.0}
    assert report.dropped["no_user"] == 1


def test_nan_is_missing_as_null_is_wherever_it_stands_in_parquet(tmp_path: Path) -> None:
    nan, time = float("nan"), 1_704_067_200.0  # 2024-01-01
    floats = {
        "user_id": pa.array([nan, 2.0, 3.0, 4.0, 5.0]),
        "track_id": pa.array([1.0, nan, 3.0, 4.0, 5.0]),
        "is_listened": pa.array([1.0, 1.0, nan, 1.0, 1.0], pa.float32()),
        "timestamp": pa.array([time, time, time, nan, time]),
    }
    durations = {"id": pa.array(["1", "3", "4", "5"]), "duration_ms": pa.array([nan, 1.0, 1.0, 5.0])}
    log, tracks = write_parquet(tmp_path / "log.parquet", floats), write_parquet(tmp_path / "t.parquet", durations)

    report = run(tmp_path / "out", log, tracks=[tracks])

    assert scores(tmp_path / "out") == {("4", "4"): 1.0, ("5", "5"): 1.0}
    assert {reason: rows for reason, rows in report.dropped.items() if rows} == {
        "no_event_type": 1,
        "no_track": 1,
        "no_user": 1,
    }
    assert [row[5] for row in rows(tmp_path / "out" / "tracks.parquet")] == [None, 1, 1, 5]


def test_parquet_times_are_read_whatever_their_type(tmp_path: Path) -> None:
    seconds = 1_704_067_200  # 2024-01-01
    for name, time in {
        "seconds": pa.array([seconds]),
        "milliseconds": pa.array([seconds * 1000]),
        "timestamp": pa.array([seconds * 1_000_000], pa.timestamp("us")),
        "zoned": pa.array([seconds * 1000], pa.timestamp("ms", tz="Europe/Warsaw")),
        "nanoseconds": pa.array([seconds * 1_000_000_000], pa.timestamp("ns")),
    }.items():
        columns = {"user_id": pa.array(["u"]), "track_id": pa.array(["a"]), "timestamp": time}

        report = run(tmp_path / name, write_parquet(tmp_path / f"{name}.parquet", columns))

        assert report.last_time == "2024-01-01 00:00:00", name


def test_json_ids_are_text_whether_written_as_number_or_string(tmp_path: Path) -> None:
    lines = [f'{{"user_id": {BIG}, "track_id": "007"}}', f'{{"user_id": "{BIG}", "track_id": 7}}']

    run(tmp_path / "out", write_lines(tmp_path / "log.jsonl", lines))

    assert scores(tmp_path / "out") == {(str(BIG), "007"): 1.0, (str(BIG), "7"): 1.0}


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "log.csv", [b"\xef\xbb\xbfuser_id,track_id\r", b"u,a\r"])
    lines = write_lines(tmp_path / "log.jsonl", [b'\xef\xbb\xbf{"user_id": "v", "track_id": "b"}\r', b"\r"])

    report = run(tmp_path / "out", table, lines)

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("v", "b"): 1.0}
    assert report.rows_read == 2


def test_csv_fields_may_be_quoted_and_hold_separators_and_line_breaks(tmp_path: Path) -> None:
    lines = ["user_id,title,track_id", '"u","a, ""b""\nand c","x,y"']

    run(tmp_path / "out", write_lines(tmp_path / "log.csv", lines))

    assert scores(tmp_path / "out") == {("u", "x,y"): 1.0}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("plain.csv", ["user_id,track_id,title\r", "u,a,one", "v,b,two\r"]),
        ("packed.csv.gz", ["user_id,track_id,title", "u,a,one\r", "v,b,two"]),
        ("quoted.csv", ["user_id,track_id,title\r", '"u",a,"one\r', 'half"', '"v",b,two\r']),
        ("log.tsv", ["user_id\ttrack_id\ttitle", "u\ta\tone\r", "v\tb\ttwo"]),
    ],
)
def test_tables_may_mix_the_line_ends_of_two_systems(tmp_path: Path, name: str, lines: list[str]) -> None:
    report = run(tmp_path / "out", write_lines(tmp_path / name, lines))

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("v", "b"): 1.0}
    assert report.rows_read == 2


def test_listened_or_not_is_a_play_or_a_skip(tmp_path: Path) -> None:
    lines = ["media_id,user_id,is_listened", "a,u,1", "b,u,0", "c,u,1"]

    run(tmp_path / "out", write_lines(tmp_path / "log.csv", lines))

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("u", "b"): 0.0, ("u", "c"): 1.0}


def test_media_and_user_alone_are_plays(tmp_path: Path) -> None:
    run(tmp_path / "out", write_lines(tmp_path / "log.csv", ["media_id,user_id", "a,u", "b,v"]))

    assert scores(tmp_path / "out") == {("u", "a"): 1.0, ("v", "b"): 1.0}


def test_playlists_stand_for_users_and_keep_their_order(tmp_path: Path) -> None:
    lines = ["playlist_id,track_id,position", "7,b,0", "7,a,1"]

    run(tmp_path / "out", write_lines(tmp_path / "log.csv", lines))

    assert [(row[1], row[7]) for row in rows(tmp_path / "out" / "train.parquet")] == [("a", 1), ("b", 0)]


@pytest.mark.parametrize(
    "lines",
    [
        ["user\tartist\tcount", 'u\tThe "Who"\t3', "u\tAC/DC\t0"],
        ["userID\tartistID\tweight", 'u\tThe "Who"\t3', "u\tAC/DC\t0"],
        ['u\tThe "Who"\t3', "u\tAC/DC\t0"],
        ['u\tmbid-1\tThe "Who"\t3', "u\t\tAC/DC\t0"],
    ],
    ids=["header", "lastfm-2k", "no header", "lastfm-360k"],
)
def test_counts_of_user_and_artist_are_the_scores(tmp_path: Path, lines: list[str]) -> None:
    run(tmp_path / "out", write_lines(tmp_path / "log.tsv", lines))

    assert scores(tmp_path / "out") == {("u", 'The "Who"'): 3.0, ("u", "AC/DC"): 0.0}


def test_a_user_and_their_tracks_may_share_a_line(tmp_path: Path) -> None:
    report = run(tmp_path / "out", write_lines(tmp_path / "train.txt.gz", ["0 5 007", "1", "2 5 "]))

    assert scores(tmp_path / "out") == {("0", "5"): 1.0, ("0", "007"): 1.0, ("2", "5"): 1.0}
    assert report.rows_read == 3


def test_names_of_the_original_are_known_in_any_case(tmp_path: Path) -> None:
    lines = [json.dumps({"User_ID": 1, "ID": "a", "Event-Type": "Play"})]

    run(tmp_path / "out", write_lines(tmp_path / "log.jsonl", lines))

    assert scores(tmp_path / "out") == {("1", "a"): 1.0}


def test_columns_of_other_names_are_told(tmp_path: Path) -> None:
    lines = ["who;what;when;how often", "u;a;1704067200;2"]
    told = {"user": "who", "track": "what", "time": "when", "count": "how often"}

    report = run(tmp_path / "out", write_lines(tmp_path / "log.csv", lines), columns=told)

    assert scores(tmp_path / "out") == {("u", "a"): 2.0}
    assert report.last_time == "2024-01-01 00:00:00"


def test_columns_without_header_are_told_by_number(tmp_path: Path) -> None:
    told = {"user": "1", "track": "3", "time": "2"}

    run(tmp_path / "out", write_lines(tmp_path / "log.tsv", ["u\t2024-01-01T00:00:00Z\ta"]), columns=told)

    assert scores(tmp_path / "out") == {("u", "a"): 1.0}


def test_a_column_number_may_be_an_id_of_the_first_row_too(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.csv", ["1,1193,5", "2,661,3"])

    run(tmp_path / "out", log, columns={"user": "1", "track": "2"})

    assert scores(tmp_path / "out") == {("1", "1193"): 1.0, ("2", "661"): 1.0}


@pytest.mark.parametrize("header", ["user_id,track_id,event", "who,Track ID,event"])
def test_a_header_is_no_event_though_columns_are_told_by_number(tmp_path: Path, header: str) -> None:
    log = write_lines(tmp_path / "log.csv", [header, "u,a,skip"])

    report = run(tmp_path / "out", log, columns={"user": "1", "track": "2"})

    assert scores(tmp_path / "out") == {("u", "a"): 0.0}  # the other columns keep their names
    assert report.rows_read == 1


def test_a_column_number_that_is_not_there_is_named(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "log.csv", ["u,a"])
    lines = write_lines(tmp_path / "log.jsonl", ['{"who": "u", "what": "a"}'])

    with pytest.raises(DataError, match="no such column numbers: 3; columns found: '1', '2'; "):
        run(tmp_path / "out", table, columns={"user": "1", "track": "3"})
    with pytest.raises(DataError, match="there is no column '1' for user; columns found: 'who', 'what'; "):
        run(tmp_path / "out", lines, columns={"user": "1", "track": "2"})


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_unknown_columns_are_named_with_their_file_and_the_way_out(tmp_path: Path, suffix: str) -> None:
    log = tmp_path / f"log.{suffix}"
    log.write_text('{"who": 1, "track_id": 2}\n' if suffix == "jsonl" else "who,track_id\n1,2\n")

    with pytest.raises(
        DataError, match=rf"log\.{suffix}: no column .* the user; .*'who', 'track_id'; .*--columns user="
    ):
        run(tmp_path / "out", log)


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.parquet"])
def test_a_column_in_two_roles_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: column 'track_id' cannot be both track and user; columns found: "):
        run(tmp_path / "out", write(tmp_path / name), columns={"user": "track_id"})


def test_a_packed_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    whole = write_json(tmp_path / "whole.jsonl", [event("u", "a")])
    for suffix, content in {"jsonl": whole.read_bytes() * 5000, "parquet": b"x" * 5000}.items():
        cut = tmp_path / f"cut.{suffix}.gz"
        cut.write_bytes(gzip.compress(content)[:-9])

        with pytest.raises(DataError, match=rf"cut\.{suffix}\.gz cannot be read"):
            run(tmp_path / "out", whole, cut)


def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path: Path) -> None:
    whole = write_json(tmp_path / "whole.jsonl", [event("u", "a")])
    for name in ("fake.jsonl.gz", "fake.parquet", "empty.jsonl.gz"):
        (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"neither packed nor Parquet")

        with pytest.raises(DataError, match=rf"{name} (cannot be read|is cut short)"):
            run(tmp_path / "out", whole, tmp_path / name)


def test_a_path_that_is_not_there_or_of_no_known_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.xlsx").touch()
    (tmp_path / "folder").mkdir()

    for name, complaint in {"none.csv": "no such file", "log.xlsx": "no known format", "folder": "no log file"}.items():
        with pytest.raises(DataError, match=complaint):
            run(tmp_path / "out", tmp_path / name)


def test_a_file_in_utf_16_is_named_with_the_way_out(tmp_path: Path) -> None:
    for codec in ("utf-16", "utf-16-le", "utf-16-be"):
        log = tmp_path / "log.csv"
        log.write_text("user_id,track_id\nu,a\n", encoding=codec)

        with pytest.raises(DataError, match=r"log\.csv is not in UTF-8 .* iconv"):
            run(tmp_path / "out", log)


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_json_is_told_from_lines_of_json(tmp_path: Path, indent: int | None) -> None:
    log = tmp_path / "log.json"
    log.write_text(json.dumps([event("u", "a"), event("u", "b")], indent=indent))

    with pytest.raises(DataError, match=r"log\.json: .* one object a line \(jq -c '\.\[\]'"):
        run(tmp_path / "out", log)


@pytest.mark.parametrize("nested", [pa.array([["u"]]), pa.array([{"id": "u"}])], ids=["list", "struct"])
def test_an_id_that_is_several_values_is_refused(tmp_path: Path, nested: pa.Array) -> None:
    log = write_parquet(tmp_path / "log.parquet", {"user_id": nested, "track_id": pa.array(["a"])})

    with pytest.raises(DataError, match=r"log\.parquet: the user, column 'user_id', is no text or number"):
        run(tmp_path / "out", log)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_line_too_long_to_read_is_said_and_not_passed_over(tmp_path: Path, suffix: str) -> None:
    line = {"csv": "{},track_id\n", "tsv": "{}\ttrack_id\n"}[suffix]
    (tmp_path / f"log.{suffix}").write_text(line.format("user_id") + line.format("v" * 40_000_000) + line.format("w"))

    with pytest.raises(DataError, match=rf"log\.{suffix} has a line of more than 4,000,000 bytes"):
        run(tmp_path / "out", tmp_path / f"log.{suffix}")


def test_the_first_line_of_json_that_is_too_long_is_named(tmp_path: Path) -> None:
    fine, long = (write_json(tmp_path / f"{name}.jsonl", [event("u", "a")] * 3) for name in ("fine", "long"))
    with long.open("a") as file:
        file.write(json.dumps(event("v" * 40_000_000, "a")))

    with pytest.raises(DataError, match=r"long\.jsonl has more than 16,777,216 bytes in line 4"):
        run(tmp_path / "out", fine, long)


def test_a_line_of_json_within_the_limit_is_read(tmp_path: Path) -> None:
    titles = {"u": "", "v": "x" * 8_000_000, "w": "x" * (LONGEST_OBJECT - 200)}
    log = [{**event(user, "a"), "title": title} for user, title in titles.items()]

    run(tmp_path / "out", write_json(tmp_path / "log.jsonl", log))

    assert scores(tmp_path / "out") == {(user, "a"): 1.0 for user in titles}


def test_a_line_too_long_of_a_catalogue_is_said_and_not_passed_over(tmp_path: Path) -> None:
    log = write_json(tmp_path / "log.jsonl", [event("u", "a")])
    tracks = write_json(tmp_path / "tracks.jsonl", [{"id": "a"}, {"id": "b", "name": "n" * 9_000_000}])

    with pytest.raises(DataError, match=r"tracks\.jsonl has a line of more than 4,000,000 bytes"):
        run(tmp_path / "out", log, tracks=(tracks,))


def test_a_line_too_long_after_a_byte_order_mark_is_said_and_not_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(event(user, "a")) + "\n" for user in ("u", "v" * 9_000_000)), "utf-8-sig")

    with pytest.raises(DataError, match=r"log\.jsonl has a line of more than 4,000,000 bytes"):
        run(tmp_path / "out", log)
