"""Scores as dot products of user and item factors: WMF, sampled softmax and their like."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from service.core.artifacts import Artifact
from service.core.calibration import Calibration
from service.core.products import Doubles, Rows, Votes, products_with
from service.core.ranking import Contenders, Ranking, top_k
from service.core.recommender import described


class FoldIn(BaseModel):
    """The weights that a guest's vector is solved with, those of the training objective where there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unobserved_weight: float = Field(gt=0)
    """Weight w0 of every track that the guest has not named."""
    liked_confidence: float = Field(gt=0)
    """Weight c of a track that the guest likes, the mean over all that was heard in training."""
    popularity_exponent: float = Field(default=0.0, ge=0)
    """Gamma: c - w0 of a track with n listeners goes with n ** -gamma."""
    regularization: float = Field(gt=0)
    """Lambda of listeners, before it is scaled by the length of the history."""
    guest_regularization: float | None = Field(default=None, gt=0)
    """Lambda of who has named hardly anything, from which |S| / m leads to that of listeners; None is no other."""
    frequency_exponent: float = Field(default=0.0, ge=0)
    """Nu: lambda is multiplied by (|S| + w0 * tracks) ** nu (Rendle et al., RecSys 2022, equation 7)."""
    shrinkage: float = Field(default=0.0, ge=0)
    """s: lambda is multiplied by 1 + s / |S| too, as a few tracks say little of a taste."""
    pull: float = Field(default=0.0, ge=0)
    """q: min(s / |S|, q) times lambda pulls towards the mean user, the rest towards 0."""
    usual_length: float = Field(default=0.0, ge=0)
    """m: w0 is multiplied by min(1, |S| / m), as who names a few tracks has hardly refused all others; 0 leaves w0."""

    def unobserved(self, liked: int) -> float:
        """Return w0 for a guest who likes so many tracks."""
        return self.unobserved_weight * self._listened(liked)

    def ridge(self, liked: int, tracks: int) -> float:
        """Return lambda for a guest who likes so many of the tracks."""
        return self._of_listeners(liked, tracks) * (1 + self._doubt(liked))

    def pull_to_mean(self, liked: int, tracks: int) -> float:
        """Return the part of lambda that pulls towards the mean user."""
        return self._of_listeners(liked, tracks) * min(self._doubt(liked), self.pull)

    def _of_listeners(self, liked: int, tracks: int) -> float:
        scale: float = (liked + self.unobserved_weight * tracks) ** self.frequency_exponent
        least = self.regularization if self.guest_regularization is None else self.guest_regularization
        return (least + (self.regularization - least) * self._listened(liked)) * scale

    def _listened(self, liked: int) -> float:
        """Return how much of a listener's history so many tracks are."""
        return min(1, liked / self.usual_length) if self.usual_length else 1

    def _doubt(self, liked: int) -> float:
        return self.shrinkage / max(liked, 1)


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
        self._similarity = scoring.similarity
        self._weights = weights = scoring.fold_in
        rare = rarity(artifact.history.listeners, weights.popularity_exponent).to(item_factors)
        excess = weights.liked_confidence - weights.unobserved_weight
        self._confidence = weights.unobserved_weight + excess * rare
        """c of every track, (tracks,)."""
        self._gramian = item_factors.T @ item_factors
        strengths, axes = torch.linalg.eigh(self._gramian.double())
        self._strengths, self._axes = strengths.clamp(min=0).float(), axes.float()
        """Eigenvalues (dim,) and eigenvectors (dim, dim), a column each, of Y'Y."""
        self._mean_user = user_factors.sum(dim=0) / max(len(user_factors), 1) @ self._axes
        """Mean of the user factors in these axes, (dim,)."""

    def __repr__(self) -> str:
        return described(self)

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
        return self._user_factors.index_select(0, user_rows.to(self._user_factors.device))

    def fold_in(self, liked: Sequence[Tensor]) -> Tensor:
        """Return for each guest the factors that training would give them, item factors fixed.

        x = W (Y_S'c + b), W = (w0 Y'Y + Y_S'E Y_S + lambda I)^-1 with E = diag(c - w0), equation 4 of Hu et al. 2008
        for one user who likes the tracks S and whom b pulls towards the mean user.
        """
        return torch.stack([self._folded(rows.to(self._item_factors.device)) for rows in liked])

    def _folded(self, liked: Tensor) -> Tensor:
        """Return the vector (dim,) of a guest who likes the tracks (n,)."""
        confidence, pull = self._confidence[liked], self._pull(liked)
        vector: Tensor
        if self._few(liked):
            shrunk, kernel = self._kernel(liked)
            unexplained = confidence - self._excess(liked) * (shrunk @ pull)
            vector = self._axes @ (torch.linalg.solve(kernel.T, unexplained) @ shrunk + pull / self._diagonal(liked))
        else:
            right = confidence @ self._item_factors[liked] + self._axes @ pull
            vector = self._solved(liked, right[:, None])[:, 0]
        return vector

    def _few(self, liked: Tensor) -> bool:
        """Return whether a system of so many tracks takes less than one as wide as a factor."""
        return 2 * len(liked) < self._item_factors.shape[1]

    def _excess(self, liked: Tensor) -> Tensor:
        """Return c - w0 of liked tracks, (n,)."""
        return self._confidence[liked] - self._weights.unobserved(len(liked))

    def _pull(self, liked: Tensor) -> Tensor:
        """Return b in the axes of Y'Y, (dim,)."""
        pull: Tensor = self._weights.pull_to_mean(len(liked), len(self.tracks)) * self._mean_user
        return pull

    def _diagonal(self, liked: Tensor) -> Tensor:
        """Return B = w0 Y'Y + lambda I in the axes of Y'Y, where it is diagonal, (dim,)."""
        diagonal: Tensor = self._weights.unobserved(len(liked)) * self._strengths
        return diagonal.add_(self._weights.ridge(len(liked), len(self.tracks)))

    def _solved(self, liked: Tensor, right: Tensor) -> Tensor:
        """Return W right, (dim, n), the inverse of W being B + Y_S'E Y_S."""
        factors, unobserved = self._item_factors[liked], self._weights.unobserved(len(liked))
        weighted = self._excess(liked)[:, None] * factors
        system = torch.addmm(self._gramian, factors.T, weighted, beta=unobserved)
        system.diagonal().add_(self._weights.ridge(len(liked), len(self.tracks)))
        triangle, failed = torch.linalg.cholesky_ex(system)
        if failed:  # rounding swallowed a ridge that is tiny beside Y'Y
            inverse: Tensor = torch.linalg.pinv(system, hermitian=True)
            return inverse @ right
        return torch.cholesky_solve(right, triangle)

    def _kernel(self, liked: Tensor) -> tuple[Tensor, Tensor]:
        """Return Y_S B^-1 in the axes of Y'Y, (n, dim), and K = I + Y_S B^-1 Y_S'E, (n, n).

        Y_S W = K^-1 Y_S B^-1, a system as small as there are tracks.
        """
        turned = self._item_factors[liked] @ self._axes
        shrunk = turned / self._diagonal(liked)
        return shrunk, torch.eye(len(liked), device=liked.device) + shrunk @ turned.T * self._excess(liked)

    def score(self, vectors: Tensor) -> Tensor:
        """Return the dot products with every track."""
        return self._products.scores(vectors)

    def score_tracks(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return the dot products with the tracks of each group."""
        return self._products.scores_of(vectors, track_rows)

    def contenders(
        self, vectors: Tensor, of: Calibration, factors: Doubles, power: int, allowed: Tensor | None, count: int
    ) -> Contenders:
        """Return the tracks of which the members of each group think most, added up."""
        return self._products.contenders(vectors, of, factors, power, allowed, count)

    def votes_of(self, vectors: Tensor, of: Calibration, rows: Rows) -> Votes:
        """Return the relevance of the tracks of each group."""
        return self._products.votes_of(vectors, of, rows)

    def contributions(self, vector: Tensor, history: Tensor, track_rows: Tensor) -> Tensor:  # noqa: ARG002 - the history says all
        """Return c_j y_j'W y_i for each j of the history, where W is the inverse that `fold_in` solves with.

        Hu et al. 2008, section 5. Adds up to the score of a vector that was folded in, less b'W y_i of the mean user.
        The stored vector of a user was trained with weights of its own, which the artifact does not keep: there it is
        what the history would say if each of its tracks had been liked once.
        """
        asked = self._item_factors[track_rows]
        parts: Tensor
        if self._few(history):
            shrunk, kernel = self._kernel(history)
            parts = torch.linalg.solve(kernel, shrunk @ (asked @ self._axes).T)
        else:
            parts = self._item_factors[history] @ self._solved(history, asked.T)
        return parts.mul_(self._confidence[history][:, None])

    @cached_property
    def _norms(self) -> Tensor:
        """Return the lengths of the item factors, (tracks,)."""
        norms: Tensor = self._item_factors.norm(dim=1)
        return norms

    def similar(self, track_row: int, k: int) -> Ranking:
        """Return the tracks with the highest dot product or cosine, as the manifest's `similarity` says."""
        scores = self._item_factors @ self._item_factors[track_row]
        if self._similarity == "cosine":
            scores = scores / (self._norms * self._norms[track_row]).clamp(min=torch.finfo(scores.dtype).tiny)
        scores[track_row] = -torch.inf
        values, rows = top_k(scores[None], min(k, len(self.tracks) - 1))
        return Ranking(rows[0], values[0])


def rarity(listeners: NDArray[np.int64], popularity_exponent: float) -> Tensor:
    """Return listeners^-gamma of every track, (tracks,), over its mean over all that was heard."""
    rare = np.maximum(listeners, 1) ** -popularity_exponent
    return torch.from_numpy(rare / np.average(rare, weights=listeners if listeners.any() else None))
