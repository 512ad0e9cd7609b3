"""Slow, obvious versions that judge the fast ones."""

import math
from collections.abc import Sequence


def best_first(scores: Sequence[float], k: int) -> list[int]:
    """Sort everything, keep the head."""
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]


def percentile(own_scores: Sequence[float], score: float) -> float:
    """Count the other tracks that score lower."""
    return sum(other < score for other in own_scores) / max(1, len(own_scores) - 1)


def fair_share(
    relevance: Sequence[Sequence[float]], weights: Sequence[float], k: int, reference: int = 30, power: int = 3
) -> list[int]:
    """Try every track in every step."""
    tracks = range(len(relevance[0]))
    worth = [[r**power for r in member] for member in relevance]
    ideals = [sum(sorted(member, reverse=True)[:reference]) for member in worth]
    values = [[v / ideal if ideal else 0.0 for v in member] for member, ideal in zip(worth, ideals, strict=True)]
    shares = [0.0] * len(weights)
    picked: list[int] = []
    for _ in range(min(k, len(tracks))):
        gains = {
            track: sum(
                weight * math.log1p(member[track] / (share + 0.5 / reference))
                for weight, member, share in zip(weights, values, shares, strict=True)
            )
            for track in tracks
            if track not in picked
        }
        winner = max(gains, key=lambda track: gains[track])
        picked.append(winner)
        shares = [share + member[winner] for share, member in zip(shares, values, strict=True)]
    return picked


def shares(relevance: Sequence[Sequence[float]], rows: Sequence[int], reference: int = 30) -> list[float]:
    """What each member gets of their own ideal list."""
    cubes = [[r**3 for r in member] for member in relevance]
    ideals = [sum(sorted(member, reverse=True)[:reference]) for member in cubes]
    return [sum(member[row] for row in rows if row >= 0) / ideal for member, ideal in zip(cubes, ideals, strict=True)]


def welfare(relevance: Sequence[Sequence[float]], weights: Sequence[float], rows: Sequence[int]) -> float:
    """The objective of fair_share, above that of the empty list."""
    return sum(
        weight * math.log1p(share * 2 * 30) for weight, share in zip(weights, shares(relevance, rows), strict=True)
    )
