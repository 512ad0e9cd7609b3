"""What every model can do, whatever it was trained with.

A listener is a *vector* in a space that is the model's own affair: factors, or a row of play counts. Known users
have a stored vector, guests get one by `fold_in`; from there on nobody can tell them apart.
"""

from collections.abc import Hashable, Sequence
from functools import cache
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.core.calibration import Calibration
from service.core.history import History
from service.core.ids import IdIndex
from service.core.ranking import Contenders, Ranking


class Recommender(Protocol):
    """Scores every track for any listener; vectors and scores live on its device."""

    users: IdIndex
    tracks: IdIndex
    history: History
    calibration: Calibration

    @property
    def default_strategy(self) -> str:
        """Return the name of the group strategy that suits these scores."""
        ...

    def user_vectors(self, user_rows: Tensor) -> Tensor:
        """Return the vectors (n, dim) of known users (n,)."""
        ...

    def fold_in(self, liked: Sequence[Tensor]) -> Tensor:
        """Return the vectors (n, dim) of n guests, each given by the track rows they like, never empty."""
        ...

    def score(self, vectors: Tensor) -> Tensor:
        """Return scores (n, tracks) of vectors (n, dim) as a new tensor; higher is better.

        Scores are linear in the vectors: the score of a sum is the sum of the scores.
        """
        ...

    def score_tracks(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return scores (groups, n, k): of vectors (groups, n, dim), for the tracks of their group, (groups, k)."""
        ...

    def contributions(self, vector: Tensor, history: Tensor, track_rows: Tensor) -> Tensor:
        """Return (h, k): what each track of a history (h,) adds to the scores of a listener for k tracks.

        `history` is what the listener played and likes, `vector` (dim,) theirs. A column adds up to the score, less
        what a kind gives everybody, and for stored vectors of some kinds only roughly.
        """
        ...


def described(model: Recommender) -> str:
    """Return a model in a few words, as notebooks and logs show it."""
    return f"{type(model).__name__}({len(model.users):,} users, {len(model.tracks):,} tracks)"


@runtime_checkable
class SimilarTracks(Protocol):
    """Knows which tracks resemble a track; apart from `Recommender` because play counts have no geometry."""

    def similar(self, track_row: int, k: int) -> Ranking:
        """Return the k most similar tracks, best first, without the track itself."""
        ...


@runtime_checkable
class GroupScorer(Protocol):
    """Can add up what the members of a group think of every track without holding what each of them thinks."""

    def contenders(
        self,
        vectors: Tensor,
        of: Calibration,
        factors: NDArray[np.float64],
        power: int,
        allowed: Tensor | None,
        count: int,
    ) -> Contenders:
        """Return the `count` allowed tracks of each group with the highest sum_u factor_u relevance_u ** power.

        `vectors` is (groups, members, dim), `of` the calibration of all these members, `factors` (groups, members),
        `allowed` (groups, tracks) False for tracks that a group must not get.
        """
        ...

    def votes_of(self, vectors: Tensor, of: Calibration, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return relevance (groups, members, k) of the tracks of each group (groups, k), anything for -1."""
        ...


def is_group_scorer(model: Recommender) -> TypeGuard[GroupScorer]:
    """Return what `isinstance` would, but look only once at each class: with protocols that takes microseconds."""
    kind: Hashable = type(model)
    return _is_group_scorer(kind)


@cache
def _is_group_scorer(kind: type[object]) -> bool:
    return issubclass(kind, GroupScorer)
