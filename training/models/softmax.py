"""Sampled softmax: user and track embeddings, each positive against sampled tracks."""

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from time import perf_counter
from typing import ClassVar, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field, JsonValue
from scipy.sparse import csr_array

from service.core.errors import TrainingError
from training.data import PreparedData
from training.factors import Factors
from training.models.algorithm import Algorithm, Count, Fitted, Progress, Range
from training.softmax import shared, uniform
from training.softmax.candidates import Candidates

CANDIDATES: Final = 20
"""Random tracks beside each held-out one when loss and accuracy are measured, for every preset alike."""

FOLD_IN: Final[dict[str, JsonValue]] = {
    "unobserved_weight": 0.002,
    "liked_confidence": 1.0,
    "regularization": 0.75,
    "frequency_exponent": 1.0,
}
"""The least squares that stand in for the softmax when a guest comes, chosen on validation data of playlists-2018."""


class Softmax(Algorithm):
    """Factors under which what a user chose to hear is likelier than other tracks."""

    kind: ClassVar[str] = "factors"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {
        "original": {
            "sampling": "uniform",
            "dim": 15,
            "epochs": 50,
            "negatives": 20,
            "batch_size": 1024,
            "learning_rate": 100.0,
            "similarity": "dot",
        },
    }
    search: ClassVar[Mapping[str, Range]] = {
        "competitors": Range(300, 20_000, logarithmic=True, whole=True),
        "regularization": Range(0.05, 5.0, logarithmic=True),
        "frequency_exponent": Range(0.3, 1.0),
        "learning_rate_decay": Range(0.75, 1.0),
    }

    sampling: Literal["shared", "uniform"] = "shared"
    """`uniform` draws negatives for every pair and walks down the plain gradient, the original recipe; `shared` draws
    them for a batch of users, without accidental hits and corrected for their popularity, and walks with Adam."""
    dim: Count = 192
    """Length of a factor."""
    epochs: Count = 24
    """Most passes over all users."""
    patience: Count = 3
    """Epochs without a better validation loss after which training stops; the best epoch is kept."""
    negatives: Count = 4096
    """Tracks drawn for a pair (`uniform`) or for a batch (`shared`)."""
    competitors: Count = 2000
    """How many tracks the negatives of `shared` stand for, at most all: more rank the top better, fewer tell a liked
    track from a random one better."""
    batch_size: Count = 512
    """Pairs (`uniform`) or users (`shared`) a step."""
    learning_rate: float = Field(default=0.02, gt=0)
    """Step of the gradient averaged over a batch (`uniform`), or Adam's for the item factors (`shared`)."""
    user_learning_rate: float = Field(default=0.1, gt=0)
    """Adam's for the user factors, which take one step an epoch."""
    learning_rate_decay: float = Field(default=0.88, gt=0, le=1)
    """What both are multiplied with after every epoch of `shared`."""
    regularization: float = Field(default=0.55, ge=0)
    """lambda of `shared`: lambda_u = lambda |S_u|^nu times |x_u|^2 / 2 is added to the loss, likewise for tracks."""
    frequency_exponent: float = Field(default=0.75, ge=0, le=1)
    """nu."""
    similarity: Literal["dot", "cosine"] = "cosine"
    """How two tracks compare. The dot product of `shared` multiplies popularities, so that the rarest tracks would be
    the neighbours of every rare track."""

    def fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:
        """Return the factors of the epoch with the lowest validation loss, or of the last without validation data."""
        positives = data.interactions.positives
        if positives.nnz == 0:
            raise TrainingError("softmax learns from scores above 0, and the training split has none")
        random = np.random.default_rng(seed)
        # From generators of their own: what is held out must not change what is learned.
        validation, test = (
            Candidates.draw(pairs, positives.shape[1], CANDIDATES, apart)
            for pairs, apart in zip((data.validation, data.test), random.spawn(2), strict=True)
        )
        curve: list[dict[str, float]] = []
        best = Best(epoch=0, loss=math.inf, factors=Factors(*np.empty((2, 0, self.dim), dtype=np.float32)))
        started = perf_counter()
        for epoch, (factors, train_loss) in enumerate(islice(self.descend(positives, random, device), self.epochs), 1):
            judgement = judged("validation", validation, factors)
            if not all(map(math.isfinite, (train_loss, *judgement.values()))):
                raise TrainingError(f"softmax diverged in epoch {epoch} (loss {train_loss}); lower the learning rate")
            curve.append({"epoch": epoch, "train_loss": train_loss, **judgement, "seconds": perf_counter() - started})
            progress(epoch, self.epochs, ", ".join(f"{name} {value:.4f}" for name, value in judgement.items()))
            loss = judgement.get("validation_loss", -epoch)  # without validation data the last epoch is the best
            if loss < best.loss:
                best = Best(epoch, loss, Factors(factors.users.copy(), factors.items.copy()))
            elif epoch - best.epoch >= self.patience:
                break
        return Fitted(
            arrays={"user_factors": best.factors.users, "item_factors": best.factors.items},
            scoring={"similarity": self.similarity, "fold_in": FOLD_IN},
            curve=curve,
            metrics={
                "best_epoch": best.epoch,
                **judged("validation", validation, best.factors),
                **judged("test", test, best.factors),
            },
        )

    def descend(
        self, positives: csr_array, random: np.random.Generator, device: str
    ) -> Iterator[tuple[Factors, float]]:
        """Yield the factors and the mean training loss after every epoch, without end."""
        if self.sampling == "uniform":
            return uniform.descend(positives, self.dim, self.negatives, self.batch_size, self.learning_rate, random)
        settings = shared.Settings(**self.model_dump(include=set(shared.Settings._fields)))
        return shared.descend(positives, settings, random, device)


class Best(NamedTuple):
    """The epoch to keep."""

    epoch: int
    loss: float
    factors: Factors


def judged(split: str, candidates: Candidates, factors: Factors) -> dict[str, float]:
    """Return loss and accuracy on a split as metrics, nothing for a split without pairs to judge."""
    if len(candidates) == 0:
        return {}
    judgement = candidates.judge(factors)
    return {f"{split}_loss": judgement.loss, f"{split}_accuracy": judgement.accuracy}
