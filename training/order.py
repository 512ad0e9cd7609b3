"""What the order of a history says: the tracks at its end say more about what comes next."""

import numpy as np

from training.data import NO_ORDER, Interactions
from training.neighbours import Floats


def recency(interactions: Interactions, boost: float, length: int) -> Floats:
    """Return what each pair of the training matrix counts, (pairs,), 1 but at the end of an ordered history.

    Its last liked track counts `boost`, the ones before it less and less, the one that has `length` behind it 1.
    """
    weights = np.ones(interactions.matrix.nnz, dtype=np.float32)
    if interactions.positions is None:
        return weights
    ordered = np.flatnonzero((interactions.positions != NO_ORDER) & (interactions.matrix.data > 0))
    users = np.repeat(np.arange(interactions.matrix.shape[0]), np.diff(interactions.matrix.indptr))[ordered]
    from_the_end = np.lexsort((-interactions.positions[ordered], users))
    users = users[from_the_end]
    behind = np.arange(len(users)) - np.searchsorted(users, users)
    weights[ordered[from_the_end]] = 1 + (boost - 1) * np.maximum(0, 1 - behind / length)
    return weights
