"""Members take turns at their best remaining track (Masthoff's "fairness")."""

import numpy as np
from torch import Tensor

from service.core.ballots import NONE, Ballots
from service.core.quota import LONGER, Admission
from service.core.sentences import Chosen, name


def round_robin(ballots: Ballots, k: int) -> Tensor:
    """Let members pick in request order; a member of weight 2 has two turns where one of weight 1 has one.

    Whoever would have picked a track that was played has had that turn.
    """
    most_played = ballots.played.shape[1]
    rows = _favourites(ballots, k + most_played)
    lists = []
    columns = zip(rows.tolist(), ballots.weights.tolist(), ballots.played.tolist(), strict=True)
    for group, (favourites, weights, played) in enumerate(columns):
        heard = set(played)
        admission = None if ballots.quotas is None else ballots.quotas.admission(group, free=heard)
        picked = [row for row in _pick(favourites, weights, k + most_played, admission) if row not in heard][:k]
        lists.append([*picked, *[NONE] * (k - len(picked))])
    return rows.new_tensor(lists)


def _favourites(ballots: Ballots, k: int) -> Tensor:
    """Return what each member likes best, (groups, members, n), then `NONE`: so much that k tracks can be picked."""
    count = k
    while True:
        values, rows = ballots.best_tracks(count, or_played=True)
        liked = rows.masked_fill(values <= 0, NONE)
        if ballots.quotas is None or count >= len(ballots.model.tracks):
            return liked
        of_members = ballots.quotas.of(np.arange(ballots.groups).repeat(ballots.members))
        if of_members.suffice(liked.flatten(0, 1).numpy(force=True), k):
            return liked
        count *= LONGER


def _pick(
    favourites: list[list[int]], weights: list[float], k: int, admission: Admission | None = None
) -> dict[int, int]:
    """Return the first k tracks in the order of picking, and whose turn it was.

    Turns are nginx's smooth weighted round-robin: who is owed most picks and then owes the whole of a round.
    """
    queues = [iter(rows) for rows in favourites]
    owed = dict.fromkeys(range(len(weights)), 0.0)
    picked: dict[int, int] = {}
    while owed and len(picked) < k:
        for member in owed:
            owed[member] += weights[member]
        turn = max(owed, key=lambda member: (owed[member], -member))
        track = next((row for row in queues[turn] if row not in picked and _may_come(row, admission)), NONE)
        if track == NONE:
            del owed[turn]
            continue
        owed[turn] -= sum(weights[member] for member in owed)
        picked[track] = turn
    return picked


def _may_come(row: int, admission: Admission | None) -> bool:
    return admission is None or admission.admits(row)


def round_robin_says(chosen: Chosen) -> list[str | None]:
    """Say whose turn it was.

    Among the tracks of the list and those played alone everybody picks as they did among all.
    """
    votes = np.concatenate([chosen.played, chosen.votes], axis=1)
    rows = np.concatenate([chosen.played_rows, chosen.rows])
    played, tracks = len(chosen.played_rows), len(rows)
    order = np.lexsort((np.broadcast_to(rows, votes.shape), -votes))  # of equals the lower row, as they picked
    liked = np.take_along_axis(votes, order, axis=1) > 0
    turns = _pick(np.where(liked, order, NONE).tolist(), chosen.weights.tolist(), tracks)
    # What was hardly liked when it was picked may, by rounding, not be liked at all when it is looked at again.
    return [f"{name(turns[track])}'s turn" if track in turns else None for track in range(played, tracks)]
