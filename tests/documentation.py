"""The pages that people read, and the code in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(*pages: Path) -> Iterator[list[str]]:
    """Every command line that these pages tell to type, as words."""
    for page in pages:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield words


def field_codes() -> list[str]:
    """The codes of faults of fields that docs/api.md lists."""
    section = (ROOT / "docs/api.md").read_text(encoding="utf-8").split("The `code` of one of")[1].split("##")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    return [code for row in rows for code in re.findall(r"`(\w+)`", row)]
