"""A model under evaluation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from service.core.artifacts import Artifact
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from training.metrics import Shelf


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, and what is known of its tracks apart from who will like them."""

    artifact: Artifact
    model: Recommender
    shelf: Shelf

    def __repr__(self) -> str:
        return f"Subject({self.artifact!r})"

    @classmethod
    def of(cls, artifact: Artifact) -> "Subject":
        """Return the model of an artifact."""
        model = recommender_of(artifact)
        catalogue = artifact.catalogue
        artists = catalogue.artist_ids if any(catalogue.artist_ids) else catalogue.artists
        numbers, _ = pd.factorize(pd.Series(artists, dtype=object))  # None becomes -1, which is UNKNOWN
        return cls(artifact, model, Shelf(model.history.listeners, len(model.users), numbers.astype(np.int64)))

    @property
    def name(self) -> str:
        """Return the name it is served as."""
        return self.artifact.manifest.name

    def score(self, user_rows: Tensor) -> Tensor:
        """Return the scores of every track (n, tracks) for users (n,)."""
        return self.model.score(self.model.user_vectors(user_rows))
