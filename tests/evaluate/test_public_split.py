"""A published split as a prepared-data folder."""

import gzip
from pathlib import Path

import pytest

from benchmarks.public_split import write_ends, write_split
from training.data import load


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, lines in {"train": "0 5 6\n1 5\n", "valid": "0 7\n", "test": "1 6 6\n2\n"}.items():
        with gzip.open(tmp_path / f"{name}.txt.gz", "wt") as file:
            file.write(lines)
    return tmp_path


def test_the_test_file_is_judged_after_learning_from_both_others(source: Path, tmp_path: Path) -> None:
    write_split(source, tmp_path / "out", "test")

    data = load(tmp_path / "out")

    assert data.interactions.users.ids == ("0", "1")  # 2 has nothing anywhere
    assert data.interactions.matrix.toarray().tolist() == [[1, 1, 1], [1, 0, 0]]  # tracks 5, 6 and 7
    assert len(data.validation.scores) == 0
    assert list(zip(*data.test, strict=True)) == [(1, 1, 1.0)]  # named twice, it counts once


def test_what_is_chosen_on_the_valid_file_has_seen_neither_it_nor_the_test_file(source: Path, tmp_path: Path) -> None:
    write_split(source, tmp_path / "out", "validation")

    data = load(tmp_path / "out")

    assert data.interactions.tracks.ids == ("5", "6")
    assert len(data.test.scores) == 0
    assert data.validation.track_rows.tolist() == [-1]  # track 7 is not in training


def test_the_ends_of_the_histories_in_train_are_held_out_in_the_order_of_their_lines(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "train.txt.gz", "wt") as file:
        file.write("0 9 1 8 2 7\n1 7 9\n")  # a fifth of five is one, of two none

    write_ends(tmp_path, tmp_path / "out")

    data = load(tmp_path / "out")
    assert data.interactions.matrix.toarray().tolist() == [[1, 1, 0, 1, 1], [0, 0, 1, 0, 1]]  # tracks 1, 2, 7, 8 and 9
    assert list(zip(*data.validation, strict=True)) == [(0, 2, 1.0)]
