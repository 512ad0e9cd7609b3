"""Albums and artists as listeners of their own tracks: what a catalogue knows, as more rows of the training matrix.

A track that few have played is next to those of its album then, in any model of who played what (the collective
factorisation of Singh & Gordon, KDD 2008, with the catalogue's rows weighted).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from service.core.catalogue import TrackInfo
from training.neighbours import Listeners
from training.recordings import artist_of


def pseudo_listeners(catalogue: Sequence[TrackInfo], album_weight: float, artist_weight: float) -> Listeners:
    """Return a listener for each album and each artist of two tracks or more; a weight of 0 leaves them out."""
    nobody = Listeners(csr_array(np.empty((0, len(catalogue)), dtype=np.float32)), np.empty(0, dtype=np.float32))
    albums, artists = ([info.album_id for info in catalogue], [artist_of(info) for info in catalogue])
    labels = (albums, album_weight), (artists, artist_weight)
    return stacked_listeners(nobody, *(_of(ids, weight) for ids, weight in labels if weight > 0))


def stacked_listeners(*listeners: Listeners) -> Listeners:
    """Return all of them as one, in this order."""
    played = vstack([part.played for part in listeners], format="csr")
    return Listeners(csr_array(played), np.concatenate([part.weights for part in listeners]))


def _of(ids: Sequence[str | None], weight: float) -> Listeners:
    """Return one row for each id that two tracks or more share."""
    known: NDArray[np.int64] = np.flatnonzero([public_id is not None for public_id in ids])
    _, rows = np.unique([ids[track] or "" for track in known], return_inverse=True)
    groups = csr_array((np.ones(len(known), dtype=np.float32), (rows, known)), shape=(len(known), len(ids)))
    groups = csr_array(groups[np.diff(groups.indptr) > 1])
    return Listeners(groups, np.full(groups.shape[0], weight, dtype=np.float32))
