"""A published split, lines `user item item ...` in train, valid and test.txt.gz, as prepared-data folders.

Models are compared on the test file after learning from the other two, as the leaderboards of these splits do. Whatever
is chosen is chosen on the valid file, after learning from train alone.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd

Judge = Literal["validation", "test"]

FILES: Final[dict[Judge, tuple[tuple[str, ...], str]]] = {
    "validation": (("train",), "valid"),
    "test": (("train", "valid"), "test"),
}
"""What is learned from and what is judged by."""


def write_split(source: Path, out: Path, judge: Judge) -> None:
    """Write a prepared-data folder of the split in `source`, if it is not there yet."""
    if (out / "tracks.parquet").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    learned, judged = FILES[judge]
    train = read_pairs([source / f"{name}.txt.gz" for name in learned])
    splits = {"train": train, "validation": train[:0], "test": train[:0]} | {
        judge: read_pairs([source / f"{judged}.txt.gz"])
    }
    for name, pairs in splits.items():
        as_prepared(pairs).to_parquet(out / f"{name}.parquet", index=False)
    tracks = np.unique(np.concatenate([pairs["track_id"].to_numpy(dtype=str) for pairs in splits.values()]))
    pd.DataFrame({"track_id": tracks}).to_parquet(out / "tracks.parquet", index=False)


def read_pairs(paths: Sequence[Path]) -> pd.DataFrame:
    """Return user_id and track_id of some files."""
    return pd.DataFrame((pair for path in paths for pair in _pairs(path)), columns=["user_id", "track_id"], dtype=str)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            user_id, *track_ids = line.split()
            yield from ((user_id, track_id) for track_id in track_ids)


def as_prepared(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the columns and the order of a prepared split: each pair is one play."""
    ordered = pairs.drop_duplicates().sort_values(["user_id", "track_id"])
    columns = ordered.assign(score=1, plays=1, skips=0, likes=0, last_time=np.datetime64("NaT", "us"), position=np.nan)
    types = {"score": "float32", "plays": "int32", "skips": "int32", "likes": "int32", "last_time": "datetime64[us]"}
    return columns.astype({**types, "position": "Int32"})
