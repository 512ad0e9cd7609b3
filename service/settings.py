"""Everything an operator can set, from the environment (`SERVICE_…`) or the command line."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX: Final = "SERVICE_"

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_OWN_PORTS: Final = re.compile(r"http://.*:80|https://.*:443")
"""Ports that browsers leave out of an origin."""


def _comma_separated(value: object) -> object:
    """Return the names in "a, b", so that the environment needs no JSON."""
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _origins(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what no browser would ever send as an origin: nothing would be allowed by it, and nobody told."""
    for name in names:
        if name != "*" and (not _ORIGIN.fullmatch(name) or _OWN_PORTS.fullmatch(name)):
            raise ValueError(
                f"{name!r} is no origin as browsers send it, which is scheme://host or scheme://host:port in lower "
                "case, without a path and without the scheme's own port; '*' is all of them"
            )
    return names


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


class Settings(BaseSettings):
    """The settings of one service; each is also an environment variable, `SERVICE_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    models: Path = Path("model_files")
    """Folder of the trained models; all that are current in it are loaded."""
    required_models: Names = Field(default=("basic", "softmax", "wmf"), min_length=1)
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
    workers: int = Field(default=1, ge=1, le=256)
    """Processes; each loads every model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models score; auto takes CUDA when it is there."""
    torch_threads: int = Field(default=1, ge=1, le=256)
    """Threads a worker scores with. More than one pays only on huge catalogues and idle cores."""
    queue_capacity: int = Field(default=512, ge=1, le=100_000)
    """Requests that may wait for one model; the next is refused with 503 and Retry-After."""
    batch_limit: int = Field(default=64, ge=1, le=1024)
    """Requests scored together at most."""
    max_body_bytes: int = Field(default=1 << 20, ge=1, le=1 << 26)
    """Longest request body that is read; a longer one is refused with 413."""
    request_seconds: float = Field(default=30.0, gt=0, le=3600, allow_inf_nan=False)
    """Time in which all of a request must arrive, head and body; a slower one is refused with 408."""
    cors_origins: Annotated[Names, AfterValidator(_origins)] = ()
    """Origins whose pages may call from a browser, comma-separated; "*" for all."""
    drain_seconds: float = Field(default=1.0, ge=0, le=3600, allow_inf_nan=False)
    """Time between failing readiness and closing the door on SIGTERM, for load balancers to notice."""
    grace_seconds: int = Field(default=8, ge=1, le=3600)
    """Time that requests in flight have to finish after that."""

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        """Refuse an empty option; an empty variable, as compose files make one of an unset one, counts as unset."""
        if value == "":
            raise ValueError("Input must not be empty")
        return value


def mistyped(variables: Iterable[str]) -> list[str]:
    """Return those of some environment variables that are called like a setting and are none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in known)
