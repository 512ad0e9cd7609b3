"""Parameters in a file: what `tune` found and `train --preset FILE` takes."""

from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from service.core.errors import ConfigurationError
from service.core.faults import said
from training.output import replacing_files

SUFFIX: Final = ".json"
"""What tells a file from the name of a preset."""


class PresetFile(BaseModel):
    """Parameters of one algorithm and how they came about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str
    """Name in `ALGORITHMS`."""
    parameters: dict[str, JsonValue]
    """What differs from the preset `default`."""
    metric: str
    """What was climbed on validation data."""
    value: float
    """What was reached."""
    trials: int
    """Trials that it took to find."""
    data: str
    """sha256 of the train.parquet that it was found on."""

    @classmethod
    def read(cls, path: Path | str, algorithm: str) -> Self:
        """Return the preset in a file; `ConfigurationError` where it is not one of this algorithm."""
        try:
            preset = cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{path} is not a preset: {error}") from error
        except ValidationError as error:
            raise ConfigurationError(f"{path} is not a preset: {said(error)}") from error
        if preset.algorithm != algorithm:
            raise ConfigurationError(f"{path} is a preset of {preset.algorithm}, not of {algorithm}")
        return preset

    def write(self, path: Path | str) -> None:
        """Write the preset to a file, which is there whole or as it was before."""
        path = Path(path).resolve()  # so that a link stays one
        with replacing_files(path.parent) as folder:
            (folder / path.name).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
