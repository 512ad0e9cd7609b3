"""EASE: the best linear item-item model in closed form (Steck, WWW 2019), exact or within neighbourhoods."""

from collections.abc import Mapping
from typing import ClassVar

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue
from scipy.linalg.lapack import spotrf, spotri
from scipy.sparse import csr_array

from service.core.errors import TrainingError
from training.compiled import ONE_BLAS_THREAD, compiled, compiled_parallel
from training.data import PreparedData
from training.models.algorithm import MOST, Algorithm, Count, Fitted, Progress, Range
from training.models.regularization import Jury, chosen, noise_level
from training.neighbours import Floats, Listeners, arrays_of, stacked, strongest
from training.order import recency
from training.pseudo_listeners import pseudo_listeners, stacked_listeners

_ROWS_AT_ONCE = 512
_EXACT_UP_TO = 25_000
"""Tracks whose inverse, 2.5 GB of single precision, a laptop holds."""

_CHEAP_UP_TO = 5_000
"""Tracks up to which a fit takes seconds, so that several are no matter."""

_LEAST_RIDGE = 100.0
_STEP = 2.0
"""What lambda is multiplied or divided by where validation users choose it."""

_NEIGHBOURS = 300
"""Of a track where the catalogue is larger."""

Ints = NDArray[np.int64]


