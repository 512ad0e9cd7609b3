"""From dense rows of item-item weights, a block at a time, to the compressed rows that an artifact keeps."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float32]


def binary(matrix: csr_array) -> csr_array:
    """Return who played what as ones, (users, tracks); what was only skipped is left out."""
    listened = matrix.astype(np.float32, copy=True)
    listened.data = (matrix.data > 0).astype(np.float32)
    listened.eliminate_zeros()
    return listened


def cooccurrence_blocks(listened: csr_array, at_once: int) -> Iterator[tuple[int, Floats]]:
    """Yield the first track of each block and its rows of X'X, (at_once, tracks), of X (users, tracks)."""
    by_track = listened.T.tocsr()
    for begin in range(0, by_track.shape[0], at_once):
        yield begin, (by_track[begin : begin + at_once] @ listened).toarray().astype(np.float32, copy=False)


def strongest(weights: Floats, kept: int) -> csr_array:
    """Return rows of weights (tracks, tracks) with only the `kept` largest magnitudes of each, zeros left out."""
    kept = min(kept, weights.shape[1])
    columns = np.sort(np.argpartition(-np.abs(weights), kept - 1, axis=1)[:, :kept], axis=1)
    values = np.take_along_axis(weights, columns, axis=1)
    indptr = np.arange(len(weights) + 1) * kept
    compressed = csr_array((values.ravel(), columns.ravel(), indptr), shape=weights.shape)
    compressed.eliminate_zeros()
    return compressed


def arrays_of(rows: csr_array, listened: csr_array) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of kind `item_item` from B (tracks, tracks) and binary profiles."""
    return {
        "neighbour_indptr": rows.indptr.astype(np.int64),
        "neighbour_rows": rows.indices.astype(np.int32),
        "neighbour_weights": rows.data.astype(np.float32),
        "profile_weights": (listened.data > 0).astype(np.float32),
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
