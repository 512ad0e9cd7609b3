"""The basic model, the control of every experiment: it repeats what its users played."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import JsonValue

from training.data import PreparedData
from training.models.algorithm import Algorithm, Fitted, Progress


class Basic(Algorithm):
    """Scores are plays + likes, so the training history that every artifact carries is the whole model."""

    kind: ClassVar[str] = "top_tracks"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {"original": {}}

    def fit(
        self,
        data: PreparedData,  # noqa: ARG002, the signature is common to all algorithms
        *,
        seed: int,  # noqa: ARG002
        device: str,  # noqa: ARG002
        progress: Progress,
    ) -> Fitted:
        """Return nothing beyond the history: there is nothing to learn."""
        progress(1, 1)
        return Fitted(arrays={})
