"""Prepared data as `python -m training prepare` writes it, loaded for training.

Users and tracks are numbered from the training split alone: a pair of validation or test that names somebody
else has row `UNKNOWN`, so nothing held out can reach a fitted model. A group with listening of its own is one more
row of the training split, called by its `group_key`.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.sparse import csr_array

from service.core.catalogue import TrackInfo
from service.core.errors import DataError
from service.core.faults import said
from service.core.ids import UNKNOWN, IdIndex, group_key
from training.recordings import artist_of

Split = Literal["train", "validation", "test"]
PAIR_COLUMNS = ["user_id", "track_id", "score"]
ORDER: Final = ("position", "last_time")
"""The columns that say in which order a user heard tracks, null or missing where nothing does; the first one counts."""
NO_ORDER: Final = -1
Knowledge = Literal["albums", "artists", "positions", "times"]
"""What data may know beside who heard what: which tracks go together, and in which order they were heard."""


class Pairs(NamedTuple):
    """Scored (user, track) pairs of one split, all arrays (pairs,)."""

    user_rows: NDArray[np.int64]
    track_rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    def known(self) -> Self:
        """Return the pairs whose user and track are both in training."""
        return self.where((self.user_rows != UNKNOWN) & (self.track_rows != UNKNOWN))

    def liked(self) -> Self:
        """Return the pairs with a positive score; the rest were heard and refused."""
        return self.where(self.scores > 0)

    def where(self, keep: NDArray[np.bool_]) -> Self:
        """Return the pairs that a mask (pairs,) keeps."""
        return self._replace(user_rows=self.user_rows[keep], track_rows=self.track_rows[keep], scores=self.scores[keep])


@dataclass(frozen=True, eq=False)
class Interactions:
    """The training split: who heard what, and how much."""

    users: IdIndex
    tracks: IdIndex
    matrix: csr_array
    """Scores (users, tracks), float32, columns sorted; an explicit 0 was heard and only skipped."""
    positions: NDArray[np.int32] | None = None
    """(pairs,) numbers in the order of each history, `NO_ORDER` where an entry has none; None where all have none."""
    timed: NDArray[np.bool_] | None = None
    """(pairs,) whether the place of an entry comes from the times of listening, not from a list that somebody made."""

    def __repr__(self) -> str:
        users, tracks = len(self.users), len(self.tracks)
        return f"Interactions({users:,} users, {tracks:,} tracks, {self.matrix.nnz:,} pairs)"

    @cached_property
    def positives(self) -> csr_array:
        """The matrix without the explicit zeros: what its users chose to hear."""
        matrix = self.matrix.copy()
        matrix.eliminate_zeros()
        return matrix


@dataclass(frozen=True, eq=False)
class PreparedData:
    """One prepared folder: what a model learns from, and what it is judged on."""

    interactions: Interactions
    validation: Pairs
    test: Pairs
    catalogue: list[TrackInfo]
    """What tracks.parquet knows about each track, in row order."""
    fingerprint: str
    """Equal fingerprints mean equal training data."""

    def __repr__(self) -> str:
        held_out = ", ".join(
            f"{len(pairs.scores):,} of {split}"
            for split, pairs in (("validation", self.validation), ("test", self.test))
        )
        return f"PreparedData({self.interactions!r}, pairs: {held_out})"

    @property
    def knowledge(self) -> set[Knowledge]:
        """What these data know: albums and artists of two tracks or more, and orders of histories."""
        timed = self.interactions.timed
        ordered = (
            np.zeros(0, dtype=np.bool_)
            if self.interactions.positions is None
            else self.interactions.positions != NO_ORDER
        )
        known: dict[Knowledge, bool] = {
            "albums": _shared(track.album_id for track in self.catalogue),
            "artists": _shared(artist_of(track) for track in self.catalogue),
            "positions": bool((ordered if timed is None else ordered & ~timed).any()),
            "times": timed is not None and bool(timed.any()),
        }
        return {name for name, is_known in known.items() if is_known}


def _shared(labels: Iterable[str | None]) -> bool:
    """Return whether any label is that of two tracks or more."""
    return max(Counter(label for label in labels if label is not None).values(), default=0) > 1


def load(folder: Path | str) -> PreparedData:
    """Return the prepared data of a folder; a `DataError` says which file is missing or unusable."""
    folder = Path(folder)
    train = pd.concat([read_split(folder, "train"), *read_group_split(folder, "train")], ignore_index=True)
    if train.empty:
        raise DataError(f"{folder / 'train.parquet'} holds no pairs, so there is nothing to learn from")
    if not bool((train["score"] > 0).any()):
        raise DataError(f"{folder / 'train.parquet'} holds skips alone, so nobody is known to like anything")
    interactions = interactions_of(train)
    return PreparedData(
        interactions=interactions,
        validation=pairs_of(read_split(folder, "validation"), interactions),
        test=pairs_of(read_split(folder, "test"), interactions),
        catalogue=read_catalogue(folder, interactions.tracks),
        fingerprint=fingerprint_of(folder),
    )


def fingerprint_of(folder: Path) -> str:
    """Return the sha256 of train.parquet, followed by group_train.parquet where there is one."""
    digest = hashlib.sha256((folder / "train.parquet").read_bytes())
    if (groups := folder / "group_train.parquet").is_file():
        digest.update(groups.read_bytes())
    return digest.hexdigest()


def read_split(folder: Path, split: Split) -> pd.DataFrame:
    """Return user_id, track_id, score and, where they are there, the columns of ORDER of one split, every row of it."""
    return _read_pairs(folder / f"{split}.parquet", "user_id")


def read_group_split(folder: Path, split: Split) -> list[pd.DataFrame]:
    """Return what groups heard together, their `group_key` as user_id; nothing where the data has no such events."""
    path = folder / f"group_{split}.parquet"
    if not path.is_file():
        return []
    pairs = _read_pairs(path, "group_id")
    return [] if pairs.empty else [pairs.assign(user_id=pairs["user_id"].map(group_key))]


def _read_pairs(path: Path, who: str) -> pd.DataFrame:
    table = read_table(path)
    table = table.rename_columns(["user_id" if name == who else name for name in table.column_names])
    _check_columns(path, table, PAIR_COLUMNS)
    pairs: pd.DataFrame = pa.table(
        {
            column: _checked(path, column, table[column])
            for column in (*PAIR_COLUMNS, *ORDER)
            if column in table.column_names
        }
    ).to_pandas()
    if bool(pairs[PAIR_COLUMNS].isna().to_numpy().any()):
        raise DataError(f"{path} has a pair without user, track or score; prepare the data again")
    if not bool(np.isfinite(pairs["score"]).all()) or bool((pairs["score"] < 0).any()):
        raise DataError(f"{path} has a score that is negative or not finite; prepare the data again")
    return pairs


def _check_columns(path: Path, table: pa.Table, needed: Iterable[str]) -> None:
    missing = sorted(set(needed) - set(table.column_names))
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; prepare the data again")


def _checked(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of the type that its name asks for, a `DataError` where it has another: an id is text."""
    kind: pa.DataType = column.type
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):  # of pandas, a category
        return column.cast(kind.value_type)
    wanted, fits = _KINDS[name]
    if not (pa.types.is_null(kind) or any(test(kind) for test in fits)):
        raise DataError(f"{path}: {name} is of type {kind} and has to be {wanted}; prepare the data again")
    return column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating)
