"""What models are judged by: one split that they have not learned from, and what was known before it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from service.core.errors import DataError
from service.core.ids import IdIndex
from training.data import Pairs, Split, fingerprint_of, read_group_split, read_split
from training.metrics import RELEVANT, Truth

Protocol = Literal["new", "all", "discovery"]
"""Whether what a listener heard in an earlier split is left out of their ranking, or may come again as it is served.

To a group `discovery` gives what any member has not heard, and it counts for those; `new` what none of them has.
"""

PROTOCOLS: Final[tuple[Protocol, ...]] = ("new", "all")
"""Those that every evaluation judges by."""

PROTOCOL_TITLES: Final[dict[Protocol, str]] = {
    "all": "everything may be recommended",
    "new": "only what was not heard before",
    "discovery": "what a member heard before counts for the others only",
}

EARLIER: Final[dict[Split, tuple[Split, ...]]] = {"validation": ("train",), "test": ("train", "validation")}
"""The splits that can be judged by, and those that came before."""


def usual_protocol(judged: Collection[Protocol], *, all_new: bool) -> Protocol:
    """Return which of the protocols that groups are judged by says most, where there is room for one alone.

    Where all that is held out is new to its listener, as in playlists, what is known already can never be right.
    """
    order: tuple[Protocol, ...] = ("discovery", "new", "all") if all_new else ("discovery", "all", "new")
    return next(protocol for protocol in order if protocol in judged)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One split to judge by. Frames have the columns user_id, track_id and score."""

    split: Split
    pairs: pd.DataFrame
    train: pd.DataFrame
    earlier: pd.DataFrame
    """Pairs of all earlier splits, train included."""
    fingerprint: str
    """Of the training data."""
    of_groups: "HeldOut | None" = None
    """What groups heard together, their `group_key` as user_id; None where the data has no such listening."""

    def __repr__(self) -> str:
        return f"HeldOut({self.split}: {len(self.pairs):,} pairs, {len(self.earlier):,} earlier)"

    @classmethod
    def load(cls, folder: Path | str, split: Split | None = None, *, may_be_empty: bool = False) -> "HeldOut":
        """Return a split of a prepared folder: test unless it is empty, then validation; DataError if that is, too."""
        folder = Path(folder)
        names: tuple[Split, ...] = ("train", "validation", "test")
        splits = {name: read_split(folder, name) for name in names}
        wanted = "test.parquet and validation.parquet hold" if split is None else f"{split}.parquet holds"
        if split is None:
            split = "validation" if splits["test"].empty else "test"
        if splits[split].empty and not may_be_empty:
            raise DataError(
                f"{folder}: {wanted} no pairs, so there is nothing to judge by; prepare with --split random, which "
                "holds out pairs whatever their times, or with more data"
            )
        fingerprint = fingerprint_of(folder)
        together = {name: pd.concat([splits[name][:0], *read_group_split(folder, name)]) for name in splits}
        of_groups = None if together["train"].empty else cls._of(together, split, fingerprint)
        return replace(cls._of(splits, split, fingerprint), of_groups=of_groups)

    @classmethod
    def _of(cls, splits: dict[Split, pd.DataFrame], split: Split, fingerprint: str) -> "HeldOut":
        earlier = pd.concat([splits[name] for name in EARLIER[split]], ignore_index=True)
        return cls(split, splits[split], splits["train"], earlier, fingerprint)

    @cached_property
    def relevant(self) -> pd.DataFrame:
        """Return the pairs that count as relevant."""
        return self.pairs[self.pairs["score"] >= RELEVANT]

    @cached_property
    def new(self) -> NDArray[np.bool_]:
        """Return for each relevant pair whether no earlier split has it."""
        columns = ["user_id", "track_id"]
        earlier = self.earlier[columns].drop_duplicates()  # a pair may come again in a later split
        known = self.relevant[columns].merge(earlier, how="left", on=columns, indicator="where")
        return (known["where"] == "left_only").to_numpy(dtype=np.bool_)

    def users(self, protocol: Protocol) -> set[str]:
        """Return the users with something relevant that the protocol allows to be recommended."""
        return set(self.relevant["user_id"] if protocol == "all" else self.relevant["user_id"][self.new])

    def truth(self, users: IdIndex, tracks: IdIndex, protocol: Protocol) -> Truth:
        """Return what these users liked, in rows of these indexes."""
        shape = (len(users), len(tracks))
        excluded = None if protocol == "all" else _mask(_rows(self.earlier, users, tracks).known(), shape)
        pairs = self.relevant if protocol == "all" else self.relevant[self.new]
        return Truth.of(_rows(pairs, users, tracks), shape, excluded)


def _rows(frame: pd.DataFrame, users: IdIndex, tracks: IdIndex) -> Pairs:
    frame = frame[frame["user_id"].isin(users.ids)]
    return Pairs(
        users.rows(frame["user_id"].tolist()),
        tracks.rows(frame["track_id"].tolist()),
        frame["score"].to_numpy(dtype=np.float32),
    )


def _mask(pairs: Pairs, shape: tuple[int, int]) -> csr_array:
    matrix = csr_array(
        (np.ones(len(pairs.user_rows), dtype=np.bool_), (pairs.user_rows, pairs.track_rows)), shape=shape
    )
    matrix.sum_duplicates()  # a pair may come again in a later split
    return matrix


def known_to_all(user_ids: Collection[str], indexes: Collection[IdIndex]) -> list[str]:
    """Return the users that every model knows, sorted."""
    return sorted(user_id for user_id in user_ids if all(user_id in index for index in indexes))
