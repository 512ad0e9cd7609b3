"""Scores as what each user has played: the basic model."""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor

from service.core.artifacts import Artifact
from service.core.recommender import described


class TopTracks:
    """A user's score of a track is plays + likes, so 0 for all they never heard; vectors are rows of counts."""

    kind: Final = "top_tracks"
    default_strategy: Final = "shared_first"

    def __init__(self, artifact: Artifact) -> None:
        self.users, self.tracks = artifact.users, artifact.tracks
        self.history = artifact.history
        self.calibration = artifact.calibration
        self._device = artifact.device

    def __repr__(self) -> str:
        return described(self)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Self:
        """Return the model of an artifact; its training history is all it needs."""
        return cls(artifact)

    def user_vectors(self, user_rows: Tensor) -> Tensor:
        """Return each user's row of counts, (n, tracks)."""
        vectors = torch.zeros(len(user_rows), len(self.tracks))
        for vector, user_row in zip(vectors, user_rows.tolist(), strict=True):
            rows = torch.from_numpy(self.history.tracks_of(user_row).astype("int64"))
            vector[rows] = torch.from_numpy(self.history.scores_of(user_row))
        return vectors.to(self._device)

    def fold_in(self, liked: Sequence[Tensor]) -> Tensor:
        """Return rows of counts in which each liked track was played once."""
        vectors = torch.zeros(len(liked), len(self.tracks), device=self._device)
        for vector, rows in zip(vectors, liked, strict=True):
            vector[rows.to(vector.device)] = 1.0
        return vectors

    def score(self, vectors: Tensor) -> Tensor:
        """Return the counts themselves."""
        return vectors.clone()

    def score_tracks(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return the counts of the tracks of each group."""
        return vectors.gather(2, track_rows[:, None, :].expand(-1, vectors.shape[1], -1))

    def contributions(self, vector: Tensor, history: Tensor, track_rows: Tensor) -> Tensor:
        """Return each track's own count: it speaks for no other."""
        return vector[history, None] * (history[:, None] == track_rows)