_KINDS: Final[dict[str, tuple[str, tuple[Callable[[pa.DataType], bool], ...]]]] = {
    "user_id": ("text", (_is_text,)),
    "track_id": ("text", (_is_text,)),
    "score": ("a number", _NUMBERS),
    "position": ("a number", _NUMBERS),
    "last_time": ("a time", (pa.types.is_timestamp, pa.types.is_date)),
}
"""What each column is to be, and how Arrow calls that; a column without any value has no type."""


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a file of the prepared folder, all of its columns or some."""
    if path.parent.is_file():
        raise DataError(f"{path.parent} is a file; prepared data are a folder")
    if not path.is_file():
        raise DataError(f"{path} is missing; make it with `python -m training prepare --out {path.parent}`")
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, ValueError) as error:  # pyarrow's own errors are subclasses of these
        raise DataError(f"{path} cannot be read as Parquet ({columns=}): {error}") from error


def interactions_of(pairs: pd.DataFrame) -> Interactions:
    """Return pairs as a matrix, users and tracks numbered in the order of their ids."""
    user_rows, users = pd.factorize(pairs["user_id"], sort=True)
    track_rows, tracks = pd.factorize(pairs["track_id"], sort=True)
    order = np.lexsort((track_rows, user_rows))
    scores = pairs["score"].to_numpy(dtype=np.float32)
    matrix = csr_array((scores, (user_rows, track_rows)), shape=(len(users), len(tracks)))
    if matrix.nnz != len(pairs):
        raise DataError("the training split names a (user, track) pair more than once; prepare the data again")
    matrix.sort_indices()
    positions, timed = positions_of(pairs)
    return Interactions(
        IdIndex(users.tolist()),
        IdIndex(tracks.tolist()),
        matrix,
        None if positions is None else positions[order],
        None if timed is None else timed[order],
    )


def mean_length(scores: csr_array) -> float:
    """Return the mean number of tracks with a score above 0, of those who have any; 0 where nobody has."""
    heard = scores.data > 0
    lengths = np.bincount(np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))[heard])
    return float(lengths.sum() / max(np.count_nonzero(lengths), 1))


def positions_of(pairs: pd.DataFrame) -> tuple[NDArray[np.int32] | None, NDArray[np.bool_] | None]:
    """Return numbers that sort each user's pairs in their order, and whether times gave them; None where nothing does.

    A history with positions is ordered by these alone, another one by its times.
    """
    places = pd.Series(np.nan, pairs.index)
    timed = pd.Series(False, pairs.index)
    for column in ORDER:
        if column in pairs and bool(pairs[column].notna().any()):
            free = places.notna().groupby(pairs["user_id"]).transform("sum") == 0
            places = places.mask(free, pairs[column].rank(method="dense").astype(float))
            timed |= free & (column == "last_time")
    if not bool(places.notna().any()):
        return None, None
    return np.asarray(places.fillna(NO_ORDER), dtype=np.int32), timed.to_numpy()


def pairs_of(pairs: pd.DataFrame, interactions: Interactions) -> Pairs:
    """Return held-out pairs as rows of the training matrix."""
    return Pairs(
        interactions.users.rows(pairs["user_id"].tolist()),
        interactions.tracks.rows(pairs["track_id"].tolist()),
        pairs["score"].to_numpy(dtype=np.float32),
    )


def read_catalogue(folder: Path, tracks: IdIndex) -> list[TrackInfo]:
    """Return what tracks.parquet knows about each track, in row order."""
    known = read_tracks(folder)
    return [known.get(track_id, TrackInfo()) for track_id in tracks]


def read_tracks(folder: Path) -> dict[str, TrackInfo]:
    """Return what tracks.parquet knows about every track that it names, by track_id."""
    path = folder / "tracks.parquet"
    table = read_table(path)
    _check_columns(path, table, ["track_id"])
    _checked(path, "track_id", table["track_id"])
    tracks = {}
    for number, row in enumerate(table.to_pylist(), start=1):
        if row["track_id"] is None:
            raise DataError(f"{path}, row {number}: no track_id; prepare the data again")
        try:
            tracks[row["track_id"]] = TrackInfo.model_validate(row)
        except ValidationError as error:
            raise DataError(f"{path}, row {number}: {said(error)}; prepare the data again") from error
    return tracks
