"""A published split, lines `user item item ...` in train, valid and test.txt.gz, as prepared-data folders.

Models are compared on the test file after learning from the other two, as the leaderboards of these splits do. Whatever
is chosen is chosen after learning from train alone, or from a part of it: on the valid file where test is as random a
part as valid is, on the ends of the histories in train where test looks like the end of each history.
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


ENDS: Final = 0.2
"""Share of a history that is its end, as much as test has of all three files."""


def write_split(source: Path, out: Path, judge: Judge) -> None:
    """Write a prepared-data folder of the split in `source`, if it is not there yet."""
    learned, judged = FILES[judge]
    train, held_out = (read_pairs([source / f"{name}.txt.gz" for name in names]) for names in (learned, (judged,)))
    _write(out, train, judge, held_out)


def write_ends(source: Path, out: Path) -> None:
    """Write the train file alone, the last fifth of every line as validation, if it is not there yet.

    A line is in the order of the history. A random part of it is easier to guess than what comes after it, and asks
    for other parameters.
    """
    pairs = read_pairs([source / "train.txt.gz"])
    history = pairs.groupby("user_id")["track_id"]
    end = history.cumcount(ascending=False) < (ENDS * history.transform("size")).round()
    _write(out, pairs[~end], "validation", pairs[end])


def _write(out: Path, train: pd.DataFrame, judge: Judge, held_out: pd.DataFrame) -> None:
    if (out / "tracks.parquet").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    splits = {"train": train, "validation": train[:0], "test": train[:0], judge: held_out}
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
