"""Item-kNN: tracks are neighbours when the same people play them."""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field, JsonValue
from scipy.sparse import csr_array

from training.data import PreparedData
from training.models.algorithm import Algorithm, Choice, Count, Fitted, Progress, Range
from training.models.regularization import Jury, chosen
from training.neighbours import Floats, Listeners, arrays_of, largest, row_numbers, stacked
from training.order import recency
from training.pseudo_listeners import pseudo_listeners, stacked_listeners

_ROWS_AT_ONCE: Final = 512
_LEAST_SHRINKAGE, _MOST_SHRINKAGE = 5.0, 100.0
"""Of what the data ask for, where no validation users choose it."""
_STEP: Final = 2.0
"""What it is multiplied or divided by where they do."""


class ItemKNN(Algorithm):
    """B_ji = n_j^-b common_ij / (norm_ij + shrinkage), over the nearest neighbours of j.

    common_ij is what the listeners count that i and j share, norm_ij made of the n_i and n_j that each has. Shrinkage
    pulls towards 0 what few people say (Bell & Koren, "Scalable collaborative filtering with jointly derived
    neighborhood interpolation weights", ICDM 2007).
    """

    kind: ClassVar[str] = "item_item"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {
        "original": {
            "shrinkage": 20.0,
            "length_exponent": 0.0,
            "popularity_exponent": 0.0,
            "album_weight": 0.0,
            "artist_weight": 0.0,
            "tail_boost": 1.0,
        }
    }
    search: ClassVar[Mapping[str, Range | Choice]] = {
        "neighbours": Range(20, 1000, logarithmic=True, whole=True),
        "shrinkage": Range(0.5, 1000.0, logarithmic=True),
        "normalization": Choice(("cosine", "jaccard")),
        "length_exponent": Range(0.0, 1.0),
        "popularity_exponent": Range(0.0, 0.8),
        "album_weight": Range(0.3, 60.0, logarithmic=True, needs=("albums",)),
        "artist_weight": Range(0.1, 20.0, logarithmic=True, needs=("artists",)),
        "tail_boost": Range(1.0, 6.0, needs=("positions", "times")),
    }

    neighbours: Count = 200
    """Neighbours kept of each track."""
    shrinkage: float | None = Field(default=None, ge=0)
    """Listeners in common that are worth nothing; None is what validation users choose, beginning with what the spread
    of the cosines asks for, see `likely_shrinkage`."""
    normalization: Literal["cosine", "jaccard", "asymmetric"] = "cosine"
    """norm_ij: sqrt(n_i n_j), n_i + n_j - common, or n_j^a n_i^(1 - a)."""
    asymmetry: float = Field(default=0.5, ge=0, le=1)
    """a of `asymmetric` (Aiolli, "Efficient top-n recommendation for very large scale binary rated datasets",
    RecSys 2013): 1 is how likely who played j plays i."""
    length_exponent: float = Field(default=0.5, ge=0, le=1)
    """A listener of n tracks counts as n to the power of minus this, scaled to mean 1 over all pairs."""
    popularity_exponent: float = Field(default=0.2, ge=0, le=1)
    """b: how much less a track of the history says that everybody plays."""
    album_weight: float = Field(default=3.0, ge=0)
    """Listeners that an album counts as, who played all of it; where the catalogue says the albums."""
    artist_weight: float = Field(default=0.7, ge=0)
    """The same of an artist."""
    tail_boost: float = Field(default=3.0, ge=1)
    """What the last track of an ordered history counts when its listener is scored; see `training.order.recency`."""
    tail_length: Count = 4
    """Tracks at the end of an ordered history that count more than the others."""

    def fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:  # noqa: ARG002
        """Return the nearest neighbours of each track. Nothing is drawn but the validation users who choose."""
        if self.shrinkage is not None:
            return self._fit(data, self.shrinkage, progress)
        jury = Jury.of(data, seed)
        start = likely_shrinkage(data.interactions.matrix)
        if not len(jury.listeners):
            return self._fit(data, start, progress)
        return chosen(self.kind, data, jury, start, lambda shrinkage: self._fit(data, shrinkage, progress), _STEP)

    def _fit(self, data: PreparedData, shrinkage: float, progress: Progress) -> Fitted:
        """Return the nearest neighbours with this shrinkage."""
        history = data.interactions.matrix
        real = Listeners.of(history, self.length_exponent)
        counts = np.asarray(real.played.sum(axis=0), dtype=np.float32)
        speaks = np.maximum(counts, 1) ** np.float32(-self.popularity_exponent)
        listeners = stacked_listeners(real, pseudo_listeners(data.catalogue, self.album_weight, self.artist_weight))
        blocks: list[csr_array] = []
        for begin, common in listeners.cooccurrence_blocks(_ROWS_AT_ONCE):
            own = begin + row_numbers(common)
            norm = self._norm(common.data, counts[own], counts[common.indices]) + np.float32(shrinkage)
            weights = np.divide(common.data, norm, out=np.zeros_like(norm), where=norm > 0) * speaks[own]
            weights[own == common.indices] = 0
            common.data = weights
            common.eliminate_zeros()
            blocks.append(largest(common, self.neighbours))
            progress(begin + common.shape[0], history.shape[1], f"shrinkage {shrinkage:.3g}")
        profiles = (history.data > 0) * recency(data.interactions, self.tail_boost, self.tail_length)
        return Fitted(arrays=arrays_of(stacked(blocks), profiles), metrics={"shrinkage": shrinkage})

    def _norm(self, common: Floats, own: Floats, others: Floats) -> Floats:
        norm: Floats
        if self.normalization == "jaccard":
            norm = np.maximum(own + others - common, 0)
        else:
            power = np.float32(0.5 if self.normalization == "cosine" else self.asymmetry)
            norm = own**power * others ** (1 - power)
        return norm


def likely_shrinkage(scores: csr_array) -> float:
    """Return m / v, m the mean and v the variance of the cosines behind the counts in scores (users, tracks).

    Where common_ij is Poisson with mean cos_ij norm_ij, norm_ij = sqrt(n_i n_j), and cos_ij one of a gamma
    distribution, what is to be expected of it is (common_ij + m b) / (norm_ij + b), b = m / v: the less cosines differ
    beyond chance, the more they are shrunk. m and v are moments over all pairs of tracks: m norm is the mean of common,
    chance + v norm^2 that of (common - m norm)^2. Chance is common times (1 - n_i / users) (1 - n_j / users), less than
    of Poisson: no more than all users play a track.
    """
    listeners = Listeners.of(scores)
    counts = listeners.counts().astype(np.float64)
    roots, others = np.sqrt(counts), 1 - counts / scores.shape[0]
    common = squares = products = chance = 0.0
    for begin, block in listeners.cooccurrence_blocks(_ROWS_AT_ONCE):
        own = begin + row_numbers(block)
        shared = np.where(own == block.indices, 0.0, block.data)
        common += float(shared.sum())
        squares += float(shared @ shared)
        products += float(shared @ (roots[own] * roots[block.indices]))
        chance += float(shared @ (others[own] * others[block.indices]))
    if not common:
        return _LEAST_SHRINKAGE
    norms, squared_norms = roots.sum() ** 2 - counts.sum(), counts.sum() ** 2 - counts @ counts
    mean = common / norms
    beyond_chance = squares - 2 * mean * products + mean**2 * squared_norms - chance
    if beyond_chance <= 0:
        return _MOST_SHRINKAGE
    return float(np.clip(mean * squared_norms / beyond_chance, _LEAST_SHRINKAGE, _MOST_SHRINKAGE))