class EASE(Algorithm):
    """B = I - P diag(P)^-1, P = (G + Lambda)^-1, G = X' W X: each track predicted from the others by ridge regression.

    Lambda_i = lambda + p / (1 - p) G_ii is what random gaps in the histories, each track left out with probability p,
    come to on average (Steck, "Autoencoders that don't overfit towards the identity", NeurIPS 2020).

    Exact, the work is one inverse in place: tracks^3 operations and 4 tracks^2 bytes. With a `neighbourhood` of n each
    track is regressed on the n tracks nearest to it alone: tracks * n^3 / 3 operations and next to no memory. With
    all other tracks as neighbours both are the same.
    """

    kind: ClassVar[str] = "item_item"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {
        "original": {
            "regularization": 300.0,
            "dropout": 0.0,
            "length_exponent": 0.0,
            "album_weight": 0.0,
            "artist_weight": 0.0,
            "tail_boost": 1.0,
        }
    }
    search: ClassVar[Mapping[str, Range]] = {
        "regularization": Range(10.0, 1000.0, logarithmic=True),
        "dropout": Range(0.0, 0.6),
        "length_exponent": Range(0.0, 1.0),
        "album_weight": Range(0.3, 60.0, logarithmic=True, needs=("albums",)),
        "artist_weight": Range(0.1, 20.0, logarithmic=True, needs=("artists",)),
        "tail_boost": Range(1.0, 6.0, needs=("positions", "times")),
    }

    regularization: float | None = Field(default=None, gt=0)
    """lambda; None is the noise level of the data, see `ridge`, from which validation users go on where a catalogue of
    up to 5,000 tracks makes a fit cheap."""
    dropout: float = Field(default=0.33, ge=0, lt=1)
    """p."""
    length_exponent: float = Field(default=0.5, ge=0, le=1)
    """W: a listener of n tracks counts as n to the power of minus this, scaled to mean 1 over all pairs."""
    album_weight: float = Field(default=15.0, ge=0)
    """Listeners that an album counts as, who played all of it; where the catalogue says the albums."""
    artist_weight: float = Field(default=4.0, ge=0)
    """The same of an artist."""
    tail_boost: float = Field(default=3.0, ge=1)
    """What the last track of an ordered history counts when its listener is scored; see `training.order.recency`."""
    tail_length: Count = 4
    """Tracks at the end of an ordered history that count more than the others."""
    neighbourhood: int | None = Field(default=None, ge=0, le=MOST)
    """Nearest tracks by cosine that a track is regressed on; 0 is all, None all of up to 25,000 and else 300."""
    kept: Count = 300
    """Strongest weights kept of each row of the exact B."""

    def fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:  # noqa: ARG002
        """Return the weights of B. Nothing in them is drawn; the seed draws the validation users who choose lambda."""
        start, tracks = self.ridge(data.interactions.matrix), data.interactions.matrix.shape[1]
        if self.regularization is not None or tracks > _CHEAP_UP_TO:
            return self._fit(data, start, progress)
        jury = Jury.of(data, seed)
        if not len(jury.listeners):
            return self._fit(data, start, progress)
        return chosen(self.kind, data, jury, start, lambda ridge: self._fit(data, ridge, progress), _STEP)

    def ridge(self, scores: csr_array) -> float:
        """Return lambda for scores (users, tracks), where no validation users choose it.

        Where it is not given, it is the largest eigenvalue that X'X would have if everything were heard at random, and
        at least 100.
        """
        if self.regularization is not None:
            return self.regularization
        heard = np.ones(np.count_nonzero(scores.data), dtype=np.float32)
        return max(noise_level(heard, *scores.shape) ** 2, _LEAST_RIDGE)

    def _fit(self, data: PreparedData, regularization: float, progress: Progress) -> Fitted:
        """Return the weights of B with this lambda."""
        history = data.interactions.matrix
        listeners = stacked_listeners(
            Listeners.of(history, self.length_exponent),
            pseudo_listeners(data.catalogue, self.album_weight, self.artist_weight),
        )
        size = self.neighbourhood
        if size is None:
            size = 0 if history.shape[1] <= _EXACT_UP_TO else _NEIGHBOURS
        algorithm = self.model_copy(update={"regularization": regularization})
        weights = algorithm._local(listeners, size, progress) if size else algorithm._exact(listeners, progress)
        profiles = (history.data > 0) * recency(data.interactions, self.tail_boost, self.tail_length)
        return Fitted(arrays=arrays_of(weights, profiles), metrics={"regularization": regularization})

    def _ridges(self, counts: Floats) -> Floats:
        """Return Lambda for tracks that count so much, G_ii."""
        ridge: Floats = np.float32(self.regularization) + np.float32(self.dropout / (1 - self.dropout)) * counts
        return ridge

    def _exact(self, listeners: Listeners, progress: Progress) -> csr_array:
        tracks = listeners.played.shape[1]
        gram = np.empty((tracks, tracks), dtype=np.float32)
        for begin, common in listeners.cooccurrence_blocks(_ROWS_AT_ONCE):
            gram[begin : begin + common.shape[0]] = common.toarray()
            progress(begin + common.shape[0], 3 * tracks, "counting")
        progress(tracks, 3 * tracks, "inverting")
        inverse = inverted(gram, self._ridges(gram.diagonal()))
        diagonal = inverse.diagonal().copy()
        blocks = []
        for begin in range(0, tracks, _ROWS_AT_ONCE):
            rows = inverse[begin : begin + _ROWS_AT_ONCE] / -diagonal
            own = np.arange(len(rows))
            rows[own, begin + own] = 0
            blocks.append(strongest(rows, self.kept))
            progress(2 * tracks + begin + len(rows), 3 * tracks, "keeping the strongest")
        return stacked(blocks)

    def _local(self, listeners: Listeners, neighbourhood: int, progress: Progress) -> csr_array:
        listened, counts = listeners.played, listeners.counts()
        ridge, tracks = self._ridges(counts), listened.shape[1]
        by_track = listened.T.tocsr()
        size = min(neighbourhood, max(1, tracks - 1))
        columns: list[csr_array] = []
        with ONE_BLAS_THREAD.limit(limits=1):
            for begin in range(0, tracks, _ROWS_AT_ONCE):
                targets = np.arange(begin, min(begin + _ROWS_AT_ONCE, tracks))
                neighbours, weights = regress(
                    targets,
                    listened.indptr.astype(np.int64),
                    listened.indices.astype(np.int64),
                    by_track.indptr.astype(np.int64),
                    by_track.indices.astype(np.int64),
                    listeners.weights,
                    counts,
                    ridge,
                    size,
                )
                indptr = np.arange(len(targets) + 1) * size
                columns.append(csr_array((weights.ravel(), neighbours.ravel(), indptr), shape=(len(targets), tracks)))
                progress(int(targets[-1]) + 1, tracks)
        by_source = stacked(columns).T.tocsr()
        by_source.eliminate_zeros()
        return by_source


