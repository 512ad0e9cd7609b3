"""Public ids (strings) outside, matrix rows (integers) inside."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from service.core.errors import DataError

UNKNOWN = -1
"""The row of an id that is not in the index."""


_GROUP = "group\t"


def group_key(group_id: str) -> str:
    """Return the id of the row that a group has for its own listening, beside the rows of its members.

    No user has such an id: prepared ids hold no control character, and the tab is one.
    """
    return _GROUP + group_id


def is_group_key(public_id: str) -> bool:
    """Return whether an id is that of a group's own row."""
    return public_id.startswith(_GROUP)


def count_groups(public_ids: Iterable[str]) -> int:
    """Return how many ids are those of groups' own rows."""
    return sum(map(is_group_key, public_ids))


class IdIndex:
    """A frozen two-way map: row r of every matrix belongs to `ids[r]`."""

    __slots__ = ("_rows", "ids")

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids: tuple[str, ...] = tuple(ids)
        self._rows = {public_id: row for row, public_id in enumerate(self.ids)}
        if len(self._rows) != len(self.ids):
            twice = next(i for row, i in enumerate(self.ids) if self._rows[i] != row)
            raise DataError(f"ids must be unique, {twice!r} is there more than once")

    def __repr__(self) -> str:
        some = ", ".join(map(repr, self.ids[:3]))
        return f"IdIndex({len(self):,} ids: {some}{', …' if len(self) > 3 else ''})"

    def row(self, public_id: str) -> int | None:
        """Return the row of an id, None where unknown."""
        return self._rows.get(public_id)

    def rows(self, public_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of many ids, `UNKNOWN` where unknown."""
        rows = self._rows
        return np.fromiter((rows.get(i, UNKNOWN) for i in public_ids), dtype=np.int64, count=len(public_ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, public_id: object) -> bool:
        return public_id in self._rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdIndex) and self.ids == other.ids

    def __hash__(self) -> int:
        return hash(self.ids)
