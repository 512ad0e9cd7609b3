from pathlib import Path

import pytest

from training.output import replacing_files


def write_a_and_b(out: Path) -> None:
    with replacing_files(out) as folder:
        (folder / "a").write_text("now")
        (folder / "b").write_text("now")


def test_a_file_whose_place_is_taken_by_a_folder_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_text("before")

    with pytest.raises(IsADirectoryError, match=str(tmp_path / "b")):
        write_a_and_b(tmp_path)

    assert (tmp_path / "a").read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_what_fails_leaves_no_folder_that_was_made_for_it(tmp_path: Path, failure: type[BaseException]) -> None:
    out = tmp_path / "reports" / "mine"

    with pytest.raises(failure), replacing_files(out):
        raise failure

    assert list(tmp_path.iterdir()) == []


def test_what_fails_leaves_a_folder_that_was_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing_files(tmp_path):
        raise KeyboardInterrupt

    assert tmp_path.is_dir()
