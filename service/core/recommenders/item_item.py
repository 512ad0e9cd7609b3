"""Scores as sums over a history, in which each track speaks for its neighbours: EASE, item-kNN and their like."""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor

from service.core.artifacts import Artifact
from service.core.ranking import Ranking
from service.core.recommender import described

_WEIGHTS_AT_ONCE: Final = 1 << 18
"""Weights added up at a time, 16 bytes each: what is worked on stays in the cache of a core."""


class ItemItem:
    """A user's score of track i is sum_j x_uj B_ji over their history; vectors are the rows x, one weight a track.

    B is sparse: the artifact keeps the strongest weights of each track. They are held as tables as wide as the longest
    row, since rows of equal length are gathered ten times as fast as those of any length.
    """

    kind: Final = "item_item"
    default_strategy: Final = "fair_share"

    def __init__(self, artifact: Artifact, neighbours: Tensor, weights: Tensor, profiles: Tensor) -> None:
        self.users, self.tracks = artifact.users, artifact.tracks
        self.history = artifact.history
        self.calibration = artifact.calibration
        self._neighbours = neighbours
        """(tracks, width) int32 rows of the tracks that a track speaks for, then any with weight 0."""
        self._weights = weights
        """(tracks, width)"""
        self._profiles = profiles
        """(pairs,) x of each entry of the history."""

    def __repr__(self) -> str:
        return described(self)

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
        return cls(artifact, _table(indptr, neighbours.int()), _table(indptr, weights), profiles)

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
        scores = torch.zeros(vectors.numel(), dtype=vectors.dtype, device=vectors.device)
        at_once = max(1, _WEIGHTS_AT_ONCE // max(1, self._weights.shape[1]))
        for who, rows in zip(torch.split(listeners, at_once), torch.split(played, at_once), strict=True):
            spoken = self._weights[rows] * vectors[who, rows, None]
            places = self._neighbours[rows] + (who * vectors.shape[1])[:, None]
            scores.index_add_(0, places.flatten(), spoken.flatten())
        return scores.view_as(vectors)

    def score_tracks(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return x B for the tracks of each group."""
        groups, listeners, _ = vectors.shape
        scores = self.score(vectors.flatten(0, 1)).view_as(vectors)
        return scores.gather(2, track_rows[:, None, :].expand(groups, listeners, -1))

    def contributions(self, vector: Tensor, history: Tensor, track_rows: Tensor) -> Tensor:
        """Return x_j B_ji for each j of the history, exactly what `score` adds up."""
        column_of = torch.full((len(self.tracks),), -1, dtype=torch.int32, device=vector.device)
        column_of[track_rows] = torch.arange(len(track_rows), dtype=torch.int32, device=vector.device)
        columns = column_of.index_select(0, self._neighbours[history].flatten())
        asked = (columns >= 0).nonzero()[:, 0]
        width = self._weights.shape[1]
        lines = asked // width
        parts = torch.zeros(len(history) * len(track_rows), dtype=vector.dtype, device=vector.device)
        parts.index_add_(0, lines * len(track_rows) + columns[asked], self._weights[history[lines], asked % width])
        return parts.view(len(history), -1) * vector[history, None]

    def similar(self, track_row: int, k: int) -> Ranking:
        """Return the tracks for which this one speaks most; fewer than k where it speaks for fewer."""
        weights, order = self._weights[track_row].sort(descending=True, stable=True)
        rows = self._neighbours[track_row][order].long()
        kept = (weights > 0) & (rows != track_row)
        return Ranking(rows[kept][:k], weights[kept][:k])


def _table(indptr: Tensor, entries: Tensor) -> Tensor:
    """Return compressed rows as a table (rows, longest row), filled up with zeros."""
    lengths = indptr.diff()
    inside = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
    table = entries.new_zeros(inside.shape)
    table[inside] = entries
    return table
