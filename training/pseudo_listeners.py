"""Albums and artists as listeners of their own tracks: what a catalogue knows, as more rows of the training matrix.

A track that few have played is next to those of its album then, in any model of who played what (the collective
factorisation of Singh & Gordon, KDD 2008, with the catalogue's rows weighted).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from service.core.catalogue import TrackInfo
from training.neighbours import Floats, Listeners


def with_catalogue(
    listeners: Listeners, catalogue: Sequence[TrackInfo], album_weight: float, artist_weight: float
) -> Listeners:
    """Return the listeners with one more for each album and each artist of two tracks or more; 0 leaves them out."""
    tracks = listeners.played.shape[1]
    kinds = (
        ([info.album_id for info in catalogue], album_weight),
        ([info.artist_id for info in catalogue], artist_weight),
    )
    extra = [Listeners(*_of(ids, weight, tracks)) for ids, weight in kinds if weight > 0]
    return Listeners(
        csr_array(vstack([part.played for part in (listeners, *extra)], format="csr")),
        np.concatenate([part.weights for part in (listeners, *extra)]),
    )


def _of(ids: Sequence[str | None], weight: float, tracks: int) -> tuple[csr_array, Floats]:
    """Return one row for each id that two tracks or more share."""
    known: NDArray[np.int64] = np.flatnonzero([public_id is not None for public_id in ids])
    _, rows = np.unique([ids[track] or "" for track in known], return_inverse=True)
    groups = csr_array((np.ones(len(known), dtype=np.float32), (rows, known)), shape=(len(known), tracks))
    groups = csr_array(groups[np.diff(groups.indptr) > 1])
    return groups, np.full(groups.shape[0], weight, dtype=np.float32)
