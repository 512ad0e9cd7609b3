"""The documentation says what the code does: every setting, metric, name and command in it is checked."""

import re
from collections.abc import Callable
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from types import ModuleType

import pytest
import torch

from service.core.artifacts import Manifest
from service.core.calibration import ARRAYS as CALIBRATION_ARRAYS
from service.core.catalogue import TrackInfo
from service.core.history import ARRAYS as HISTORY_ARRAYS
from service.core.recommenders import KINDS
from service.core.strategies import STRATEGIES
from service.experiments.config import load_experiments
from service.settings import Settings
from service.telemetry import WORKER_DEATHS, Metrics
from tests.core.worlds import ballots
from tests.documentation import PAGES, ROOT, blocks, commands
from tests.training import test_algorithms
from tests.training.worlds import checkerboard, prepared
from training.__main__ import parser
from training.commands.parameters import described
from training.models import ALGORITHMS

OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
MAKE_TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def default_text(name: str) -> str:
    default = Settings.model_fields[name].default
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    return "" if default in (None, ()) else f"`{text}`"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_has_a_row_with_its_default(name: str) -> None:
    row = f"| `SERVICE_{name.upper()}` | {default_text(name)} |".replace("|  |", "| |")

    assert row in OPERATIONS


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"SERVICE_([A-Z_]+)", page.read_text(encoding="utf-8"))}

    assert named <= {name.upper() for name in Settings.model_fields}


def test_every_metric_has_a_row() -> None:
    exposed = set(re.findall(r"^# HELP (tutti_\w+) ", Metrics().exposition().decode(), re.MULTILINE))

    assert {name for name in exposed if not name.endswith("_created")} | {WORKER_DEATHS} == set(
        re.findall(r"^\| `(tutti_\w+)` \|", OPERATIONS, re.MULTILINE)
    )


@pytest.mark.parametrize("registry", [STRATEGIES, ALGORITHMS, KINDS], ids=["strategies", "models", "kinds"])
def test_the_page_on_adding_names_exactly_what_is_there(registry: dict[str, object]) -> None:
    lists = re.findall(r"^Those there are: (.*?)\.$", (ROOT / "docs/adding.md").read_text(), re.DOTALL | re.MULTILINE)

    assert sorted(registry) in [re.findall(r"`(\w+)`", names) for names in lists]


def test_the_page_on_the_api_says_of_every_strategy_what_it_promises() -> None:
    section = (ROOT / "docs/api.md").read_text(encoding="utf-8").split("### Strategies")[1].split("### ")[0]

    assert sorted(re.findall(r"^\| `(\w+)` \| \S", section, re.MULTILINE)) == sorted(STRATEGIES)


def test_the_strategy_that_the_page_on_adding_writes_ranks() -> None:
    source = next(block for block in blocks(ROOT / "docs/adding.md", "python") if "def enthusiasm" in block)
    names: dict[str, object] = {}
    exec(source, names)  # noqa: S102, the page's own code is what is tested
    votes = ballots([[1.0, 0.6, 0.0], [0.0, 0.6, 0.1]])  # 1 + 0, .36 + .36, 0 + .01

    assert torch.equal(names["enthusiasm"](votes, 3), torch.tensor([[0, 1, 2]]))


@pytest.fixture
def written(tmp_path: Path) -> ModuleType:
    """The model that the page on adding writes, as a file, where pydantic finds the docstrings of parameters."""
    source = next(block for block in blocks(ROOT / "docs/adding.md", "python") if "class X(Algorithm)" in block)
    (tmp_path / "x.py").write_text(source, encoding="utf-8")
    spec = spec_from_file_location("x", tmp_path / "x.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "demand",
    [
        test_algorithms.test_the_same_seed_fits_the_same_arrays,
        test_algorithms.test_a_taste_is_told_from_popularity,
        test_algorithms.test_what_is_loaded_scores_as_what_was_fitted,
        test_algorithms.test_the_manifest_says_how_the_model_came_about,
        test_algorithms.test_a_world_of_skips_alone_teaches_nothing_or_is_refused_in_words,
        *(
            partial(test_algorithms.test_a_tiny_world_has_scores_for_everybody, world=world)
            for world in test_algorithms.EDGE_WORLDS
        ),
    ],
)
def test_the_model_that_the_page_on_adding_writes_does_what_is_demanded_of_models(
    demand: Callable[..., None], written: ModuleType, tmp_path: Path
) -> None:
    given = {"tmp_path": tmp_path, "algorithm": written.X.preset(), "board": prepared(*checkerboard())}

    demand(**{name: value for name, value in given.items() if name in signature(demand).parameters})


def test_the_parameters_that_the_page_on_adding_writes_are_described(written: ModuleType) -> None:
    shown = described("x", written.X)

    assert "dim=128\n    Length of a vector. Searched by `tune`: 16 to 512.\n" in shown
    assert "--preset original: dim=32\n" in shown


@pytest.mark.parametrize(
    "names",
    [Manifest.model_fields, TrackInfo.model_fields, HISTORY_ARRAYS, CALIBRATION_ARRAYS, KINDS],
    ids=["manifest", "tracks", "history", "calibration", "kinds"],
)
def test_the_artifact_format_is_complete(names: list[str]) -> None:
    page = (ROOT / "docs/artifacts.md").read_text(encoding="utf-8")

    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_experiments_of_the_example_load() -> None:
    experiments = load_experiments(ROOT / "experiments.toml")
    variants = [variant for experiment in experiments for variant in experiment.variants]

    assert {variant.strategy for variant in variants} <= set(STRATEGIES)
    assert {variant.model for variant in variants} <= set(ALGORITHMS)


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")

    assert [page.name for page in sorted(folder.glob("*.md")) if f"({page.name})" not in index] == ["README.md"]


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\":]+)\"", page.read_text(encoding="utf-8")):
            assert (page.parent / (target[0] or target[1])).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("words", list(commands(*PAGES)), ids=" ".join)
def test_every_command_is_understood(words: list[str]) -> None:
    program = words[:3] if words[0] == "python" else words[:1]
    if program == ["make"]:
        assert {word for word in words[1:] if "=" not in word} <= MAKE_TARGETS
    elif program == ["python", "-m", "training"]:
        parser().parse_args(words[3:])
    elif program[0] == "python" and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    else:
        assert program[0] in {"curl", "docker", "ls", "."} or program == ["python", "-m", "service"]
