"""What goes wrong in real logs, a little of each, so that cleaning has something to do."""

import numpy as np

SHARE = 0.001
"""Of all lines, for each kind of dirt."""


def soil(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Spoil some lines in place of themselves and repeat some; the order of the log is kept."""
    n_each = max(1, round(SHARE * len(lines)))
    chosen = rng.permutation(len(lines))[: n_each * (len(SPOILS) + 1)]
    *spoiled, repeated = np.array_split(chosen, len(SPOILS) + 1)
    for spoil, rows in zip(SPOILS, spoiled, strict=True):
        for row in rows.tolist():
            lines[row] = spoil(lines[row])
    for row in sorted(repeated.tolist(), reverse=True):
        lines.insert(row, lines[row])
    return lines


def _cut_short(line: str) -> str:
    return line[: len(line) // 2] + "\n"


def _without_user(line: str) -> str:
    return _replace_value(line, "user_id", "null")


def _without_track(line: str) -> str:
    return _replace_value(line, "track_id", "null")


def _without_event_type(line: str) -> str:
    return _replace_value(line, "event_type", "null")


def _in_lower_case(line: str) -> str:
    before, key, event_type = line.partition('"event_type": ')
    value, comma, rest = event_type.partition(",")
    return before + key + value.lower() + comma + rest


def _misspelt(line: str) -> str:
    return line.replace("ADVERTISEMENT", "ADVERTISMENT")


def _replace_value(line: str, key: str, value: str) -> str:
    before, found, rest = line.partition(f'"{key}": ')
    _, comma, after = rest.partition(",")
    return before + found + value + comma + after


SPOILS = (_cut_short, _without_user, _without_track, _without_event_type, _in_lower_case, _misspelt)
