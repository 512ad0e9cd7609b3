"""Item-kNN: tracks are neighbours when the same people play them."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, JsonValue
from scipy.sparse import csr_array

from training.data import PreparedData
from training.models.algorithm import Algorithm, Fitted, Progress
from training.neighbours import Floats, arrays_of, binary, cooccurrence_blocks, stacked, strongest

_ROWS_AT_ONCE = 512


class ItemKNN(Algorithm):
    """B_ji = |U_i and U_j| / (norm_ij + shrinkage), U_i those who played track i, over the nearest neighbours of j.

    Shrinkage pulls towards 0 what few people say (Bell & Koren, "Scalable collaborative filtering with jointly
    derived neighborhood interpolation weights", ICDM 2007).
    """

    kind: ClassVar[str] = "item_item"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {"original": {}}

    neighbours: int = Field(default=200, ge=1)
    """Neighbours kept of each track."""
    shrinkage: float = Field(default=20.0, ge=0)
    """Listeners in common that are worth nothing."""
    normalization: Literal["cosine", "jaccard", "asymmetric"] = "cosine"
    """norm_ij: sqrt(n_i n_j), n_i + n_j - common, or n_j^a n_i^(1 - a)."""
    asymmetry: float = Field(default=0.5, ge=0, le=1)
    """a of `asymmetric` (Aiolli, "Efficient top-n recommendation for very large scale binary rated datasets",
    RecSys 2013): 1 is how likely who played j plays i."""

    def fit(
        self,
        data: PreparedData,
        *,
        seed: int,  # noqa: ARG002, the signature is common to all algorithms; nothing here is drawn
        device: str,  # noqa: ARG002
        progress: Progress,
    ) -> Fitted:
        """Return the nearest neighbours of each track."""
        listened = binary(data.interactions.matrix)
        tracks = listened.shape[1]
        listeners = np.asarray(listened.sum(axis=0), dtype=np.float32)
        blocks: list[csr_array] = []
        for begin, common in cooccurrence_blocks(listened, _ROWS_AT_ONCE):
            own = np.arange(len(common))
            norm = self._norm(common, listeners[begin + own][:, None], listeners)
            weights = np.divide(common, norm, out=np.zeros_like(common), where=norm > 0)
            weights[own, begin + own] = 0
            blocks.append(strongest(weights, self.neighbours))
            progress(begin + len(common), tracks)
        return Fitted(arrays=arrays_of(stacked(blocks), data.interactions.matrix))

    def _norm(self, common: Floats, own: Floats, others: Floats) -> Floats:
        if self.normalization == "jaccard":
            return own + others - common + np.float32(self.shrinkage)
        power = np.float32(0.5 if self.normalization == "cosine" else self.asymmetry)
        norm: Floats = own**power * others ** (1 - power) + np.float32(self.shrinkage)
        return norm
