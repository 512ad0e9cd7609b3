"""The documentation says what the code does: every setting, metric, name and command in it is checked."""

import re

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
from service.telemetry import Metrics
from tests.core.worlds import ballots
from tests.documentation import PAGES, ROOT, blocks, commands
from training.__main__ import parser
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

    assert {name for name in exposed if not name.endswith("_created")} == set(
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
