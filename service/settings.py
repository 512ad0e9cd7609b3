"""Everything an operator can set, from the environment (`SERVICE_…`) or the command line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX: Final = "SERVICE_"


def _comma_separated(value: object) -> object:
    """Return the names in "a, b", so that the environment needs no JSON."""
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


class Settings(BaseSettings):
    """The settings of one service; each is also an environment variable, `SERVICE_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    models: Path = Path("model_files")
    """Folder of the trained models; all that are current in it are loaded."""
    required_models: Names = ("basic", "softmax", "wmf")
    """Models without which the service never becomes ready, there or not; comma-separated in the environment."""
    default_model: str = "wmf"
    """Answers group requests that neither an experiment nor the request itself gives to another model."""
    fallback_model: str = "basic"
    """Answers group requests when the model that should cannot; the answer then says `degraded`."""
    similar_model: str = "auto"
    """Answers similar tracks; auto takes the first that is there of `SIMILAR_MODELS` in service/runtime.py."""
    group_weight: float = Field(default=1.0, gt=0, le=100, allow_inf_nan=False)
    """How much the history of a known `group_id` counts, over the weights of all its members with a taste together."""
    experiments: Path | None = None
    """TOML file of A/B experiments; none without it."""
    exposures: str = "-"
    """File to which one line an answer is appended; "-" is standard output."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 lets the system choose one."""
    workers: int = Field(default=1, ge=1)
    """Processes; each loads every model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models score; auto takes CUDA when it is there."""
    torch_threads: int = Field(default=1, ge=1)
    """Threads a worker scores with. More than one pays only on huge catalogues and idle cores."""
    queue_capacity: int = Field(default=512, ge=1)
    """Requests that may wait for one model; the next is refused with 503 and Retry-After."""
    batch_limit: int = Field(default=64, ge=1)
    """Requests scored together at most."""
    max_body_bytes: int = Field(default=1 << 20, ge=1)
    """Longest request body that is read; a longer one is refused with 413."""
    cors_origins: Names = ()
    """Origins whose pages may call from a browser, comma-separated; "*" for all."""
    drain_seconds: float = Field(default=1.0, ge=0)
    """Time between failing readiness and closing the door on SIGTERM, for load balancers to notice."""
    grace_seconds: int = Field(default=8, ge=1)
    """Time that requests in flight have to finish after that."""


def mistyped(variables: Iterable[str]) -> list[str]:
    """Return those of some environment variables that are called like a setting and are none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in known)
