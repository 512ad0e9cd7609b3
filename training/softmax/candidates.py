"""How well factors tell a held-out track from tracks drawn at random: the loss and accuracy of the original recipe."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from training.compiled import compiled
from training.data import Pairs
from training.factors import Factors, Floats


class Judgement(NamedTuple):
    """Means over pairs."""

    loss: float
    """Categorical cross-entropy of the held-out track among its candidates, in nats."""
    accuracy: float
    """Share of pairs whose held-out track scores highest; of n equals at the top it gets 1/n."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Held-out pairs, each beside tracks drawn uniformly from all; one that the user knows may be among them."""

    user_rows: NDArray[np.int64]
    """(pairs,)"""
    track_rows: NDArray[np.int64]
    """(pairs, 1 + negatives), the held-out track first."""

    @classmethod
    def draw(cls, pairs: Pairs, tracks: int, negatives: int, random: np.random.Generator) -> Self:
        """Return the liked pairs of known users and tracks with their negatives; the other pairs cannot be judged."""
        pairs = pairs.known().liked()
        drawn = random.integers(tracks, size=(len(pairs.user_rows), negatives))
        return cls(pairs.user_rows, np.column_stack([pairs.track_rows, drawn]))

    def __len__(self) -> int:
        return len(self.user_rows)

    def judge(self, factors: Factors) -> Judgement:
        """Return the loss and accuracy of factors; there has to be a pair."""
        loss, accuracy = _judge(factors.users, factors.items, self.user_rows, self.track_rows)
        return Judgement(loss / len(self), accuracy / len(self))


@compiled
def _judge(
    users: Floats, items: Floats, user_rows: NDArray[np.int64], track_rows: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the sums of loss and accuracy over all pairs."""
    loss = accuracy = 0.0
    logits = np.empty(track_rows.shape[1], dtype=np.float32)
    for pair in range(len(user_rows)):
        x = users[user_rows[pair]]
        for c in range(len(logits)):
            y = items[track_rows[pair, c]]
            logit = np.float32(0)
            for f in range(len(x)):
                logit += x[f] * y[f]
            logits[c] = logit
        highest = logits.max()
        loss += np.log(np.exp(logits - highest).sum()) + highest - logits[0]
        if logits[0] == highest:
            accuracy += 1 / (logits == highest).sum()
    return loss, accuracy
