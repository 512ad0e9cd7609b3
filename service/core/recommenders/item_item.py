"""Scores as sums over a history, in which each track speaks for its neighbours: EASE, item-kNN and their like."""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor

from service.core.artifacts import Artifact
from service.core.ranking import Ranking


class ItemItem:
    """A user's score of track i is sum_j x_uj B_ji over their history; vectors are the rows x, one weight a track.

    B is sparse: the artifact keeps the strongest weights, as compressed rows.
    """

    kind: Final = "item_item"
    default_strategy: Final = "fair_share"

    def __init__(
        self, artifact: Artifact, indptr: Tensor, neighbours: Tensor, weights: Tensor, profiles: Tensor
    ) -> None:
        self.users, self.tracks = artifact.users, artifact.tracks
        self.history = artifact.history
        self.calibration = artifact.calibration
        self._indptr = indptr
        """(tracks + 1,) where each track's neighbours begin and end."""
        self._neighbours = neighbours
        """(entries,) rows of the tracks that a track speaks for."""
        self._weights = weights
        """(entries,)"""
        self._profiles = profiles
        """(pairs,) x of each entry of the history."""

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Self:
        """Return the model of an artifact; ArtifactError where its arrays do not fit together."""
        tracks = len(artifact.tracks)
        indptr = artifact.array("neighbour_indptr", rows=tracks + 1, dimensions=1).long()
        entries = int(indptr[-1])
        neighbours = artifact.array("neighbour_rows", rows=entries, dimensions=1).long()
        weights = artifact.array("neighbour_weights", rows=entries, dimensions=1)
        profiles = artifact.array("profile_weights", rows=len(artifact.history.rows), dimensions=1)
        if indptr[0] != 0 or bool((indptr.diff() < 0).any()):
            raise artifact.error("neighbour_indptr must begin with 0 and never fall")
        if entries and not 0 <= int(neighbours.min()) <= int(neighbours.max()) < tracks:
            raise artifact.error(f"neighbour_rows must lie in 0..{tracks - 1}")
        return cls(artifact, indptr, neighbours, weights, profiles)

    def user_vectors(self, user_rows: Tensor) -> Tensor:
        """Return each user's x, (n, tracks)."""
        vectors = torch.zeros(len(user_rows), len(self.tracks), device=self._weights.device)
        for vector, user_row in zip(vectors, user_rows.tolist(), strict=True):
            rows = torch.from_numpy(self.history.tracks_of(user_row)).long().to(vector.device)
            begin, end = self.history.indptr[user_row : user_row + 2].tolist()
            vector[rows] = self._profiles[begin:end]
        return vectors

    def fold_in(self, liked: Sequence[Tensor]) -> Tensor:
        """Return vectors in which each liked track weighs 1."""
        vectors = torch.zeros(len(liked), len(self.tracks), device=self._weights.device)
        for vector, rows in zip(vectors, liked, strict=True):
            vector[rows.to(vector.device)] = 1.0
        return vectors

    def score(self, vectors: Tensor) -> Tensor:
        """Return x B, adding up the kept weights of the tracks in each history."""
        listeners, played = vectors.nonzero(as_tuple=True)
        entries, lengths = self._entries(played)
        spoken = self._weights[entries] * vectors[listeners, played].repeat_interleave(lengths)
        places = (listeners * vectors.shape[1]).repeat_interleave(lengths) + self._neighbours[entries]
        scores = torch.zeros(vectors.numel(), dtype=vectors.dtype, device=vectors.device)
        return scores.index_add_(0, places, spoken).view_as(vectors)

    def score_tracks(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return x B for the tracks of each group."""
        groups, listeners, _ = vectors.shape
        scores = self.score(vectors.flatten(0, 1)).view_as(vectors)
        return scores.gather(2, track_rows[:, None, :].expand(groups, listeners, -1))

    def contributions(self, vector: Tensor, history: Tensor, track_rows: Tensor) -> Tensor:
        """Return x_j B_ji for each j of the history, exactly what `score` adds up."""
        entries, lengths = self._entries(history)
        column_of = torch.full_like(vector, -1, dtype=torch.long)
        column_of[track_rows] = torch.arange(len(track_rows), device=vector.device)
        columns = column_of[self._neighbours[entries]]
        asked = columns >= 0
        lines = torch.arange(len(history), device=vector.device).repeat_interleave(lengths)[asked]
        parts = torch.zeros(len(history), len(track_rows), dtype=vector.dtype, device=vector.device)
        parts[lines, columns[asked]] = self._weights[entries[asked]]
        return parts * vector[history, None]

    def _entries(self, track_rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the neighbours of some tracks lie, one track after another, and how many each of them has."""
        begins = self._indptr[track_rows]
        lengths = self._indptr[track_rows + 1] - begins
        first = lengths.cumsum(0) - lengths
        entries = torch.arange(int(lengths.sum()), device=begins.device)
        return entries + (begins - first).repeat_interleave(lengths), lengths

    def similar(self, track_row: int, k: int) -> Ranking:
        """Return the tracks for which this one speaks most; fewer than k where it speaks for fewer."""
        own = slice(int(self._indptr[track_row]), int(self._indptr[track_row + 1]))
        weights, order = self._weights[own].sort(descending=True, stable=True)
        rows = self._neighbours[own][order]
        kept = (weights > 0) & (rows != track_row)
        return Ranking(rows[kept][:k], weights[kept][:k])
