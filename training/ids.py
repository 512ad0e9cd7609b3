"""What an id must not be, whoever names it: the logs, the catalogue or a file of groups."""

import re
from typing import Final

from service.core.limits import LONGEST_ID

CONTROL: Final = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
"""A regular expression, to Python and to DuckDB: an artifact keeps one id a line, so none may break it."""

BREAKS_LINES: Final = "control character in an id"
"""What is wrong with an id that has one of CONTROL."""

TOO_LONG: Final = f"id of more than {LONGEST_ID} characters"
"""What is wrong with an id that no request to the service may name."""


def fault_of(public_id: str) -> str | None:
    """Return what is wrong with an id, None where nothing is."""
    if len(public_id) > LONGEST_ID:
        return TOO_LONG
    return BREAKS_LINES if re.search(CONTROL, public_id) else None
