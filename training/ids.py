"""What an id must not be, whoever names it: the logs, the catalogue or a file of groups."""

import re
from typing import Final

CONTROL: Final = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
"""A regular expression, to Python and to DuckDB: an artifact keeps one id a line, so none may break it."""

BREAKS_LINES: Final = "control character in an id"
"""What is wrong with an id that has one of CONTROL."""


def fault_of(public_id: str) -> str | None:
    """Return what is wrong with an id, None where nothing is."""
    return BREAKS_LINES if re.search(CONTROL, public_id) else None
