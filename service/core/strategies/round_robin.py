"""Members take turns at their best remaining track (Masthoff's "fairness")."""

from collections.abc import Sequence

from torch import Tensor

from service.core.ballots import Ballots
from service.core.ranking import NONE
from service.core.rules import LONGER, Admission, Order, Rules
from service.core.sentences import Chosen, name


def round_robin(ballots: Ballots, k: int) -> Tensor:
    """Let members pick in request order; a member of weight 2 has two turns where one of weight 1 has one.

    Whoever would have picked a track that was played has had that turn. Who finds nothing that may come is out.
    """
    most_played = ballots.played.shape[1]
    rows = _favourites(ballots, k + most_played)
    lists = []
    columns = zip(rows.tolist(), ballots.weights.tolist(), ballots.played.tolist(), strict=True)
    for group, (favourites, weights, played) in enumerate(columns):
        heard = set(played)
        rules = Rules() if ballots.rules is None else ballots.rules[group]
        picked = _pick(favourites, weights, k + most_played, Admission(rules, free=heard))
        new = [row for row in picked if row not in heard][:k]
        lists.append([*new, *[NONE] * (k - len(new))])
    return rows.new_tensor(lists)


def _favourites(ballots: Ballots, k: int) -> Tensor:
    """Return what each member likes best, (groups, members, n), then `NONE`: so much that k tracks can be picked."""
    count = k
    while True:
        values, rows = ballots.best_tracks(count, or_played=True)
        liked = rows.masked_fill(values <= 0, NONE)
        if ballots.rules is None or count >= len(ballots.model.tracks):
            return liked
        of_groups = zip(ballots.rules, liked.numpy(force=True), strict=True)
        if all(rules.suffice(own, k) for rules, of_members in of_groups for own in of_members):
            return liked
        count *= LONGER


def _pick(favourites: list[list[int]], weights: list[float], k: int, admission: Admission) -> list[int]:
    """Return the first k tracks in the order of picking."""
    orders = [Order(row for row in rows if row != NONE) for rows in favourites]
    turns = Turns(weights)
    picked: dict[int, None] = {}
    while len(picked) < k and (member := turns.next()) is not None:
        track = orders[member].next(admission)
        while track in picked:
            track = orders[member].next(admission)
        if track is None:
            turns.out(member)
        else:
            turns.had(member)
            picked[track] = None
            admission.take(track)
    return list(picked)


class Turns:
    """Whose turn it is: nginx's smooth weighted round-robin, in which who is owed most picks and then owes a round."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights = weights
        self._owed = dict.fromkeys(range(len(weights)), 0.0)

    def next(self) -> int | None:
        """Return the member whose turn it is, the first of those who are owed alike; None when all are out."""
        if not self._owed:
            return None
        for member in self._owed:
            self._owed[member] += self._weights[member]
        return max(self._owed, key=lambda member: (self._owed[member], -member))

    def had(self, member: int) -> None:
        """Count a turn that a member had."""
        self._owed[member] -= sum(self._weights[each] for each in self._owed)

    def out(self, member: int) -> None:
        """Let a member have no more turns."""
        del self._owed[member]


def round_robin_says(chosen: Chosen) -> list[str | None]:
    """Say whose turn it was.

    Whose turn it is picks the track of the list, unless they like one better that was played. Who likes neither found
    nothing that might come.
    """
    turns = Turns(chosen.weights.tolist())
    played = dict(enumerate(chosen.played_rows.tolist()))
    sentences: list[str | None] = []
    for row, votes in zip(chosen.rows.tolist(), chosen.votes.T, strict=True):
        while (member := turns.next()) is not None:
            options = [(chosen.played[member, place], -other, place) for place, other in played.items()]
            vote, _, place = max([*options, (votes[member], -row, NONE)])
            if vote <= 0:
                turns.out(member)
                continue
            turns.had(member)
            if place == NONE:
                break
            del played[place]
        # What was hardly liked when it was picked may, by rounding, not be liked at all when it is looked at again.
        sentences.append(None if member is None else f"{name(member)}'s turn")
    return sentences
