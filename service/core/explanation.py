"""Why a playlist is what it is: whom each track is for and on what grounds, and what each member gets of the whole.

Nothing here decides a ranking: `explain` looks again at what `rank_groups` chose, whatever the strategy was. It costs
a pass over the catalogue for every member, so it runs only for those who ask.

r_ui is relevance, 0..1, and u's utility of a list L is U_u(L) = sum over L of r_ui ** p, the measure that `fair_share`
shares out: the power p, `Calibration.sharpness`, makes a favourite worth more than two lukewarm tracks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.calibration import Calibration
from service.core.group import GroupRanking
from service.core.query import GroupQuery, Member, excluded_rows, history_of, known_to
from service.core.quota import Quota
from service.core.ranking import top_k
from service.core.recommender import Recommender
from service.core.rules import LONGER, Admission, Rules, walk
from service.core.sentences import KNOWN, Chosen
from service.core.strategies import SENTENCES

TOP_TRACKS: Final = 50
"""A member's top tracks are so many of those that they played most."""

FAVOURITES: Final = 30
"""Tastes are compared by so many tracks of the whole catalogue that each member likes best, whatever filters say."""

PICKED_FROM: Final = 0.5
"""A track is for those who gain at least this part of what the one who gains most does."""

LUKEWARM: Final = 0.5
"""A member who likes more than this part of the catalogue better has no taste for a track."""

_SCORES_AT_ONCE: Final = 1_000_000
"""Scores worked on at a time; in the end 4 bytes a member and track are held."""

Reason = Literal["liked", "top_track", "played", "skipped", "popular", "lukewarm", "similar_to", "taste"]
"""The first of these that is true of a member and a track of the list:

liked       they named it among the tracks they like
top_track   it is among the `TOP_TRACKS` tracks that they played most
played      they played it
skipped     they have it in the training data, but never played or liked it there
popular     the strategy had no more tracks to name: it fills the list, as of those left it has most listeners
lukewarm    they score more than half of the catalogue higher
similar_to  new to them; of what they played and like, `because_of` adds most to its score
taste       new to them; they score it high though no single track of theirs speaks for it
"""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a member has to do with a track of the list."""

    member: int
    """Position in the query."""
    score: float | None
    """Percentile in their own ranking; None for a stranger."""
    played: bool
    reason: Reason
    because_of: int | None = None
    """Row of a track they played or like, with the reason `similar_to`."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a playlist holds for whom."""

    picked_for: list[list[int]]
    """For each track, the members (by position in the query) who gain most by it; none where it fills the list."""
    opinions: list[list[Opinion]]
    """For each track, one of every member with a taste; of strangers only where popularity speaks."""
    satisfaction: dict[int, float]
    """U_u(L) over that of the best list of this length that u alone could get, by member; none for those to whom
    nothing that the filters leave is worth anything."""
    taste_match: float | None
    """Mean over pairs u, v of how much of U_u(u's favourites) v's favourites hold; None with fewer than two tastes."""
    brings_together: int | None
    """Row of the track with the highest lowest percentile; None where somebody likes nothing of the list."""
    sentences: list[str | None]
    """For each track what the strategy says of it; members are named as `{0}`, `{1}`, ..., by their place among those
    with a taste. None where the track fills the list, and throughout with fewer than two tastes or if others voted."""

    @property
    def shares(self) -> dict[int, float]:
        """Return satisfaction over its sum, by member; adds up to 1."""
        total = sum(self.satisfaction.values())
        return {member: value / total for member, value in self.satisfaction.items()} if total > 0 else {}


def explain_groups(model: Recommender, playlists: Sequence[tuple[GroupQuery, GroupRanking]]) -> list[Explanation]:
    """Return one explanation a playlist, in order."""
    return [explain(model, query, ranking) for query, ranking in playlists]


