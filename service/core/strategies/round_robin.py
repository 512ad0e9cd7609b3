"""Members take turns at their best remaining track (Masthoff's "fairness")."""

import numpy as np
from torch import Tensor

from service.core.ballots import NONE, Ballots
from service.core.sentences import Chosen, name


def round_robin(ballots: Ballots, k: int) -> Tensor:
    """Let members pick in request order; a member of weight 2 has two turns where one of weight 1 has one."""
    values, rows = ballots.best_tracks(k)
    favourites = rows.masked_fill(values <= 0, NONE).tolist()
    picks = [list(_pick(*group, k)) for group in zip(favourites, ballots.weights.tolist(), strict=True)]
    return rows.new_tensor([[*picked, *[NONE] * (k - len(picked))] for picked in picks])


def _pick(favourites: list[list[int]], weights: list[float], k: int) -> dict[int, int]:
    """Return the tracks in the order of picking, and whose turn it was; favourites are at least as long as the list.

    Turns are nginx's smooth weighted round-robin: who is owed most picks and then owes the whole of a round.
    """
    queues = [iter(rows) for rows in favourites]
    owed = dict.fromkeys(range(len(weights)), 0.0)
    picked: dict[int, int] = {}
    while owed and len(picked) < k:
        for member in owed:
            owed[member] += weights[member]
        turn = max(owed, key=lambda member: (owed[member], -member))
        track = next((row for row in queues[turn] if row not in picked), NONE)
        if track == NONE:
            del owed[turn]
            continue
        owed[turn] -= sum(weights[member] for member in owed)
        picked[track] = turn
    return picked


def round_robin_says(chosen: Chosen) -> list[str | None]:
    """Say whose turn it was.

    Among the tracks of the list alone everybody picks as they did among all.
    """
    tracks = chosen.votes.shape[1]
    order = (-chosen.votes).argsort(axis=1, kind="stable")
    liked = np.take_along_axis(chosen.votes, order, axis=1) > 0
    favourites = np.pad(np.where(liked, order, NONE), ((0, 0), (0, 1)), constant_values=NONE)
    turns = _pick(favourites.tolist(), chosen.weights.tolist(), tracks)
    return [f"{name(turns[track])}'s turn" for track in range(tracks)]
