"""What the order of a history says: the tracks at its end say more about what comes next."""

import numpy as np

from training.data import NO_ORDER, Interactions
from training.neighbours import Floats


def recency(interactions: Interactions, tail_boost: float, length: int, recent_boost: float | None = None) -> Floats:
    """Return what each pair of the training matrix counts, (pairs,), 1 but at the end of an ordered history.

    Its last liked track counts `tail_boost`, or `recent_boost` where times of listening make the order and it is given;
    the ones before it count less and less, the one that has `length` behind it 1. Tracks of one place, or one moment,
    share what they would have one after another.
    """
    weights = np.ones(interactions.matrix.nnz, dtype=np.float32)
    if interactions.positions is None:
        return weights
    ordered = np.flatnonzero((interactions.positions != NO_ORDER) & (interactions.matrix.data > 0))
    users = np.repeat(np.arange(interactions.matrix.shape[0]), np.diff(interactions.matrix.indptr))[ordered]
    from_the_end = np.lexsort((-interactions.positions[ordered], users))
    users, ordered = users[from_the_end], ordered[from_the_end]
    behind = np.arange(len(users)) - np.searchsorted(users, users)
    more = np.maximum(0, 1 - behind / length)
    places = interactions.positions[ordered]
    place = np.cumsum((np.diff(users, prepend=-1) != 0) | (np.diff(places, prepend=NO_ORDER) != 0)) - 1
    boost = np.full(len(ordered), tail_boost)
    if recent_boost is not None and interactions.timed is not None:
        boost[interactions.timed[ordered]] = recent_boost
    weights[ordered] = 1 + (boost - 1) * (np.bincount(place, more) / np.bincount(place))[place]
    return weights
