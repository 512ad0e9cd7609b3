"""The original recipe: every pair against a few tracks drawn uniformly, mini-batch gradient descent."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from training.compiled import compiled
from training.factors import Factors, Floats

START: float = 0.05
"""Factors start uniform in -START..START, as Keras embeddings do."""


def descend(
    positives: csr_array, dim: int, negatives: int, batch_size: int, learning_rate: float, random: np.random.Generator
) -> Iterator[tuple[Factors, float]]:
    """Yield the factors and the mean training loss after every epoch, without end.

    `positives` is (users, tracks); negatives are drawn anew every epoch. The arrays yielded are moved on in place.
    """
    users, tracks = positives.shape
    factors = Factors(
        random.uniform(-START, START, (users, dim)).astype(np.float32),
        random.uniform(-START, START, (tracks, dim)).astype(np.float32),
    )
    user_rows = np.repeat(np.arange(users, dtype=np.int32), np.diff(positives.indptr))
    while True:
        order = random.permutation(len(user_rows))
        candidates = np.empty((len(order), 1 + negatives), dtype=np.int32)
        candidates[:, 0] = positives.indices[order]
        candidates[:, 1:] = random.integers(tracks, size=(len(order), negatives), dtype=np.int32)
        loss = _epoch(*factors, user_rows[order], candidates, batch_size, np.float32(learning_rate))
        yield factors, loss


@compiled
def _epoch(
    users: Floats,
    items: Floats,
    user_rows: NDArray[np.int32],
    candidates: NDArray[np.int32],
    batch_size: int,
    learning_rate: np.float32,
) -> float:
    """Move users and items down the gradient of one batch after another; return the mean loss on the way.

    candidates is (pairs, 1 + negatives), the positive first. The loss of a batch is the mean over its pairs of
    log sum_c exp(x . y_c) - x . y_0, so its gradient is softmax(x . y)_c - [c = 0] for the logit of candidate c.
    """
    total = 0.0
    slopes = np.empty((batch_size, candidates.shape[1]), dtype=np.float32)
    x = np.empty((batch_size, users.shape[1]), dtype=np.float32)
    for start in range(0, len(user_rows), batch_size):
        rows, tracks = user_rows[start : start + batch_size], candidates[start : start + batch_size]
        for pair in range(len(rows)):
            x[pair] = users[rows[pair]]
            total += _softmax_slope(x[pair], items, tracks[pair], slopes[pair])
        step = learning_rate / np.float32(len(rows))
        for pair in range(len(rows)):
            _add(users[rows[pair]], items, tracks[pair], slopes[pair], -step)
        for pair in range(len(rows)):
            for c in range(tracks.shape[1]):
                weight, y = -step * slopes[pair, c], items[tracks[pair, c]]
                for f in range(len(y)):
                    y[f] += weight * x[pair, f]
    return total / len(user_rows)


@compiled
def _softmax_slope(x: Floats, items: Floats, tracks: NDArray[np.int32], slope: Floats) -> float:
    """Fill in the gradient of one pair's logits, (candidates,), and return its loss."""
    for c in range(len(tracks)):
        y = items[tracks[c]]
        logit = np.float32(0)
        for f in range(len(x)):
            logit += x[f] * y[f]
        slope[c] = logit
    highest, positive = slope.max(), slope[0]
    total = np.float32(0)
    for c in range(len(tracks)):
        slope[c] = np.exp(slope[c] - highest)
        total += slope[c]
    for c in range(len(tracks)):
        slope[c] /= total
    slope[0] -= 1
    return float(np.log(total) + highest - positive)


@compiled
def _add(x: Floats, items: Floats, tracks: NDArray[np.int32], slope: Floats, scale: np.float32) -> None:
    """Add scale * sum_c slope_c y_c to x."""
    for c in range(len(tracks)):
        weight, y = scale * slope[c], items[tracks[c]]
        for f in range(len(x)):
            x[f] += weight * y[f]
