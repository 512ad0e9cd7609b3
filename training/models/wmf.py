"""Weighted matrix factorisation of implicit feedback (Hu, Koren & Volinsky 2008)."""

from collections.abc import Iterator, Mapping
from itertools import islice
from time import perf_counter
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field, JsonValue
from scipy.sparse import csr_array

from service.core.errors import DataError, TrainingError
from training.als import batched, cholesky, conjugate_gradient, dense
from training.als.alternating import alternate
from training.als.objective import Factors, Floats, Objective, loss, make_objective
from training.data import Pairs, PreparedData
from training.models.algorithm import Algorithm, Fitted, Progress

MOST_CELLS: Final = 4_000_000
"""Users x tracks that `sgd` walks over: its epoch costs thousands of times one of least squares."""


class WMF(Algorithm):
    """Factors that minimise sum_ui c_ui (p_ui - x_u . y_i)^2 + sum_u lambda_u |x_u|^2 + sum_i lambda_i |y_i|^2.

    p_ui = 1 if score >= 1 else 0. A cell that nobody heard has p = 0 and c = w0, and so has one that was only skipped.
    """

    kind: ClassVar[str] = "factors"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {
        "original": {"dim": 32, "confidence": "logarithmic", "regularization": 10.0, "frequency_exponent": 0.0},
    }

    dim: int = Field(default=128, ge=1)
    """Length of a factor; quality and the cost of serving grow with it (docs/wmf.md)."""
    epochs: int = Field(default=15, ge=1)
    """Times that all users and all tracks are solved."""
    solver: Literal["auto", "cg", "cholesky", "batched", "sgd"] = "auto"
    """`auto` takes `cg` on the CPU and `batched` on a GPU; `sgd` is the gradient way, for comparison on small data."""
    confidence: Literal["relative", "logarithmic"] = "relative"
    """What an observed cell weighs, see `relative_confidence` and `logarithmic_confidence`."""
    unobserved_weight: float = Field(default=0.05, gt=0)
    """w0 beside `relative` confidence, which is about 1; `logarithmic` confidence is made for w0 = 1."""
    alpha: float = Field(default=40.0, gt=0)
    """Slope of `logarithmic` confidence."""
    eps: float = Field(default=1e-8, gt=0)
    """Scale of a score in `logarithmic` confidence."""
    regularization: float = Field(default=0.003, gt=0)
    """lambda, before it is scaled by how much is known of a user or a track."""
    frequency_exponent: float = Field(default=1.0, ge=0, le=1)
    """nu: lambda_u = lambda (|S_u| + w0 n_tracks)^nu, and likewise for tracks; 0 for one lambda for all."""
    learning_rate: float = Field(default=0.005, gt=0)
    """Step of `sgd`."""
    weight_decay: float = Field(default=0.005, ge=0)
    """Weight decay of `sgd`, beside the regularisation."""
    batch_size: int = Field(default=512, ge=1)
    """Cells a step of `sgd`."""

    def fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:
        """Return the factors, every user and every track trained, with the loss of every epoch."""
        objective = self.objective(data.interactions.matrix)
        held_out = self.held_out(data.validation, data.interactions.matrix.shape)
        epochs = islice(self.descend(objective, seed, device), self.epochs)
        curve: list[dict[str, float]] = []
        seconds, started = 0.0, perf_counter()
        for epoch, factors in enumerate(epochs, start=1):
            seconds += perf_counter() - started
            entry = {"epoch": epoch, "train_loss": self.per_cell(objective, factors, epoch), "seconds": seconds}
            if held_out is not None:
                entry["validation_loss"] = self.per_cell(held_out, factors, epoch)
            curve.append(entry)
            progress(epoch, self.epochs, f"loss {entry['train_loss']:.4g}")
            started = perf_counter()
        return Fitted(
            arrays={"user_factors": factors.users, "item_factors": factors.items},
            scoring={"similarity": "dot", "fold_in": self.fold_in()},
            curve=curve,
            metrics={**norms("user", factors.users), **norms("item", factors.items)},
        )
