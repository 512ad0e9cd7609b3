"""What every algorithm is: its parameters, their presets, and one function that fits."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from service.core.artifacts import ArtifactStore
from service.core.errors import ConfigurationError
from service.core.faults import faults
from training.data import Knowledge, PreparedData

DEFAULT_PRESET = "default"

MOST: Final = 1_000_000
"""Of whatever a parameter counts: more is a slip of the hand, and sizes of arrays would overflow."""

Count = Annotated[int, Field(ge=1, le=MOST)]


class Progress(Protocol):
    """Told after every step of a fit, so that a person sees how far it is."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` steps are over; the note is one short figure, as "loss 0.83"."""


def silent(done: int, total: int, note: str = "") -> None:
    """Show nothing: the progress of a fit nobody watches."""


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves behind, and what an artifact is made of."""

    arrays: Mapping[str, NDArray[np.generic]]
    """The arrays of the kind by name, rows as in the training matrix; publishing adds the history."""
    scoring: Mapping[str, JsonValue] = field(default_factory=dict)
    """How the kind turns the arrays into scores, as {"similarity": "dot", "fold_in": {...}}."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """One entry an epoch, as {"epoch": 1, "train_loss": 0.91, "validation_loss": 0.93, "seconds": 0.4}."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures only this algorithm knows; ranking metrics on validation are added for all alike."""

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name} {array.shape}" for name, array in self.arrays.items())
        return f"Fitted({arrays or 'no arrays'}; scoring: {sorted(self.scoring)}; {len(self.curve)} epochs)"


class Range(NamedTuple):
    """Where `tune` looks for a number."""

    low: float
    high: float
    logarithmic: bool = False
    """Whether twice as much is as far as half as much; `low` is above 0 then."""
    whole: bool = False
    needs: tuple[Knowledge, ...] = ()
    """What the data have to know for the number to matter, any of these; nothing where it always does."""


class Choice(NamedTuple):
    """What `tune` chooses from."""

    values: tuple[str | float, ...]


class Algorithm(BaseModel):
    """An algorithm with its parameters, which are the fields; `ALGORITHMS` registers the class.

    The field defaults are the preset `default`; `presets` holds what the others change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    kind: ClassVar[str]
    """The way of scoring that serves the arrays, a key of `service.core.recommenders.KINDS`."""
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {}
    """Named parameters beside `default`."""
    search: ClassVar[Mapping[str, Range | Choice]] = {}
    """The parameters that `tune` searches and where."""
    whole_catalogue: ClassVar[bool] = False
    """Whether it can place tracks that nobody has played, and gets them as columns without listeners."""

    @abstractmethod
    def fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:
        """Return the model fitted to `data.interactions`; the same seed gives the same arrays.

        `data.validation` may stop a fit early or choose its best epoch; `data.test` is for figures only.
        Raises `TrainingError` where the parameters diverge: whatever is returned is finite.
        """

    def over(self, store: ArtifactStore, data: PreparedData) -> Self:  # noqa: ARG002, of use to those that override it
        """Return the algorithm with the published models that it builds upon; most build upon none."""
        return self

    @classmethod
    def preset(cls, name: str = DEFAULT_PRESET, overrides: Mapping[str, object] | None = None) -> Self:
        """Return the algorithm with the parameters of a preset, single ones replaced (text is parsed)."""
        presets: Mapping[str, Mapping[str, JsonValue]] = {DEFAULT_PRESET: {}, **cls.presets}
        if name not in presets:
            raise ConfigurationError(f"{cls.__name__} has no preset {name!r}, known: {sorted(presets)}")
        try:
            return cls.model_validate({**presets[name], **(overrides or {})})
        except ValidationError as error:
            raise ConfigurationError(f"{cls.__name__}: {'; '.join(_faults(cls, error))}") from error


def _faults(algorithm: type[Algorithm], error: ValidationError) -> list[str]:
    """Return what is wrong with each parameter, in words for the person who typed it."""
    return [
        f"no parameter {fault['loc'][0]!r}, known: {sorted(algorithm.model_fields)}"
        if fault["type"] == "extra_forbidden"
        else f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg']}"
        for fault in faults(error.errors())
    ]
