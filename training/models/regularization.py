"""How far factors are held down: by the noise in the data, and from there by what validation users turn out to like."""

import math
from collections.abc import Callable
from typing import Final, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.core.errors import TrainingError
from service.core.recommender import Recommender
from service.core.recommenders.blend import FEW
from training.data import PreparedData
from training.factors import Floats
from training.guests import Guests
from training.metrics import Column, Score, Truth, rank_metrics, sample
from training.models.algorithm import Fitted
from training.served import served

Model = TypeVar("Model")

K: Final = 10
"""Length of the lists that are judged, by nDCG."""
FEWEST: Final = 100
"""Validation users without whom nothing is chosen: what fewer say is chance."""
MOST_LISTENERS, MOST_GUESTS = 2000, 1000
"""Validation users who are asked; of more, so many are drawn."""
STEP: Final = 1.5
"""What a parameter is multiplied or divided by."""
MOST_STEPS: Final = 8
"""Steps in one direction."""


def noise_level(confidence: Floats, users: int, tracks: int) -> float:
    """Return the largest singular value of a matrix (users, tracks) with the same entries c at random places.

    About sqrt(v) (sqrt(users) + sqrt(tracks)), v the mean square of its cells (Bai & Yin 1993). What factors find
    below it may be chance.
    """
    cells = users * tracks
    energy = float(np.square(confidence, dtype=np.float64).sum())
    return math.sqrt(energy / cells) * (math.sqrt(users) + math.sqrt(tracks))


def climb(start: float, judge: Callable[[float], tuple[Column, Model]], step: float = STEP) -> Model:
    """Return the model of the value, `start` times a power of `step`, from which no step is clearly better.

    `judge` gives one figure for each of the same users, more being better, and the model with a value. A step is taken
    where the mean gains more than the standard error of the gain; upwards, or else downwards. A value with which
    there is no model is no step.
    """
    first = judge(start)
    upwards = _climbed(start, step, judge, *first)
    return upwards if upwards is not first[1] else _climbed(start, 1 / step, judge, *first)


def _climbed(
    value: float, factor: float, judge: Callable[[float], tuple[Column, Model]], reached: Column, best: Model
) -> Model:
    """Return the model after the last step in this direction that gains."""
    for _ in range(MOST_STEPS):
        value *= factor
        try:
            found, model = judge(value)
        except TrainingError:
            break
        if not clearly_better(found, reached):
            break
        reached, best = found, model
    return best


def clearly_better(found: Column, reached: Column) -> bool:
    """Return whether the mean gain is above its standard error."""
    gain = found - reached
    return bool(gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain)))


def chosen(
    kind: str,
    data: PreparedData,
    jury: "Jury",
    start: float,
    fit: Callable[[float], Fitted],
    step: float = STEP,
) -> Fitted:
    """Return the fit of the regularisation that known users and guests choose together, see `climb`."""

    def judged(regularization: float) -> tuple[Column, Fitted]:
        fitted = fit(regularization)
        return jury.of_all(served(kind, fitted.scoring, fitted.arrays, data.interactions)), fitted

    return climb(start, judged, step)


class Jury(NamedTuple):
    """Validation users, who judge a model by the new tracks that they turned out to like."""

    truth: Truth
    listeners: NDArray[np.int64]
    """(n,) rows of those who judge as known users."""
    guests: Guests
    """Those who judge as guests with `FEW` tracks."""

    @classmethod
    def of(cls, data: PreparedData, seed: int) -> Self:
        """Return the jury that validation data give; either side is empty where they give too few for one."""
        truth = Truth.of(data.validation, data.interactions.matrix.shape, excluded=data.interactions.matrix)
        listeners = sample(truth.users, MOST_LISTENERS, seed)
        guests = Guests.drawn(truth.users, data.interactions.positives, FEW, MOST_GUESTS, seed)
        nobody = np.empty(0, dtype=np.int64)
        return cls(
            truth,
            listeners if len(listeners) >= FEWEST else nobody,
            guests if len(guests.named) >= FEWEST else Guests(nobody, []),
        )

    def of_all(self, model: Recommender) -> Column:
        """Return nDCG@10 of each listener, and then of each guest."""
        listeners = self._judge(lambda rows: model.score(model.user_vectors(rows)), self.listeners)
        return np.concatenate([listeners, self.of_guests(model)])

    def of_guests(self, model: Recommender) -> Column:
        """Return nDCG@10 of each guest."""
        rows, named = self.guests

        def folded(some: Tensor) -> Tensor:
            return model.score(model.fold_in([named[at] for at in np.searchsorted(rows, some.numpy())]))

        return self._judge(folded, rows)

    def _judge(self, score: Score, users: NDArray[np.int64]) -> Column:
        return rank_metrics(score, self.truth, (K,), users).columns[f"ndcg@{K}"]
