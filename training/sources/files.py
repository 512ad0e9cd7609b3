"""Which files a path means, and what is in each of them."""

import gzip
import re
import shutil
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedIOBase, BufferedReader, FileIO
from pathlib import Path

from service.core.errors import DataError

FORMATS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
    ".parquet": "parquet",
}
"""Suffix, without .gz, to format; a .txt file is a .tsv when it has tabs, else lines `user track track ...`."""

HEAD = 1 << 18
"""Bytes of a file that are looked at to learn its columns, and read at a time: by line it takes two thirds of the time
that Python's own 4 KB take."""


LONGEST_LINE = 4_000_000
"""Bytes; about as much as DuckDB reads at a time where it reads line by line."""

LONGEST_OBJECT = 1 << 24
"""Bytes of a line that DuckDB's JSON reader takes wherever in a file it is."""


@dataclass(frozen=True)
class LogFile:
    """A file of events, or of the catalogue."""

    path: Path
    format: str
    """json, csv, tsv, adjacency or parquet."""
    head: tuple[str, ...] = ()
    """Its first lines that are not blank; empty for Parquet."""
    goes_on: bool = False
    """Whether there is more than its head."""
    byte_order_mark: bool = False
    mixes_line_ends: bool = False
    """Of a .csv file: whether lines end in different ways, which a strict reader of quotes does not take."""
    unpacked: Path | None = None
    """Where a packed Parquet file was unpacked to."""

    @property
    def readable(self) -> Path:
        """The file that DuckDB reads."""
        return self.unpacked or self.path


def open_log(path: Path) -> BufferedIOBase:
    """Open a file for reading bytes, unpacked when its name ends in .gz."""
    return gzip.GzipFile(path) if is_packed(path) else BufferedReader(FileIO(path), HEAD)


def is_packed(path: Path) -> bool:
    """Whether a file's name ends in .gz, in any case."""
    return path.suffix.lower() == ".gz"


def find_files(paths: Iterable[Path]) -> list[LogFile]:
    """Return the files that paths name, in order; a folder stands for the known files below it.

    Files without a line are left out, and one that is named twice is there once. Raises DataError for a path that is
    not there, a file of unknown format, a folder with no known file, and a gzip file that ends too early.
    """
    files = {found.resolve(): found for path in paths for found in _below(path)}
    return [file for found in files.values() if (file := _look_into(found)).head or file.format == "parquet"]


def format_of(path: Path) -> str | None:
    """Return the format that a file's name promises, None where it is not one of FORMATS."""
    return FORMATS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and format_of(p) and not _hidden(p.relative_to(path)))
        if not files:
            raise DataError(f"no log file in the folder {path}; known endings, each also with .gz: {_endings()}")
        yield from files
    elif not path.exists():
        raise DataError(f"no such file or folder: {path}")
    elif format_of(path) is None:
        raise DataError(f"{path} is of no known format; known endings, each also with .gz: {_endings()}")
    else:
        yield path


def _hidden(path: Path) -> bool:
    """Whether a writer of data sets left this beside its data, as Spark leaves _SUCCESS and .part-0.crc."""
    return any(part.startswith((".", "_")) for part in path.parts)


def _endings() -> str:
    return " ".join(FORMATS)


def _look_into(path: Path) -> LogFile:
    format_ = format_of(path) or ""
    if is_packed(path) and path.stat().st_size == 0:
        raise DataError(f"{path} is cut short: an empty file is not a gzip file")
    if format_ == "parquet":
        return LogFile(path, format_)
    start, goes_on = _start(path)
    if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in start[:2]:
        raise DataError(f"{path} is not in UTF-8 but looks like UTF-16; iconv -f UTF-16 -t UTF-8 makes it so")
    # Not splitlines(), for which a title with U+2028 or U+0085 in it is two lines.
    head = tuple(line for line in re.split(r"\r\n|\n|\r", start.decode("utf-8-sig", errors="replace")) if line.strip())
    if format_ == "txt":
        format_ = "tsv" if any("\t" in line for line in head) else "adjacency"
    mixes = format_ != "json" and _mixes_line_ends(path)
    byte_order_mark = start.startswith(BOM_UTF8)
    return LogFile(path, format_, head, goes_on, byte_order_mark, mixes_line_ends=mixes and format_ == "csv")


def _start(path: Path) -> tuple[bytes, bool]:
    """Return the first whole lines of a file, and whether it goes on behind them."""
    with _reading(path) as file:
        start = file.read(HEAD)
    if len(start) < HEAD:
        return start, False
    # A line that the limit cuts in two is left out, unless it is the only one.
    return start[: start.rfind(b"\n") + 1] or start, True


def check_lines(file: LogFile) -> None:
    """Raise DataError for a line so long that DuckDB, reading line by line, would pass over it unsaid."""
    _mixes_line_ends(file.path)


def find_long_object(path: Path) -> int | None:
    """Return the number, from 1, of the first line that is longer than LONGEST_OBJECT."""
    with _reading(path) as file:
        lines = iter(lambda: file.readline(LONGEST_OBJECT + 2), b"")  # with its end; an endless line is not read to it
        return next((number for number, line in enumerate(lines, start=1) if len(line) > LONGEST_OBJECT + 1), None)


def _mixes_line_ends(path: Path) -> bool:
    """Whether lines end in different ways; DataError for a line so long that DuckDB would pass over it unsaid."""
    feeds = returns = unbroken = 0
    with _reading(path) as file:
        while chunk := file.read(HEAD):
            if b"\r" in chunk:
                chunk += file.read(1) if chunk.endswith(b"\r") else b""
                returns += chunk.count(b"\r\n")
                feeds += chunk.count(b"\n")
            else:
                feeds += b"\n" in chunk
            end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            unbroken = len(chunk) - end - 1 + (unbroken if end < 0 else 0)
            if unbroken > LONGEST_LINE:
                raise DataError(f"{path} has a line of more than {LONGEST_LINE:,} bytes")
    return 0 < returns < feeds


@contextmanager
def _reading(path: Path) -> Iterator[BufferedIOBase]:
    try:
        with open_log(path) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def unpack(file: LogFile, folder: Path) -> LogFile:
    """Return a Parquet file as it is, or, when it is packed, with a copy in `folder` that is not."""
    if not is_packed(file.path):
        return file
    copy = folder / f"{len(list(folder.iterdir()))}.parquet"
    with _reading(file.path) as packed, copy.open("wb") as out:
        shutil.copyfileobj(packed, out, HEAD)
    return replace(file, unpacked=copy)
