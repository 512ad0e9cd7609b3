"""Slow, obvious versions that judge the fast ones."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction


def best_first(scores: Sequence[float], k: int) -> list[int]:
    """Sort everything, keep the head."""
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]


def percentile(own_scores: Sequence[float], score: float) -> float:
    """Count the other tracks that score lower."""
    return sum(other < score for other in own_scores) / max(1, len(own_scores) - 1)


Admits = Callable[[Sequence[int], int], bool]
"""Whether a track may come into a list that begins so."""


def anything(picked: Sequence[int], track: int) -> bool:
    return True


def at_most(most: int, artists: Sequence[int]) -> Admits:
    """So many tracks of one artist, -1 being nobody."""

    def admits(picked: Sequence[int], track: int) -> bool:
        return artists[track] < 0 or sum(artists[other] == artists[track] for other in picked) < most

    return admits


def new_to_all(share: Fraction, heard: Sequence[bool]) -> Admits:
    """Such a share, rounded down, of every list is new."""

    def admits(picked: Sequence[int], track: int) -> bool:
        listed = [*picked, track]
        return not heard[track] or sum(not heard[row] for row in listed) >= math.floor(share * len(listed))

    return admits


def unlike(share: Fraction, near: Sequence[Sequence[int]]) -> Admits:
    """Such a share, rounded down, of every list resembles nothing before."""

    def resembles(listed: Sequence[int], place: int) -> bool:
        return any(listed[place] in near[other] for other in listed[:place])

    def admits(picked: Sequence[int], track: int) -> bool:
        listed = [*picked, track]
        fresh = sum(not resembles(listed, place) for place in range(len(listed)))
        return not resembles(listed, len(picked)) or fresh >= math.floor(share * len(listed))

    return admits


def all_of(*rules: Admits) -> Admits:
    """What every one of them admits."""
    return lambda picked, track: all(admits(picked, track) for admits in rules)


def walked(order: Sequence[int], k: int, admits: Admits) -> list[int]:
    """Look from the top for what may come, and again."""
    picked: list[int] = []
    while len(picked) < k:
        allowed = [track for track in order if track not in picked and admits(picked, track)]
        if not allowed:
            break
        picked.append(allowed[0])
    return picked


def fair_share(
    relevance: Sequence[Sequence[float]],
    weights: Sequence[float],
    k: int,
    admits: Admits = anything,
    reference: int = 30,
    power: int = 3,
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
            if track not in picked and admits(picked, track)
        }
        if not gains:
            break
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


def favourites(member: Sequence[float], number: int) -> set[int]:
    """All tracks that a member likes, and no less than the last of their best so many."""
    last = sorted(member, reverse=True)[:number][-1]
    return {track for track, r in enumerate(member) if r >= last and r > 0}


def mean_relevance(relevance: Sequence[Sequence[float]], weights: Sequence[float], track: int) -> float:
    """What a track is worth to a group."""
    return sum(weight * member[track] for weight, member in zip(weights, relevance, strict=True)) / sum(weights)


def greedy(
    relevance: Sequence[Sequence[float]],
    weights: Sequence[float],
    k: int,
    gain: Callable[[int], float],
    take: Callable[[int], None],
    admits: Admits,
) -> list[int]:
    """Try every track in every step; of equals the higher mean relevance, then the lower row."""
    left = list(range(len(relevance[0])))
    means = [mean_relevance(relevance, weights, track) for track in left]
    picked: list[int] = []
    while (allowed := [track for track in left if admits(picked, track)]) and len(picked) < k:
        picked.append(max(allowed, key=lambda track: (gain(track), means[track])))
        left.remove(picked[-1])
        take(picked[-1])
    return picked


def spgreedy(
    relevance: Sequence[Sequence[float]], weights: Sequence[float], k: int, admits: Admits = anything
) -> list[int]:
    """Who had nothing in this round is waiting."""
    best = [favourites(member, 50) for member in relevance]
    waiting = [True] * len(weights)

    def covered(track: int) -> float:
        return sum(w for w, waits, own in zip(weights, waiting, best, strict=True) if waits and track in own)

    def satisfy(track: int) -> None:
        waiting[:] = [waits and track not in own for waits, own in zip(waiting, best, strict=True)]
        waiting[:] = waiting if any(waiting) else [True] * len(weights)

    return greedy(relevance, weights, k, covered, satisfy, admits)


def gfar(
    relevance: Sequence[Sequence[float]], weights: Sequence[float], k: int, admits: Admits = anything
) -> list[int]:
    """Of 20 favourites the first has 20 points, the last 1."""
    chances = []
    for member in relevance:
        points = {track: 20 - sum(r > member[track] for r in member) for track in favourites(member, 20)}
        of_all = sum(20 - place for place in range(min(20, sum(r > 0 for r in member))))
        chances.append([points.get(track, 0) / max(1, of_all) for track in range(len(member))])
    no_hit = [1.0] * len(weights)

    def wanted(track: int) -> float:
        return round(sum(w * none * p[track] for w, none, p in zip(weights, no_hit, chances, strict=True)), 10)

    def hit(track: int) -> None:
        no_hit[:] = [none * (1 - p[track]) for none, p in zip(no_hit, chances, strict=True)]

    return greedy(relevance, weights, k, wanted, hit, admits)


def ep_fuzzda(
    relevance: Sequence[Sequence[float]], weights: Sequence[float], k: int, admits: Admits = anything
) -> list[int]:
    """Nobody can be given more than they are owed."""
    received = [0.0] * len(weights)

    def paid(track: int) -> float:
        total = sum(received) + sum(member[track] for member in relevance)
        owed = [max(0.0, total * w / sum(weights) - had) for w, had in zip(weights, received, strict=True)]
        return sum(min(member[track], debt) for member, debt in zip(relevance, owed, strict=True))

    def take(track: int) -> None:
        received[:] = [had + member[track] for had, member in zip(received, relevance, strict=True)]

    return greedy(relevance, weights, k, paid, take, admits)


def greedy_lm(
    relevance: Sequence[Sequence[float]], weights: Sequence[float], k: int, admits: Admits = anything
) -> list[int]:
    """Half the mean utility, half the least, in which a light member's misery counts less."""
    received = [0.0] * len(weights)
    picked: list[int] = []

    def balanced(track: int) -> float:
        utility = [(had + r[track]) / (len(picked) + 1) for had, r in zip(received, relevance, strict=True)]
        mean = sum(w * u for w, u in zip(weights, utility, strict=True)) / sum(weights)
        least = min(1 - w / max(weights) * (1 - u) for w, u in zip(weights, utility, strict=True))
        return round(mean / 2 + least / 2, 9)

    def take(track: int) -> None:
        picked.append(track)
        received[:] = [had + member[track] for had, member in zip(received, relevance, strict=True)]

    return greedy(relevance, weights, k, balanced, take, admits)


def round_robin(
    relevance: Sequence[Sequence[float]], weights: Sequence[float], k: int, admits: Admits = anything
) -> list[int]:
    """Who is owed most picks their best of what may come; who finds nothing is out."""
    owed = dict.fromkeys(range(len(weights)), 0.0)
    picked: list[int] = []
    while owed and len(picked) < k:
        owed = {member: debt + weights[member] for member, debt in owed.items()}
        turn = max(owed, key=lambda member: (owed[member], -member))
        ranking = best_first(relevance[turn], len(relevance[turn]))
        wanted = [track for track in ranking if relevance[turn][track] > 0 and track not in picked]
        wanted = [track for track in wanted if admits(picked, track)]
        if not wanted:
            del owed[turn]
            continue
        owed[turn] -= sum(weights[member] for member in owed)
        picked.append(wanted[0])
    return picked
