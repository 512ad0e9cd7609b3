"""Explanations by their definitions, one track and one pair of members at a time."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from service.core.explanation import FAVOURITES, TOP_TRACKS
from service.core.group import GroupRanking
from service.core.query import Member
from service.core.recommender import Recommender

Table = NDArray[np.float64]


def relevance(scores: Sequence[float]) -> list[float]:
    """0 for the 1 % quantile and below, 1 for the best."""
    low, high = sorted(scores)[int(0.01 * (len(scores) - 1))], max(scores)
    return [min(max((score - low) / (high - low), 0.0), 1.0) if high > low else 0.0 for score in scores]


def utility(opinions: Sequence[float], rows: Sequence[int]) -> float:
    return sum(opinions[row] ** 3 for row in rows)


def best_list(opinions: Sequence[float], allowed: Sequence[int], length: int) -> list[int]:
    """What somebody would get alone, without what is worth nothing to them."""
    return [row for row in sorted(allowed, key=lambda row: (-opinions[row], row))[:length] if opinions[row] > 0]


def satisfaction(opinions: Sequence[float], rows: Sequence[int], allowed: Sequence[int]) -> float | None:
    best = utility(opinions, best_list(opinions, allowed, len(rows)))
    return utility(opinions, rows) / best if best else None


def picked_for(
    opinions: Sequence[Sequence[float]], row: int, length: int, allowed: Sequence[int], voters: Sequence[int]
) -> list[int]:
    """Who gains at least half as much as whoever gains most."""
    bests = [utility(one, best_list(one, allowed, length)) for one in opinions]
    gains = [one[row] ** 3 / best if best else 0.0 for one, best in zip(opinions, bests, strict=True)]
    return [voter for voter, gain in zip(voters, gains, strict=True) if gain > 0 and gain >= max(gains) / 2]


def taste_match(opinions: Sequence[Sequence[float]]) -> float | None:
    favourites = [best_list(one, range(len(one)), FAVOURITES) for one in opinions]
    parts = [
        utility(opinions[u], favourites[v]) / utility(opinions[u], favourites[u])
        for u, v in permutations(range(len(opinions)), 2)
        if favourites[u]
    ]
    return sum(parts) / len(parts) if parts else None


def history(model: Recommender, member: Member) -> list[int]:
    """All they played or like."""
    return sorted({*plays(model, member), *member.liked})


def known(model: Recommender, member: Member) -> set[int]:
    """All they have in the training data, skips included, or like."""
    heard = () if member.user_row is None else model.history.tracks_of(member.user_row).tolist()
    return {*member.liked, *heard}


def plays(model: Recommender, member: Member) -> dict[int, float]:
    if member.user_row is None:
        return {}
    heard = zip(model.history.tracks_of(member.user_row), model.history.scores_of(member.user_row), strict=True)
    return {int(row): float(score) for row, score in heard if score > 0}


def top_tracks(played: dict[int, float]) -> list[int]:
    return sorted(played, key=lambda row: (-played[row], row))[:TOP_TRACKS]


def reason(
    model: Recommender, member: Member, ranking: GroupRanking, line: int, place: int, contributions: Table
) -> str:
    """The first that is true; `line` is the member's among the voters, `contributions` theirs, (history, tracks)."""
    row = ranking.rows[place]
    played = plays(model, member)
    truths = {
        "liked": row in member.liked,
        "top_track": row in top_tracks(played),
        "played": row in played,
        "skipped": row in known(model, member),
        "popular": place >= len(ranking.rows) - ranking.filled,
        "lukewarm": ranking.member_scores[line][place] < 0.5,
        "similar_to": len(contributions) > 0 and contributions[:, row].max() > 0,
        "taste": True,
    }
    return next(name for name, true in truths.items() if true)


def brings_together(ranking: GroupRanking) -> int | None:
    """Sort the list by what each track's least fond member thinks."""
    if len(ranking.voters) < 2:
        return None
    lowest = {row: min(line[place] for line in ranking.member_scores) for place, row in enumerate(ranking.rows)}
    best = max(lowest, key=lambda row: lowest[row], default=None)
    return best if best is not None and lowest[best] > 0 else None