def inverted(gram: Floats, ridge: Floats) -> Floats:
    """Return (gram + diag(ridge))^-1 of a symmetric matrix, overwriting it; by Cholesky factors."""
    gram[np.diag_indices_from(gram)] += ridge
    # LAPACK sees the transpose of C order, which for a symmetric matrix is the matrix: nothing is copied.
    factor, failed = spotrf(gram.T, lower=True, overwrite_a=True, clean=False)
    if not failed:
        factor, failed = spotri(factor, lower=True, overwrite_c=True)
    if failed:
        raise TrainingError("X'X + Lambda is not positive definite in single precision; give a larger regularization")
    inverse: Floats = factor.T
    mirror(inverse)
    return inverse


@compiled
def mirror(upper: Floats) -> None:
    """Copy the upper triangle onto the lower one, in tiles that stay in the cache."""
    tile = 64
    for top in range(0, len(upper), tile):
        for left in range(top, len(upper), tile):
            for row in range(top, min(top + tile, len(upper))):
                for column in range(max(left, row + 1), min(left + tile, len(upper))):
                    upper[column, row] = upper[row, column]


@compiled_parallel
def regress(
    targets: Ints,
    user_begins: Ints,
    tracks_of: Ints,
    track_begins: Ints,
    users_of: Ints,
    user_weights: Floats,
    counts: Floats,
    ridge: Floats,
    size: int,
) -> tuple[Ints, Floats]:
    """Return the `size` nearest tracks of each target and their weights, both (targets, size).

    b = (G_NN + Lambda_N)^-1 G_Ni, G = X' W X over the neighbours N of target i. X (users, tracks) is given as the
    tracks of each user and the users of each track, the diagonals of W, G and Lambda as `user_weights`, `counts` and
    `ridge`. Targets with fewer neighbours have weights 0.
    """
    tracks = len(track_begins) - 1
    neighbours = np.zeros((len(targets), size), dtype=np.int64)
    weights = np.zeros((len(targets), size), dtype=np.float32)
    per_block = 16
    for block in numba.prange((len(targets) + per_block - 1) // per_block):
        common = np.zeros(tracks, dtype=np.float32)
        place = np.full(tracks, -1, dtype=np.int64)
        for index in range(block * per_block, min((block + 1) * per_block, len(targets))):
            target = targets[index]
            common[:] = 0
            for user in users_of[track_begins[target] : track_begins[target + 1]]:
                for track in tracks_of[user_begins[user] : user_begins[user + 1]]:
                    common[track] += user_weights[user]
            near = nearest(common, counts, target, size)
            count = len(near)
            if count == 0:
                continue
            for position in range(count):
                place[near[position]] = position
            gram = weigh_pairs(near, place, user_begins, tracks_of, track_begins, users_of, user_weights)
            for position in range(count):
                gram[position, position] += ridge[near[position]]
            solved = np.linalg.solve(gram, common[near])
            for position in range(count):
                neighbours[index, position] = near[position]
                weights[index, position] = solved[position]
                place[near[position]] = -1
    return neighbours, weights


@compiled
def weigh_pairs(
    near: Ints,
    place: Ints,
    user_begins: Ints,
    tracks_of: Ints,
    track_begins: Ints,
    users_of: Ints,
    user_weights: Floats,
) -> Floats:
    """Return what those count who played two of the tracks `near`; `place` is where a track stands there, or -1."""
    gram = np.zeros((len(near), len(near)), dtype=np.float32)
    for position in range(len(near)):
        track = near[position]
        for user in users_of[track_begins[track] : track_begins[track + 1]]:
            for other in tracks_of[user_begins[user] : user_begins[user + 1]]:
                if place[other] >= 0:
                    gram[position, place[other]] += user_weights[user]
    return gram


@compiled
def nearest(common: Floats, counts: Floats, target: int, size: int) -> Ints:
    """Return the `size` tracks with the highest cosine to the target: fewer where fewer have a listener in common.

    `common` (tracks,) is what the listeners count that each track shares with the target, `counts` all of its own.
    """
    found: Ints = np.flatnonzero(common) if size < len(common) - 1 else np.arange(len(common))
    found = found[found != target]
    if len(found) > size:
        found = found[np.argsort(-common[found] / np.sqrt(counts[found]))[:size]]
    return found
