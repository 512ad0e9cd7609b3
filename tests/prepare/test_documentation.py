import re
from pathlib import Path

import pytest

from training.prepare.cleaning import DROPPED
from training.prepare.splits import SPLITS
from training.sources.columns import EVENTS
from training.sources.files import FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("role", EVENTS.names)
def test_every_role_is_listed_with_all_its_names(role: str) -> None:
    [row] = re.findall(rf"^\| {role} \| (.*) \|$", PAGE, re.MULTILINE)

    assert tuple(re.findall(r"`(\w+)`", row)) == EVENTS.names[role]


def test_every_format_reason_and_split_has_its_row() -> None:
    rows = re.findall(r"^\| ((?:`[^`]+` ?)+)\|", PAGE, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]

    assert set(FORMATS) | set(DROPPED) | set(SPLITS) <= set(named)
