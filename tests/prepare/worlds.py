"""Small logs that a reader can follow, written in any format."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from training.prepare import PrepareSettings, Report, prepare
from training.prepare.splits import Split

Row = Mapping[str, object]


def write_lines(path: Path, lines: Iterable[str | bytes]) -> Path:
    """Write lines, packed when the name ends in .gz."""
    content = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_json(path: Path, rows: Iterable[Row]) -> Path:
    return write_lines(path, (json.dumps(row) for row in rows))


def write_table(path: Path, rows: Sequence[Row], separator: str = ",") -> Path:
    names = list(rows[0])
    lines = [separator.join(names)]
    lines += [separator.join("" if row[name] is None else str(row[name]) for name in names) for row in rows]
    return write_lines(path, lines)


def write_parquet(path: Path, columns: Mapping[str, pa.Array]) -> Path:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    pq.write_table(pa.table(dict(columns)), plain)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    return path


def event(
    user: object, track: object, kind: object = "play", minute: int = 0, session: object = 1
) -> dict[str, object]:
    """Return one line of an event log, at a minute of the first day of 2024."""
    time = f"2024-01-01T{minute // 60:02d}:{minute % 60:02d}:00"
    return {"timestamp": time, "user_id": user, "track_id": track, "event_type": kind, "session_id": session}


def run(out: Path, *events: Path, **settings: Any) -> Report:
    """Prepare some files, all in train unless told otherwise."""
    split: Split | None = None if {"validation", "test"} & settings.keys() else "none"
    return prepare(PrepareSettings(events, **{"split": split, "threads": 2, **settings}), out)


def rows(path: Path) -> list[tuple[object, ...]]:
    """Return a Parquet file row by row, in its order."""
    return duckdb.connect().execute("FROM read_parquet(?)", [str(path)]).fetchall()


def scores(out: Path, split: str = "train") -> dict[tuple[object, object], object]:
    """Return {(user_id, track_id): score} of a split."""
    return {(row[0], row[1]): row[2] for row in rows(out / f"{split}.parquet")}


def rejected(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