@torch.inference_mode()
def explain(model: Recommender, query: GroupQuery, ranking: GroupRanking) -> Explanation:
    """Explain a playlist that `rank_groups` made of this query with this model."""
    voters = ranking.voters
    if not voters or not ranking.rows:
        opinions = _transposed([_stranger(place, ranking) for place in range(len(query.members))])
        return Explanation([[] for _ in ranking.rows], opinions, {}, None, None, [None] * len(ranking.rows))
    vectors = _vectors(model, query, ranking)
    relevance = _relevance(model, vectors)
    power = model.calibration.sharpness
    taste_match = _taste_match(_utilities(relevance, top_k(relevance, FAVOURITES)[1].flatten(), power), len(voters))
    _forget_what_is_worth_nothing(relevance, model, query, voters)
    utilities = _utilities(relevance, torch.tensor(ranking.rows, device=relevance.device), power)
    best = _best(relevance, _kept_out(model, query), len(ranking.rows), power, _kept_to(query.quota, ranking))
    had = zip(voters, utilities.sum(axis=1).tolist(), best.tolist(), strict=True)
    return Explanation(
        picked_for=_picked_for(utilities, best, ranking),
        opinions=_transposed(_opinions(model, query, ranking, vectors)),
        satisfaction={voter: min(1.0, utility / most) for voter, utility, most in had if most > 0},
        taste_match=taste_match,
        brings_together=_brings_together(ranking),
        sentences=_sentences(model, query, ranking, relevance),
    )


def _vectors(model: Recommender, query: GroupQuery, ranking: GroupRanking) -> Tensor:
    """Return the vectors (voters, dim) of the members with a taste."""
    if ranking.vectors is not None:
        return ranking.vectors
    return model.user_vectors(torch.tensor([query.members[voter].user_row for voter in ranking.voters]))


