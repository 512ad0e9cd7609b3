"""What every model can do, whatever it was trained with.

A listener is a *vector* in a space that is the model's own affair: factors, or a row of play counts. Known users
have a stored vector, guests get one by `fold_in`; from there on nobody can tell them apart.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from service.core.calibration import Calibration
from service.core.history import History
from service.core.ids import IdIndex
from service.core.ranking import Ranking


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

        `history` is what the listener played and likes, `vector` (dim,) theirs. A column adds up to the score, for
        stored vectors of some kinds only roughly.
        """
        ...


@runtime_checkable
class SimilarTracks(Protocol):
    """Knows which tracks resemble a track; apart from `Recommender` because play counts have no geometry."""

    def similar(self, track_row: int, k: int) -> Ranking:
        """Return the k most similar tracks, best first, without the track itself."""
        ...


class RoughScores(NamedTuple):
    """Scores that may be off: a score s by at most `error` + `relative_error` * |s|."""

    scores: Tensor
    """(n, tracks)"""
    error: Tensor
    """(n,)"""
    relative_error: float


@runtime_checkable
class RoughScorer(Protocol):
    """Can score faster than `Recommender.score` does, and says how far it may be off."""

    def score_roughly(self, vectors: Tensor) -> RoughScores:
        """Return scores of vectors (n, dim) that tell which few tracks are worth scoring exactly."""
        ...
