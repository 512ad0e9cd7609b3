"""Item-kNN: tracks are neighbours when the same people play them."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, JsonValue
from scipy.sparse import csr_array

from training.data import PreparedData
from training.models.algorithm import Algorithm, Choice, Count, Fitted, Progress, Range
from training.neighbours import Floats, Listeners, arrays_of, stacked, strongest
from training.order import recency
from training.pseudo_listeners import pseudo_listeners, stacked_listeners

_ROWS_AT_ONCE = 512


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
        "shrinkage": Range(0.5, 100.0, logarithmic=True),
        "normalization": Choice(("cosine", "jaccard")),
        "length_exponent": Range(0.0, 1.0),
        "popularity_exponent": Range(0.0, 0.8),
        "album_weight": Range(0.3, 60.0, logarithmic=True, needs=("albums",)),
        "artist_weight": Range(0.1, 20.0, logarithmic=True, needs=("artists",)),
        "tail_boost": Range(1.0, 6.0, needs=("positions", "times")),
    }

    neighbours: Count = 200
    """Neighbours kept of each track."""
    shrinkage: float = Field(default=10.0, ge=0)
    """Listeners in common that are worth nothing."""
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

    def fit(
        self,
        data: PreparedData,
        *,
        seed: int,  # noqa: ARG002, the signature is common to all algorithms; nothing here is drawn
        device: str,  # noqa: ARG002
        progress: Progress,
    ) -> Fitted:
        """Return the nearest neighbours of each track."""
        history = data.interactions.matrix
        real = Listeners.of(history, self.length_exponent)
        counts = np.asarray(real.played.sum(axis=0), dtype=np.float32)
        speaks = np.maximum(counts, 1) ** np.float32(-self.popularity_exponent)
        listeners = stacked_listeners(real, pseudo_listeners(data.catalogue, self.album_weight, self.artist_weight))
        blocks: list[csr_array] = []
        for begin, common in listeners.cooccurrence_blocks(_ROWS_AT_ONCE):
            own = np.arange(len(common))
            norm = self._norm(common, counts[begin + own][:, None], counts)
            weights = np.divide(common, norm, out=np.zeros_like(common), where=norm > 0)
            weights *= speaks[begin + own][:, None]
            weights[own, begin + own] = 0
            blocks.append(strongest(weights, self.neighbours))
            progress(begin + len(common), history.shape[1])
        profiles = (history.data > 0) * recency(data.interactions, self.tail_boost, self.tail_length)
        return Fitted(arrays=arrays_of(stacked(blocks), profiles))

    def _norm(self, common: Floats, own: Floats, others: Floats) -> Floats:
        norm: Floats
        if self.normalization == "jaccard":
            norm = np.maximum(own + others - common, 0)
        else:
            power = np.float32(0.5 if self.normalization == "cosine" else self.asymmetry)
            norm = own**power * others ** (1 - power)
        return norm + np.float32(self.shrinkage)