def _relevance(model: Recommender, vectors: Tensor) -> Tensor:
    """Return the relevance of every track to each member, (members, tracks): one pass for all that follows."""
    parts = []
    for some in torch.split(vectors, max(1, _SCORES_AT_ONCE // len(model.tracks))):
        scores = model.score(some)
        parts.append(Calibration.measure(scores).relevance(scores))
    return torch.cat(parts)


def _forget_what_is_worth_nothing(
    relevance: Tensor, model: Recommender, query: GroupQuery, voters: Sequence[int]
) -> None:
    """Set to 0 what `discovery` says is worth nothing to a member: what they have or like."""
    if query.discovery:
        for of_member, voter in zip(relevance, voters, strict=True):
            of_member[torch.from_numpy(known_to(model, query.members[voter]))] = 0


def _kept_out(model: Recommender, query: GroupQuery) -> NDArray[np.int64]:
    """Return the rows that nobody in the group could have got."""
    return np.union1d(excluded_rows(model, query), query.already_played).astype(np.int64)


def _utilities(relevance: Tensor, rows: Tensor, power: int) -> Floats:
    """Return what some tracks (n,) are worth to each member, (members, n)."""
    utilities: Floats = relevance[:, rows].double().pow(power).numpy(force=True)
    return utilities


def _kept_to(quota: Quota | None, ranking: GroupRanking) -> Quota | None:
    """Return the quota that a list has kept to in the end."""
    return None if quota is None else replace(quota, most=max(quota.most, quota.highest(ranking.rows)))


def _best(relevance: Tensor, kept_out: NDArray[np.int64], length: int, power: int, quota: Quota | None) -> Floats:
    """Return the utility (members,) of the best `length` tracks that a member alone could get."""
    open_to_them = relevance.index_fill(1, torch.from_numpy(kept_out).to(relevance.device), 0)
    if quota is not None:
        return np.array([_best_within(quota, of_member, length, power) for of_member in open_to_them])
    best: Floats = top_k(open_to_them, length)[0].double().pow(power).sum(dim=1).numpy(force=True)
    return best


def _best_within(quota: Quota, relevance: Tensor, length: int, power: int) -> float:
    """Return the same of one member, relevance (tracks,), for lists that keep to a quota."""
    rules, count = Rules(quota), length
    rows = top_k(relevance[None], count)[1][0]
    while count < len(relevance) and not rules.suffice(rows.numpy(force=True), length):
        count *= LONGER
        rows = top_k(relevance[None], count)[1][0]
    chosen = list(islice(walk(rows.tolist(), Admission(rules)), length))
    return float(relevance[chosen].double().pow(power).sum())


def _picked_for(utilities: Floats, best: Floats, ranking: GroupRanking) -> list[list[int]]:
    """Return for each track who gains at least `PICKED_FROM` of the highest gain, gain being utility over `best`."""
    gains = np.divide(utilities, best[:, None], out=np.zeros_like(utilities), where=best[:, None] > 0)
    highest = gains.max(axis=0)
    gaining = (gains > 0) & (gains >= PICKED_FROM * highest)
    gaining[:, len(ranking.rows) - ranking.filled :] = False
    return [[ranking.voters[place] for place in np.flatnonzero(column).tolist()] for column in gaining.T]


def _taste_match(utilities: Floats, members: int) -> float | None:
    """Return how alike the members are, 0..1, from what everybody's favourites are worth to everybody.

    `utilities` is (members, members * favourites). A favourite that its own member has no use for is none.
    """
    worth = utilities.reshape(members, members, -1)
    own = worth[np.arange(members), np.arange(members)]
    sums = np.einsum("uvi,vi->uv", worth, (own > 0).astype(np.float64))
    ideals = own.sum(axis=1)
    pairs = (ideals[:, None] > 0) & ~np.eye(members, dtype=np.bool_)
    if not pairs.any():
        return None
    parts = np.divide(sums, ideals[:, None], out=np.zeros_like(sums), where=ideals[:, None] > 0)
    return min(1.0, float(parts[pairs].mean()))


def _brings_together(ranking: GroupRanking) -> int | None:
    """Return the row of the track whose least fond member is fondest of it, the first of equals."""
    lowest = np.min(ranking.member_scores, axis=0)
    place = int(lowest.argmax())
    return ranking.rows[place] if len(ranking.voters) > 1 and lowest[place] > 0 else None


def _sentences(model: Recommender, query: GroupQuery, ranking: GroupRanking, relevance: Tensor) -> list[str | None]:
    """Return what the strategy says of each track, from the relevance (members, tracks) of every track."""
    chosen, filled = ranking.rows[: len(ranking.rows) - ranking.filled], [None] * ranking.filled
    if len(ranking.voters) < 2 or not chosen or not ranking.members_alone:
        return [None] * len(ranking.rows)
    excluded = torch.from_numpy(excluded_rows(model, query)).to(relevance.device)
    best = top_k(relevance.index_fill(1, excluded, 0), KNOWN)[0].numpy(force=True)
    weights = np.array([query.members[voter].weight for voter in ranking.voters], dtype=np.float32)
    percentiles = np.array(ranking.member_scores, dtype=np.float32)
    said: list[str | None] = []
    while len(said) < len(chosen):  # a run knows of those before it what it knows of what was played
        run = slice(len(said), min(len(chosen), _end_of_run(ranking, len(said))))
        played = [*query.already_played, *chosen[: run.start]]
        said += SENTENCES[query.strategy](
            Chosen(
                rows=np.array(chosen[run], dtype=np.int64),
                votes=relevance[:, chosen[run]].numpy(force=True),
                percentiles=percentiles[:, run],
                weights=weights,
                best=best,
                played_rows=np.array(played, dtype=np.int64),
                played=relevance[:, played].numpy(force=True),
                power=model.calibration.sharpness,
            )
        )
    return [*said, *filled]


def _end_of_run(ranking: GroupRanking, place: int) -> int:
    """Return where the list ends that a track at some place of a ranking was ranked in."""
    ends = accumulate(ranking.runs or (len(ranking.rows),))
    return next(end for end in ends if end > place)


_Line = list[Opinion | None]
"""What one member has to do with each track of a list; None where nothing can be said."""


def _transposed(lines: Sequence[_Line]) -> list[list[Opinion]]:
    """Return for each track what there is to say of each member."""
    return [[opinion for opinion in column if opinion is not None] for column in zip(*lines, strict=True)]


def _opinions(model: Recommender, query: GroupQuery, ranking: GroupRanking, vectors: Tensor) -> list[_Line]:
    """Return a line for every member of the group."""
    place_of = {voter: place for place, voter in enumerate(ranking.voters)}
    return [
        _line(model, position, member, vectors[place_of[position]], ranking.member_scores[place_of[position]], ranking)
        if position in place_of
        else _stranger(position, ranking)
        for position, member in enumerate(query.members)
    ]


def _stranger(position: int, ranking: GroupRanking) -> _Line:
    """Return the line of a member of whom nothing is known: only what is popular is there for them."""
    popular = Opinion(position, None, played=False, reason="popular")
    return [None] * (len(ranking.rows) - ranking.filled) + [popular] * ranking.filled


def _line(
    model: Recommender, position: int, member: Member, vector: Tensor, scores: Sequence[float], ranking: GroupRanking
) -> _Line:
    """Return the line of a member with a taste."""
    played, top, skipped = _heard(model, member)
    facts = _facts(member, played, top, skipped, scores, ranking)
    new = [row for row, fact in zip(ranking.rows, facts, strict=True) if fact is None]
    because = _because_of(model, vector, history_of(model, member), new)
    return [
        Opinion(position, score, row in played, fact or ("similar_to" if row in because else "taste"), because.get(row))
        for row, score, fact in zip(ranking.rows, scores, facts, strict=True)
    ]


def _facts(
    member: Member,
    played: set[int],
    top: set[int],
    skipped: set[int],
    scores: Sequence[float],
    ranking: GroupRanking,
) -> list[Reason | None]:
    """Return the reasons that need no model; None where only the model can tell."""
    filled_from = len(ranking.rows) - ranking.filled
    liked = set(member.named)
    facts: list[Reason | None] = []
    for place, (row, score) in enumerate(zip(ranking.rows, scores, strict=True)):
        if row in liked:
            facts.append("liked")
        elif row in played:
            facts.append("top_track" if row in top else "played")
        elif row in skipped:
            facts.append("skipped")
        elif place >= filled_from:
            facts.append("popular")
        else:
            facts.append("lukewarm" if score < LUKEWARM else None)
    return facts


def _heard(model: Recommender, member: Member) -> tuple[set[int], set[int], set[int]]:
    """Return the tracks that a member played, those of them played most, of equals the lower row, and the skipped."""
    if member.user_row is None:
        return set(), set(), set()
    rows, plays = model.history.tracks_of(member.user_row), model.history.scores_of(member.user_row)
    played, skipped = rows[plays > 0], rows[plays <= 0]
    top = played[np.argsort(-plays[plays > 0], kind="stable")[:TOP_TRACKS]]
    return set(played.tolist()), set(top.tolist()), set(skipped.tolist())


def _because_of(model: Recommender, vector: Tensor, history: NDArray[np.int64], rows: Sequence[int]) -> dict[int, int]:
    """Return for each of these tracks the one of a history that adds most to its score, where any adds to it."""
    if not len(history) or not rows:
        return {}
    heard, asked = (torch.tensor(table, device=vector.device) for table in (history, rows))
    parts = model.contributions(vector, heard, asked).numpy(force=True)
    most = parts.argmax(axis=0)  # of equals the lower row
    named = zip(rows, parts.max(axis=0).tolist(), history[most].tolist(), strict=True)
    return {row: cause for row, part, cause in named if part > 0}
