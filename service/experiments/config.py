"""The file of experiments: TOML in, checked experiments out."""

import math
import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.core.errors import ConfigurationError
from service.core.faults import said

_TOLERANCE: Final = 1e-9
"""How far from 1 the shares may add up: three times 1/3 must pass."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Fit for a header, a log and a hash."""


class Variant(BaseModel):
    """One arm of an experiment: a model, a strategy, and how many groups see them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    model: str
    strategy: str
    share: float = Field(ge=0, le=1)
    """Of all units; 0 closes a variant without forgetting its name."""


class Experiment(BaseModel):
    """Groups split between variants by a hash that every replica computes alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    salt: str = Field(min_length=1)
    """Decides who sees what; a new salt shuffles everyone. At most 64 bytes, the key of the hash."""
    enabled: bool = True
    """Whether it routes requests; at most one does."""
    variants: tuple[Variant, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if len(self.salt.encode()) > 64:
            raise ValueError(f"salt is {len(self.salt.encode())} bytes long, at most 64 are allowed")
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"names of variants must differ, got {names}")
        total = math.fsum(variant.share for variant in self.variants)
        if abs(total - 1) > _TOLERANCE:
            raise ValueError(f"the shares of {self.name!r} add up to {total:.12g}, they must add up to 1")
        return self


class _File(BaseModel):
    """What the TOML file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiments: tuple[Experiment, ...] = ()

    @model_validator(mode="after")
    def _at_most_one_routes(self) -> Self:
        names = [experiment.name for experiment in self.experiments]
        if len(set(names)) < len(names):
            raise ValueError(f"names of experiments must differ, got {names}")
        salts = [experiment.salt for experiment in self.experiments]
        if len(set(salts)) < len(salts):
            raise ValueError(f"salts of experiments must differ, or they are not independent, got {salts}")
        enabled = [experiment.name for experiment in self.experiments if experiment.enabled]
        if len(enabled) > 1:
            raise ValueError(f"at most one experiment can route requests, enabled are {enabled}")
        return self


def load_experiments(path: Path) -> tuple[Experiment, ...]:
    """Return all experiments of a TOML file; ConfigurationError names the file and what is wrong with it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return _File.model_validate(content).experiments
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); name a TOML file") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {said(error)}") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, UnicodeDecodeError, or thousands of digits
        raise ConfigurationError(f"{path}: cannot be read as TOML ({error})") from error
