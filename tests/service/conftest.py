"""A published world, and a client of the service that serves it."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.service.worlds import EXPERIMENTS, publish, serving


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models as they were published; never to be changed."""
    root = tmp_path_factory.mktemp("published")
    publish(root, "basic", "top_tracks")
    publish(root, "wmf", "factors")
    publish(root, "softmax", "factors")
    return root


@pytest.fixture
def models(published: Path, tmp_path: Path) -> Path:
    """A copy of the models to break."""
    return shutil.copytree(published, tmp_path / "models")


@pytest.fixture
def settings(published: Path, tmp_path: Path) -> Settings:
    return Settings(models=published, exposures=str(tmp_path / "exposures.jsonl"))


@pytest.fixture
def with_experiment(settings: Settings, tmp_path: Path) -> Settings:
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENTS)
    return settings.model_copy(update={"experiments": file})


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client
