"""Scores as dot products of user and item factors: WMF, sampled softmax and their like."""

from collections.abc import Sequence
from typing import Final, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from service.core.artifacts import Artifact
from service.core.products import products_with
from service.core.ranking import Ranking, top_k


class FoldIn(BaseModel):
    """The weights that a guest's vector is solved with, those of the training objective where there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unobserved_weight: float = Field(gt=0)
    """Weight w0 of every track that the guest has not named."""
    liked_confidence: float = Field(gt=0)
    """Weight c of a track that the guest likes."""
    regularization: float = Field(gt=0)
    """Lambda, before it is scaled by the length of the history."""
    frequency_exponent: float = Field(default=0.0, ge=0)
    """Nu: lambda is multiplied by (|S| + w0 * tracks) ** nu (Rendle et al., RecSys 2022, equation 7)."""


class FactorsScoring(BaseModel):
    """What the manifest of kind `factors` says beside its arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    similarity: Literal["dot", "cosine"] = "dot"
    """How two tracks compare."""
    fold_in: FoldIn


class Factors:
    """A user's score of a track is the dot product of their factors."""

    kind: Final = "factors"
    default_strategy: Final = "fair_share"

    def __init__(self, artifact: Artifact, user_factors: Tensor, item_factors: Tensor, scoring: FactorsScoring) -> None:
        self.users, self.tracks = artifact.users, artifact.tracks
        self.history = artifact.history
        self.calibration = artifact.calibration
        self._user_factors = user_factors
        self._item_factors = item_factors
        self._products = products_with(item_factors)
        self._scoring = scoring
        self._excess = scoring.fold_in.liked_confidence - scoring.fold_in.unobserved_weight
        self._gramian = item_factors.T @ item_factors
        strengths, axes = torch.linalg.eigh(self._gramian.double())
        self._strengths, self._axes = strengths.clamp(min=0).float(), axes.float()
        """Eigenvalues (dim,) and eigenvectors (dim, dim), a column each, of Y'Y."""

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Self:
        """Return the model of an artifact; ArtifactError where its arrays do not fit together."""
        users, tracks = len(artifact.users), len(artifact.tracks)
        user_factors = artifact.array("user_factors", rows=users, dimensions=2)
        item_factors = artifact.array("item_factors", rows=tracks, dimensions=2)
        if user_factors.shape[1] != item_factors.shape[1]:
            raise artifact.error(
                f"user_factors has {user_factors.shape[1]} dimensions, item_factors {item_factors.shape[1]}"
            )
        return cls(artifact, user_factors, item_factors, artifact.scoring(FactorsScoring))

    def user_vectors(self, user_rows: Tensor) -> Tensor:
        """Return the user factors of these rows."""
        return self._user_factors[user_rows.to(self._user_factors.device)]

    def fold_in(self, liked: Sequence[Tensor]) -> Tensor:
        """Return for each guest the factors that training would give them, item factors fixed.

        x = (w0 Y'Y + (c - w0) Y_S'Y_S + lambda I)^-1 c Y_S'1, equation 4 of Hu et al. 2008 for one user who
        likes the tracks S.
        """
        sums = [self._folded(self._item_factors[rows.to(self._item_factors.device)]) for rows in liked]
        return self._scoring.fold_in.liked_confidence * torch.stack(sums)

    def _folded(self, factors: Tensor) -> Tensor:
        """Return W Y_S'1, (dim,), of the factors Y_S (n, dim) of liked tracks, where W is the inverse of `fold_in`."""
        vector: Tensor
        if self._few(factors):
            shrunk, kernel = self._kernel(factors)
            vector = self._axes @ (torch.linalg.solve(kernel, torch.ones_like(shrunk[:, 0])) @ shrunk)
        else:
            vector = torch.linalg.solve(self._system(factors), factors.sum(dim=0))
        return vector

    def _few(self, factors: Tensor) -> bool:
        """Return whether a system of so many tracks takes less than one as wide as a factor."""
        return 2 * len(factors) < factors.shape[1]

    def _ridge(self, liked: int) -> float:
        """Return lambda for a guest who likes so many tracks."""
        weights = self._scoring.fold_in
        scale: float = (liked + weights.unobserved_weight * len(self.tracks)) ** weights.frequency_exponent
        return weights.regularization * scale

    def _system(self, factors: Tensor) -> Tensor:
        """Return the inverse of W, B + (c - w0) Y_S'Y_S with B = w0 Y'Y + lambda I, (dim, dim)."""
        weights = self._scoring.fold_in
        system: Tensor = weights.unobserved_weight * self._gramian + self._excess * (factors.T @ factors)
        system.diagonal().add_(self._ridge(len(factors)))
        return system

    def _kernel(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Return Y_S B^-1 in the axes of Y'Y, (n, dim), and K = I + (c - w0) Y_S B^-1 Y_S', (n, n).

        Y_S W = K^-1 Y_S B^-1, and B is diagonal in these axes: a system as small as there are tracks.
        """
        turned = factors @ self._axes
        diagonal = self._scoring.fold_in.unobserved_weight * self._strengths + self._ridge(len(factors))
        shrunk = turned / diagonal
        return shrunk, torch.eye(len(factors), device=factors.device) + self._excess * (shrunk @ turned.T)

    def score(self, vectors: Tensor) -> Tensor:
        """Return the dot products with every track."""
        return self._products.scores(vectors)

    def score_tracks(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return the dot products with the tracks of each group."""
        return self._products.scores_of(vectors, track_rows)

    def sums_of_powers(self, vectors: Tensor, floors: Tensor, factors: Tensor, power: int) -> Tensor:
        """Return what the members of each group think of every track, added up."""
        return self._products.sums_of_powers(vectors, floors, factors, power)

    def contributions(self, vector: Tensor, history: Tensor, track_rows: Tensor) -> Tensor:  # noqa: ARG002 - the history says all
        """Return c y_j'W y_i for each j of the history, where W is the inverse that `fold_in` solves with.

        Hu et al. 2008, section 5. Adds up to the score of a vector that was folded in. The stored vector of a user was
        trained with weights of its own, which the artifact does not keep: there it is what the history would say if
        each of its tracks had been liked once.
        """
        factors, asked = self._item_factors[history], self._item_factors[track_rows]
        parts: Tensor
        if self._few(factors):
            shrunk, kernel = self._kernel(factors)
            parts = torch.linalg.solve(kernel, shrunk @ (asked @ self._axes).T)
        else:
            parts = factors @ torch.linalg.solve(self._system(factors), asked.T)
        return parts.mul_(self._scoring.fold_in.liked_confidence)

    def similar(self, track_row: int, k: int) -> Ranking:
        """Return the tracks with the highest dot product or cosine, as the manifest's `similarity` says."""
        scores = self._item_factors @ self._item_factors[track_row]
        if self._scoring.similarity == "cosine":
            norms = self._item_factors.norm(dim=1) * self._item_factors[track_row].norm()
            scores = scores / norms.clamp(min=torch.finfo(scores.dtype).tiny)
        scores[track_row] = -torch.inf
        values, rows = top_k(scores[None], min(k, len(self.tracks) - 1))
        return Ranking(rows[0], values[0])
