import pandas as pd
import pytest

from service.core.errors import DataError
from tests.training.worlds import frame, prepared, write
from training.cold_tracks import with_cold_tracks
from training.data import load

TRAIN = [("bob", "x", 2.0), ("ann", "y", 0.0), ("bob", "y", 1.0)]


def test_rows_are_numbered_in_the_order_of_the_ids(tmp_path):
    data = load(write(tmp_path, TRAIN))

    assert data.interactions.users.ids == ("ann", "bob")
    assert data.interactions.tracks.ids == ("x", "y")
    assert data.interactions.matrix.toarray().tolist() == [[0, 0], [2, 1]]


def test_a_track_that_was_only_skipped_is_heard_but_no_positive(tmp_path):
    interactions = load(write(tmp_path, TRAIN)).interactions

    assert interactions.matrix.nnz == 3
    assert interactions.positives.nnz == 2


def test_nothing_held_out_reaches_the_id_indexes(tmp_path):
    data = load(write(tmp_path, TRAIN, validation=[("bob", "new", 1.0), ("cat", "x", 1.0), ("ann", "x", 3.0)]))

    assert "new" not in data.interactions.tracks
    assert data.validation.user_rows.tolist() == [1, -1, 0]
    assert data.validation.track_rows.tolist() == [-1, 0, 0]
    assert data.validation.known().scores.tolist() == [3.0]


def test_positions_go_with_the_entries_of_the_matrix(tmp_path):
    folder = write(tmp_path, TRAIN)
    table = frame(TRAIN).assign(position=pd.array([4, None, 2], dtype="Int32"))  # bob x, ann y, bob y
    table.to_parquet(folder / "train.parquet", index=False)

    interactions = load(folder).interactions

    assert interactions.positions.tolist() == [-1, 2, 1]  # ann y, bob x, bob y
    assert not interactions.timed.any()
    assert load(write(tmp_path, TRAIN)).interactions.positions is None


def test_times_of_listening_make_the_order_where_no_positions_do(tmp_path):
    folder = write(tmp_path, TRAIN)
    times = pd.to_datetime(["2024-03-01 09:00", None, "2024-02-01 21:00"])  # bob x, ann y, bob y
    timed = frame(TRAIN).assign(last_time=times)
    timed.to_parquet(folder / "train.parquet", index=False)

    interactions = load(folder).interactions

    assert interactions.positions.tolist() == [-1, 2, 1]  # ann y, bob x, bob y
    assert interactions.timed.all()

    timed.assign(position=pd.array([1, None, 2], dtype="Int32")).to_parquet(folder / "train.parquet", index=False)

    assert load(folder).interactions.positions.tolist() == [-1, 1, 2]


def test_a_history_with_positions_is_ordered_by_them_and_another_by_its_times(tmp_path):
    folder = write(tmp_path, TRAIN)
    listed = frame([*TRAIN, ("cat", "x", 1.0), ("cat", "y", 1.0)]).assign(
        position=pd.array([7, None, 5, None, None], dtype="Int32"),
        last_time=pd.to_datetime(["2024-01-01", None, "2024-01-02", "2024-01-04", "2024-01-03"]),
    )
    listed.to_parquet(folder / "train.parquet", index=False)

    interactions = load(folder).interactions

    assert interactions.positions.tolist() == [-1, 2, 1, 4, 3]  # ann y, bob x, bob y, cat x, cat y
    assert interactions.timed.tolist() == [True, False, False, True, True]


def test_ids_stay_text(tmp_path):
    data = load(write(tmp_path, [("007", "9007199254740993", 1.0), ("7", "9007199254740992", 1.0)]))

    assert data.interactions.users.ids == ("007", "7")
    assert data.interactions.tracks.ids == ("9007199254740992", "9007199254740993")


def test_titles_come_in_row_order_and_are_none_where_unknown(tmp_path):
    data = load(write(tmp_path, TRAIN, titles={"y": "Yesterday", "elsewhere": "Not played"}))

    assert [info.title for info in data.catalogue] == [None, "Yesterday"]


def test_equal_training_data_has_an_equal_fingerprint(tmp_path):
    first = load(write(tmp_path / "a", TRAIN))
    second = load(write(tmp_path / "b", TRAIN, validation=[("bob", "x", 1.0)]))
    third = load(write(tmp_path / "c", TRAIN[:2]))

    assert first.fingerprint == second.fingerprint != third.fingerprint


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(DataError, match=r"train\.parquet is missing; make it with `python -m training prepare"):
        load(tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    write(tmp_path, TRAIN)
    (tmp_path / "test.parquet").write_text("user_id,track_id")

    with pytest.raises(DataError, match=r"test\.parquet cannot be read as Parquet"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "column", "values", "problem"),
    [
        ("train", "user_id", [1, 2, 3], "train.parquet: user_id is of type int64 and has to be text"),
        ("test", "track_id", [1, 2, 3], "test.parquet: track_id is of type int64 and has to be text"),
        ("train", "score", ["1", "2", "3"], "train.parquet: score is of type .*string and has to be a number"),
        ("train", "position", ["a", "b", "c"], "train.parquet: position is of type .*string and has to be a number"),
        ("train", "last_time", [1, 2, 3], "train.parquet: last_time is of type int64 and has to be a time"),
        ("tracks", "track_id", [1, 2, 3], "tracks.parquet: track_id is of type int64 and has to be text"),
        ("tracks", "track_id", ["x", None, "z"], "tracks.parquet, row 2: no track_id"),
        ("tracks", "artist", [5, 6, 7], "tracks.parquet, row 1: artist: Input should be a valid string"),
        ("tracks", "duration_ms", [None, 2.0, 1.5], "tracks.parquet, row 3: duration_ms: Input should be .* integer"),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, file, column, values, problem):
    folder = write(tmp_path, TRAIN)
    table = pd.DataFrame({"track_id": list("xyz")}) if file == "tracks" else frame(TRAIN)
    table.assign(**{column: values}).to_parquet(folder / f"{file}.parquet", index=False)

    with pytest.raises(DataError, match=problem):
        load(folder)
    if file == "tracks":
        with pytest.raises(DataError, match=problem):
            with_cold_tracks(prepared(TRAIN), folder)


def test_a_catalogue_without_ids_is_refused(tmp_path):
    folder = write(tmp_path, TRAIN)
    pd.DataFrame({"id": ["x", "y"]}).to_parquet(folder / "tracks.parquet")

    with pytest.raises(DataError, match=r"tracks\.parquet has no column track_id"):
        load(folder)


def test_ids_may_be_categories(tmp_path):
    folder = write(tmp_path, TRAIN)
    table = frame(TRAIN).assign(user_id=pd.Categorical(["bob", "ann", "bob"], categories=["bob", "ann"]))
    table.to_parquet(folder / "train.parquet", index=False)

    assert load(folder).interactions.users.ids == ("ann", "bob")


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        ([], "holds no pairs"),
        ([("a", "x", 0.0), ("b", "y", 0.0)], "holds skips alone"),
        ([("a", "x", float("nan"))], "without user, track or score"),
        ([("a", "x", -1.0)], "negative or not finite"),
        ([("a", "x", float("inf"))], "negative or not finite"),
        ([("a", "x", 1.0), ("a", "x", 2.0)], "pair more than once"),
    ],
    ids=["empty", "skips", "nan", "negative", "infinite", "twice"],
)
def test_pairs_that_cannot_be_trained_on_are_refused(tmp_path, train, problem):
    with pytest.raises(DataError, match=problem):
        load(write(tmp_path, train))
