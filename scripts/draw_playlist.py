"""Draw what a group gets and what each member has of it, as an SVG: draw_playlist.py USERS.jsonl MODEL OUT USER_ID...

docs/playlist.svg is drawn from the sample data that `make run` makes.
"""

import json
import sys
from html import escape
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.core.artifacts import ArtifactStore
from service.core.group import rank_groups
from service.core.query import GroupQuery, Member
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from service.core.strategies.fair_share import REFERENCE_LENGTH

LENGTH = 8
"""Tracks in the playlist."""
COLOURS = ("#7c5cff", "#00a88f", "#f0803c", "#d6459b")
WIDTH, ROW, TOP = 860, 40, 118
BARS = 380
"""Where the members' columns begin."""
LABEL = 45
"""Width of a bar that has room for its share."""


def sharpened(model: Recommender, user_rows: list[int]) -> Tensor:
    """Return (members, tracks) what each track is worth to each member; their own best 30 add up to 1."""
    calibration = model.calibration.of(np.array(user_rows))
    relevance = calibration.relevance(model.score(model.user_vectors(torch.tensor(user_rows))))
    worth = relevance**model.calibration.sharpness
    return worth / worth.topk(REFERENCE_LENGTH, dim=1).values.sum(dim=1, keepdim=True)


def playlist(model: Recommender, user_rows: list[int], strategy: str) -> list[int]:
    """Return the rows of the group's tracks."""
    members = tuple(Member(row) for row in user_rows)
    return rank_groups(model, [GroupQuery(members, LENGTH, strategy, seed=0)])[0].rows


def shares(worth: Tensor, rows: list[int]) -> list[float]:
    """Return each member's part of what the list is worth to all."""
    got = worth[:, rows].sum(dim=1)
    return (got / got.sum()).tolist()


def text(x: float, y: float, content: str, css: str = "") -> str:
    """Return one line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{css}">{escape(content)}</text>'


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Return a bar with round ends."""
    radius = height / 2 if height < 12 else 4
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{max(width, 2):.1f}" height="{height:g}" rx="{radius:g}" fill="{colour}"/>'
    )


def split_bar(y: float, label: str, parts: list[float]) -> list[str]:
    """Return a bar over the whole width, one piece a member, as long as their share."""
    left, width = 200.0, WIDTH - 232
    drawn = [text(32, y + 17, label, "name")]
    for part, colour in zip(parts, COLOURS, strict=False):
        drawn.append(bar(left, y, part * width - 3, 24, colour))
        if part * width >= LABEL:
            drawn.append(text(left + 10, y + 17, f"{part:.0%}", "share"))
        left += part * width
    return drawn


def draw(
    names: list[str], tracks: list[tuple[str, str]], worth: Tensor, fair: list[float], average: list[float]
) -> str:
    """Return the picture; `worth` is (members, tracks of the list)."""
    column = (WIDTH - BARS - 32) / len(names)
    parts = [text(32, 44, "One playlist, a fair share for everyone", "title")]
    parts.append(text(32, 87, "What each of them wants how much", "faint"))
    for place, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        x = BARS + place * column
        parts += [f'<circle cx="{x + 7:g}" cy="82" r="7" fill="{colour}"/>', text(x + 20, 87, name, "name")]
    for position, (title, artist) in enumerate(tracks):
        y = TOP + position * ROW
        parts += [text(32, y + 20, str(position + 1), "faint"), text(60, y + 14, title, "name")]
        parts.append(text(60, y + 30, artist, "faint"))
        for place, colour in zip(range(len(names)), COLOURS, strict=False):
            length = float(worth[place, position] / worth.max()) * (column - 24)
            parts.append(bar(BARS + place * column, y + 11, length, 10, colour))
    end = TOP + len(tracks) * ROW + 24
    parts += [text(32, end, "Who gets how much of the list", "faint")]
    parts += split_bar(end + 16, "fair_share", fair)
    parts += split_bar(end + 52, "average", average)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end + 100}" role="img">
<style>
  text {{ font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1c1e21 }}
  .title {{ font-size: 22px; font-weight: 650 }} .name {{ font-weight: 550 }}
  .faint {{ fill: #6a7078; font-size: 13px }}
  .share {{ fill: #fff; font-weight: 650; font-size: 13px }} .page {{ fill: #fff; stroke: #e2e5e9 }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #eceff3 }} .faint {{ fill: #9aa3ad }} .page {{ fill: #15181c; stroke: #2c3138 }}
  }}
</style>
<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{end + 99}" rx="14"/>
{chr(10).join(parts)}
</svg>
"""


def main(users_file: str, model_folder: str, out: str, *user_ids: str) -> None:
    """Write the picture of one group."""
    users = [json.loads(line) for line in Path(users_file).read_text(encoding="utf-8").splitlines()]
    first_names = {str(user["user_id"]): user["name"].split()[0] for user in users}
    artifact = ArtifactStore(Path(model_folder).parent).load(Path(model_folder).name)
    model = recommender_of(artifact)
    user_rows = model.users.rows(user_ids).tolist()
    worth = sharpened(model, user_rows)
    fair = playlist(model, user_rows, "fair_share")
    tracks = [(artifact.catalogue.titles[row] or "", artifact.catalogue.artists[row] or "") for row in fair]
    average = shares(worth, playlist(model, user_rows, "average"))
    names = [first_names[user_id] for user_id in user_ids]
    Path(out).write_text(draw(names, tracks, worth[:, fair], shares(worth, fair), average), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
