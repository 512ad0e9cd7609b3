"""A table in plain text: rich draws finer ones, but importing it takes longer than reading many a log."""

from collections.abc import Iterable, Sequence

GAP = "  "


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the lines of a table, the first column on the left and the others, numbers, on the right."""
    grid = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]

    def line(row: Sequence[str]) -> str:
        sides = ("<", *">" * len(row[1:]))
        cells = zip(row, sides, widths, strict=True)
        return GAP.join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()

    return "\n".join((title, line(header), GAP.join("-" * width for width in widths), *map(line, grid[1:]))) + "\n"
