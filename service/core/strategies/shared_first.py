"""What several members play comes first, the rest is drawn at random: the basic model's strategy."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.core.ballots import Ballots
from service.core.ranking import NONE
from service.core.sentences import Chosen, names

POOLED: Final = 50
"""Each member brings so many of their highest-scored tracks."""


def shared_first(ballots: Ballots, k: int) -> Tensor:
    """Pool each member's top `POOLED`; tracks in more tops first, the remaining slots drawn from the pool.

    Works on the model's own scores: with play counts, ties go to the higher total. The draw depends on the
    group's seed alone. Weights count as members do, and raise the odds of the member's tracks in the draw.
    """
    votes, weights = ballots.votes, ballots.weights.numpy(force=True)
    lists = []
    for group, seed in enumerate(ballots.seeds):
        allowed = None if ballots.allowed is None else ballots.allowed[group]
        tops = [_top(member, allowed) for member in votes[group]]
        rows = _rank_pool(tops, votes[group], weights[group], seed)[:k]
        lists.append(np.pad(rows, (0, k - len(rows)), constant_values=NONE))
    return torch.from_numpy(np.stack(lists)).to(votes.device)


def _top(votes: Tensor, allowed: Tensor | None) -> NDArray[np.int64]:
    """Return the rows of one member's highest-scored tracks, ties by row; only what scores above 0."""
    liked = votes > 0 if allowed is None else (votes > 0) & allowed
    rows = liked.nonzero()[:, 0]
    order = torch.argsort(votes[rows], descending=True, stable=True)
    return rows[order[:POOLED]].numpy(force=True)


def _rank_pool(
    tops: list[NDArray[np.int64]], votes: Tensor, weights: NDArray[np.float32], seed: int
) -> NDArray[np.int64]:
    """Return the whole pool in the order in which it fills a list."""
    pool, places = np.unique(np.concatenate(tops), return_inverse=True)
    members = np.bincount(places, minlength=len(pool))
    support = np.bincount(places, weights=np.repeat(weights, [len(top) for top in tops]), minlength=len(pool))
    totals = votes[:, torch.from_numpy(pool).to(votes.device)].sum(dim=0).numpy(force=True)
    by_support = np.lexsort((pool, -totals, -support))
    shared = by_support[members[by_support] > 1]
    single = np.flatnonzero(members == 1)
    # Weighted sampling without replacement: Efraimidis & Spirakis 2006, keys log(u) / w.
    keys = np.log(np.random.default_rng(seed).uniform(size=len(single))) / support[single]
    ranked: NDArray[np.int64] = pool[np.concatenate([shared, single[np.argsort(-keys)]])]
    return ranked


def shared_first_says(chosen: Chosen) -> list[str | None]:
    """Say whose favourite it is: with play counts, who play it most."""
    return [_says(np.flatnonzero(top)) for top in chosen.favourites(POOLED).T]


def _says(members: NDArray[np.int64]) -> str | None:
    if not len(members):
        return None
    if len(members) == 1:
        return f"drawn from {names(members)}'s {POOLED} best"
    return f"{names(members)} have it among their {POOLED} best"
