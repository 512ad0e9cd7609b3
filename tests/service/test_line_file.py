import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.experiments.line_file import LineFile

LINES = [b'{"line": 1}\n', b'{"line": 2}\n', b'{"line": 3}\n']


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: the write that crosses it is cut off there, the next one fails."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_a_line_cut_off_by_a_full_disk_stays_by_itself_and_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (1 << 20) + b"\n")  # whatever else this process writes is far shorter
    file = LineFile(str(path))

    with full_at(path.stat().st_size + len(LINES[0]) + 5):
        written, error = file.append(LINES)
    rest = file.append(LINES[written:])

    assert (written, error is not None) == (1, True)
    assert rest == (2, None)
    assert path.read_bytes().split(b"\n")[1:] == [b'{"line": 1}', b'{"lin', b'{"line": 2}', b'{"line": 3}', b""]


def test_a_line_that_lacks_its_end_alone_does_not_come_twice(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (1 << 20) + b"\n")
    file = LineFile(str(path))

    with full_at(path.stat().st_size + len(LINES[0]) - 1):
        written, error = file.append(LINES)
    file.append(LINES[written:])

    assert (written, error is not None) == (1, True)
    assert path.read_bytes().split(b"\n")[1:] == [b'{"line": 1}', b'{"line": 2}', b'{"line": 3}', b""]


def test_nobody_appends_to_the_line_that_another_had_to_break_off(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (1 << 20) + b"\n")
    mine, others = LineFile(str(path)), LineFile(str(path))

    with full_at(path.stat().st_size + 5):
        assert mine.append(LINES[:1])[0] == 0
    others.append(LINES[1:2])
    mine.append(LINES[:1])

    assert path.read_bytes().split(b"\n")[1:] == [b'{"lin', b'{"line": 2}', b'{"line": 1}', b""]


def test_room_for_the_line_end_alone_leaves_no_empty_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (1 << 20))
    file = LineFile(str(path))

    with full_at(path.stat().st_size + 1):
        assert file.append(LINES)[0] == 0
    file.append(LINES)

    assert path.read_bytes().split(b"\n")[1:] == [b'{"line": 1}', b'{"line": 2}', b'{"line": 3}', b""]


def test_what_a_crash_left_of_a_line_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"line": 0}\n{"li')

    LineFile(str(tmp_path / "log")).append(LINES)

    assert (tmp_path / "log").read_bytes() == b'{"line": 0}\n{"li\n' + b"".join(LINES)


def test_a_line_that_its_reader_leaves_within_comes_again_to_the_next(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    long = b'"' + b"x" * 200_000 + b'"\n'  # a pipe holds 64 KiB
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(str(tmp_path / "pipe"))
    results: list[tuple[int, OSError | None]] = []
    writing = threading.Thread(target=lambda: results.append(file.append([long])))
    writing.start()
    os.set_blocking(reader, True)
    os.read(reader, 10)
    os.close(reader)
    writing.join()

    received: list[bytes] = []
    reading = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))
    reading.start()
    while (result := file.append([long]))[1] is not None:
        assert isinstance(result[1], BrokenPipeError)
    file.close()
    reading.join()

    assert results[0][0] == 0
    assert isinstance(results[0][1], BrokenPipeError)
    assert received[0].splitlines(keepends=True)[1:] == [long]


def test_a_pipe_that_nobody_reads_does_not_hold_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    file = LineFile(str(tmp_path / "pipe"))

    written, error = file.append(LINES)

    assert written == 0
    assert str(error).startswith("[Errno 6]")


def test_a_file_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    files = [LineFile(str(tmp_path / "log")) for _ in range(2)]
    for file in files:
        file.append(LINES[:1])

    (tmp_path / "log").rename(tmp_path / "log.1")
    for file in files:
        file.append(LINES[1:])

    assert (tmp_path / "log.1").read_bytes() == LINES[0] * 2
    assert (tmp_path / "log").read_bytes() == (LINES[1] + LINES[2]) * 2


def test_a_file_that_is_replaced_is_followed(tmp_path: Path) -> None:
    file = LineFile(str(tmp_path / "log"))
    file.append(LINES[:1])

    (tmp_path / "new").touch()
    (tmp_path / "new").replace(tmp_path / "log")
    file.append(LINES[1:])

    assert (tmp_path / "log").read_bytes() == LINES[1] + LINES[2]


def test_a_file_whose_folder_is_gone_is_made_once_that_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = LineFile(str(folder / "log"))

    (folder / "log").unlink()
    folder.rmdir()
    written, error = file.append(LINES)
    folder.mkdir()
    file.append(LINES)

    assert (written, type(error)) == (0, FileNotFoundError)
    assert (folder / "log").read_bytes() == b"".join(LINES)


def test_a_pipe_made_anew_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(str(path))

    path.unlink()
    file.append(LINES[:1])  # to who reads it still
    os.mkfifo(path)
    second = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file.append(LINES[1:])

    assert os.read(first, 1000) == LINES[0]
    assert os.read(second, 1000) == LINES[1] + LINES[2]
    os.close(first)
    os.close(second)


_not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write anything")


@_not_root
def test_a_folder_that_nothing_can_be_made_in_is_tried_again(tmp_path: Path) -> None:
    file = LineFile(str(tmp_path / "log"))

    (tmp_path / "log").rename(tmp_path / "log.1")
    tmp_path.chmod(0o555)
    written, error = file.append(LINES)
    tmp_path.chmod(0o755)
    file.append(LINES)

    assert (written, type(error)) == (0, PermissionError)
    assert (tmp_path / "log").read_bytes() == b"".join(LINES)


@_not_root
def test_a_file_that_may_only_be_written_is_written(tmp_path: Path) -> None:
    (tmp_path / "log").touch(0o200)

    assert LineFile(str(tmp_path / "log")).append(LINES) == (3, None)
