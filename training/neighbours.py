"""From who played what to dense rows of item-item weights, a block at a time, and to the rows an artifact keeps."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float32]


class Listeners(NamedTuple):
    """Who played what, and what each of them counts."""

    played: csr_array
    """X (listeners, tracks), ones; what was only skipped is left out."""
    weights: Floats
    """w (listeners,), 1 for one who counts as anybody."""

    @classmethod
    def of(cls, scores: csr_array, length_exponent: float = 0.0) -> Self:
        """Return the listeners of a matrix of scores; one of n tracks counts as n^-p, scaled to mean 1 over all pairs.

        Two tracks of a playlist of ten have more in common than two of a playlist of a thousand.
        """
        played = scores.astype(np.float32, copy=True)
        played.data = (scores.data > 0).astype(np.float32)
        played.eliminate_zeros()
        lengths = np.diff(played.indptr)
        weights = np.maximum(lengths, 1) ** -length_exponent
        scale = max(played.nnz, 1) / max(float(weights @ lengths), 1e-30)
        return cls(played, (scale * weights).astype(np.float32))

    def counts(self) -> Floats:
        """Return the diagonal of X' diag(w) X: what the listeners of each track count, (tracks,)."""
        return np.asarray(self.weights @ self.played, dtype=np.float32)

    def cooccurrence_blocks(self, at_once: int) -> Iterator[tuple[int, csr_array]]:
        """Yield the first track of each block and its rows of X' diag(w) X, (at_once, tracks)."""
        weighted = self.played.copy()
        weighted.data *= np.repeat(self.weights, np.diff(self.played.indptr))
        by_track = weighted.T.tocsr()
        for begin in range(0, by_track.shape[0], at_once):
            yield begin, csr_array(by_track[begin : begin + at_once] @ self.played, dtype=np.float32)


def strongest(weights: Floats, kept: int) -> csr_array:
    """Return rows of weights (tracks, tracks) with only the `kept` largest magnitudes of each, zeros left out."""
    kept = min(kept, weights.shape[1])
    columns = np.sort(np.argpartition(-np.abs(weights), kept - 1, axis=1)[:, :kept], axis=1)
    values = np.take_along_axis(weights, columns, axis=1)
    indptr = np.arange(len(weights) + 1) * kept
    compressed = csr_array((values.ravel(), columns.ravel(), indptr), shape=weights.shape)
    compressed.eliminate_zeros()
    return compressed


def largest(rows: csr_array, kept: int) -> csr_array:
    """Return sparse rows with only the `kept` largest entries of each, by column."""
    bounds = zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    places = [
        begin + np.argpartition(rows.data[begin:end], end - begin - kept)[-kept:]
        if end - begin > kept
        else np.arange(begin, end)
        for begin, end in bounds
    ]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in places])])
    chosen = np.concatenate(places)
    compressed = csr_array((rows.data[chosen], rows.indices[chosen], indptr), shape=rows.shape)
    compressed.sort_indices()
    return compressed


def row_numbers(rows: csr_array) -> NDArray[np.int64]:
    """Return the row of each stored entry."""
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))


def arrays_of(rows: csr_array, profile_weights: Floats) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of kind `item_item` from B (tracks, tracks) and x of each pair of the history, (pairs,)."""
    return {
        "neighbour_indptr": rows.indptr.astype(np.int64),
        "neighbour_rows": rows.indices.astype(np.int32),
        "neighbour_weights": rows.data.astype(np.float32),
        "profile_weights": profile_weights.astype(np.float32),
    }


def stacked(blocks: Iterable[csr_array]) -> csr_array:
    """Return blocks of rows as one matrix."""
    parts = list(blocks)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    return csr_array(
        (
            np.concatenate([part.data for part in parts]),
            np.concatenate([part.indices for part in parts]),
            np.concatenate([[0], lengths.cumsum()]),
        ),
        shape=(len(lengths), parts[0].shape[1]),
    )
