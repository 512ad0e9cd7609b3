"""The answers that README.md and docs/api.md print are those of the models that `make run` makes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.documentation import ROOT, blocks, commands
from tests.service.worlds import serving
from training.__main__ import main

FRESH = {"recommendation_id", "version", "trained_at"}
"""New with every answer or training."""

Json = object


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Models of the sample data, as scripts/sample-models trains them."""
    folder = tmp_path_factory.mktemp("sample")
    logs, prepared, models = (str(folder / name) for name in ("logs", "prepared", "models"))
    catalogue = [part for name in ("tracks", "artists", "users") for part in (f"--{name}", f"{logs}/{name}.jsonl")]
    done = [
        main(["sample", "--out", logs]),
        main(["prepare", "--events", f"{logs}/sessions.jsonl", *catalogue, "--out", prepared]),
        *(main(["train", name, "--data", prepared, "--models", models]) for name in ("basic", "wmf")),
    ]
    assert done == [0, 0, 0, 0]
    return Settings(models=Path(models), required_models=("basic", "wmf"), exposures=str(folder / "exposures"))


def printed(page: Path) -> tuple[dict, dict]:
    """The request to a group that a page prints, by itself or as a command, and the answer that comes next."""
    bodies = [words[words.index("-d") + 1] for words in commands(page) if "-d" in words]
    printed = [json.loads(block) for block in blocks(page, "json")]
    place = next(place for place, block in enumerate(printed) if "recommendation_id" in block)
    return printed[place - 1] if place else json.loads(bodies[0]), printed[place]


def leaves(answer: Json, place: str = "") -> Iterator[tuple[str, Json]]:
    """All values of an answer that are not new with every one, by where they stand."""
    if isinstance(answer, dict | list):
        entries = answer.items() if isinstance(answer, dict) else enumerate(answer)
        for key, value in entries:
            if key not in FRESH:
                yield from leaves(value, f"{place}/{key}")
    else:
        yield place, answer


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/api.md"], ids=lambda page: page.name)
async def test_a_printed_answer_is_what_the_sample_models_say(page: Path, settings: Settings) -> None:
    request, expected = printed(page)

    async with serving(settings) as client:
        response = await client.post("/recommendations/group", json={**request, "seed": expected["seed"]})

    answer, told = dict(leaves(response.json())), dict(leaves(expected))
    assert answer.keys() == told.keys()
    for place, value in told.items():
        # Another processor rounds otherwise.
        assert answer[place] == (pytest.approx(value, abs=2e-3) if isinstance(value, float) else value), place
