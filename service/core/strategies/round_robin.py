"""Members take turns at their best remaining track (Masthoff's "fairness")."""

from torch import Tensor

from service.core.ballots import NONE, Ballots


def round_robin(ballots: Ballots, k: int) -> Tensor:
    """Let members pick in request order; a member of weight 2 has two turns where one of weight 1 has one."""
    values, rows = ballots.best_tracks(k)
    favourites = rows.masked_fill(values <= 0, NONE).tolist()
    picks = [_pick(*group, k) for group in zip(favourites, ballots.weights.tolist(), strict=True)]
    return rows.new_tensor(picks)


def _pick(favourites: list[list[int]], weights: list[float], k: int) -> list[int]:
    """Return the tracks in the order of picking; each member's favourites are at least as long as the list.

    Turns are nginx's smooth weighted round-robin: who is owed most picks and then owes the whole of a round.
    """
    queues = [iter(rows) for rows in favourites]
    owed = dict.fromkeys(range(len(weights)), 0.0)
    picked: dict[int, None] = {}
    while owed and len(picked) < k:
        for member in owed:
            owed[member] += weights[member]
        turn = max(owed, key=lambda member: (owed[member], -member))
        track = next((row for row in queues[turn] if row not in picked), NONE)
        if track == NONE:
            del owed[turn]
            continue
        owed[turn] -= sum(weights[member] for member in owed)
        picked[track] = None
    return [*picked, *[NONE] * (k - len(picked))]
