"""What a ranking is worth: every metric that Tutti reports, and how sure we are of it.

Equal scores are averaged over all their orders (McSherry & Najork, "Computing Information Retrieval Performance
Measures Efficiently in the Presence of Tied Scores", ECIR 2008), so no figure depends on where the truth happens to
stand among its equals, and a model without an opinion scores what chance does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from service.core.errors import DataError
from service.core.ids import UNKNOWN
from service.core.ranking import Ranking, top_k
from training.data import Pairs, PreparedData

CUTOFFS: Final = (5, 10, 30)
"""Lengths of list that are judged unless somebody asks for others."""

RELEVANT: Final = 1.0
"""A held-out pair counts as relevant from this score on: one play or one like."""

_SCORES_AT_ONCE: Final = 4_000_000
"""Scores held at a time, 16 MB."""

_USERS_AT_ONCE: Final = 200
"""Listeners whose lists are made together where nothing else is known of the size of their scores."""

Score = Callable[[Tensor], Tensor]
"""Scores of every track (n, tracks) for user rows (n,), as a new tensor."""

Column = NDArray[np.float64]
"""One figure for each user or each group, NaN where it does not apply."""


class Positions(NamedTuple):
    """What to expect at the best K positions of n rankings, over all orders of equal scores; all (n, K), float64."""

    relevance: Tensor
    """Probability that the track at this position is relevant."""
    first_hit: Tensor
    """Probability that it is the first relevant one."""
    precision: Tensor
    """Expected precision of the list down to this position where its track is relevant, 0 where it is not."""

    @classmethod
    def of_lists(cls, hits: Tensor) -> "Positions":
        """Return the positions of lists whose order is settled: hits (n, K), true where a track is relevant."""
        relevance = hits.double()
        found = relevance.cumsum(dim=1)
        return cls(relevance, relevance * (found == 1), relevance * found / _ranks(hits.shape[1]))

    @classmethod
    def of_scores(cls, scores: Tensor, relevant: Tensor, best: Ranking, k: int) -> "Positions":
        """Return the best k positions of score rows (n, tracks); relevant is (n, tracks) of bool, excluded is -inf.

        `best` holds one track more than the k, where there is one, to tell whether the last tie goes on.

        A tie of n tracks, r of them relevant, stands behind a others, R of them relevant. At position p of it the
        track is relevant with probability r / n, and then R + (j - 1) (r - 1) / (n - 1) relevant ones are expected
        before it, j = p - a. It is the first hit (R = 0) with probability C(n - j, r - 1) / C(n, r).
        """
        values = best.scores[:, :k]
        hits = relevant.gather(1, best.rows[:, :k]).double()
        starts = torch.ones_like(values, dtype=torch.bool)
        starts[:, 1:] = values[:, 1:] != values[:, :-1]
        tie = starts.long().cumsum(dim=1) - 1
        size = torch.zeros_like(hits).scatter_add_(1, tie, torch.ones_like(hits))
        r = torch.zeros_like(hits).scatter_add_(1, tie, hits)
        on = (best.scores[:, k:] == values[:, -1:]).any(dim=1).nonzero()[:, 0]
        lowest = scores[on] == values[on, -1:]
        size[on, tie[on, -1]] = lowest.sum(dim=1).double()
        r[on, tie[on, -1]] = (lowest & relevant[on]).sum(dim=1).double()
        before, found = size.cumsum(dim=1) - size, r.cumsum(dim=1) - r
        size, r, before, found = (table.gather(1, tie) for table in (size, r, before, found))
        r = r.masked_fill(values == -torch.inf, 0)  # excluded tracks fill no place

        ranks = _ranks(values.shape[1])
        j = ranks - before
        relevance = r / size
        earlier = found + (j - 1) * (r - 1) / (size - 1).clamp(min=1)
        first_hit = torch.zeros_like(relevance)
        possible = (found == 0) & (r > 0) & (size - j >= r - 1)
        n, r, j = size[possible], r[possible], j[possible]
        first_hit[possible] = torch.exp(_log_choose(n - j, r - 1) - _log_choose(n, r))
        return cls(relevance, first_hit, relevance * (earlier + 1) / ranks)


def _ranks(k: int) -> Tensor:
    return torch.arange(1, k + 1, dtype=torch.float64)


def _log_choose(n: Tensor, r: Tensor) -> Tensor:
    """Return the logarithm of the binomial coefficient, n over r."""
    return torch.lgamma(n + 1) - torch.lgamma(r + 1) - torch.lgamma(n - r + 1)


def discounts(k: int) -> Tensor:
    """Return 1 / log2(position + 1) for positions 1..k (Järvelin & Kekäläinen 2002)."""
    return 1 / torch.log2(_ranks(k) + 1)


def precision(positions: Positions, _relevant: Tensor, k: int) -> Tensor:
    """Return the share of the k tracks that are relevant; places a short catalogue leaves empty count as misses."""
    return positions.relevance[:, :k].sum(dim=1) / k


def recall(positions: Positions, relevant: Tensor, k: int) -> Tensor:
    """Return the share of the relevant tracks that are among the k."""
    return positions.relevance[:, :k].sum(dim=1) / relevant


def ndcg(positions: Positions, relevant: Tensor, k: int) -> Tensor:
    """Return discounted hits over those of the best possible list, relevance being 0 or 1."""
    found = positions.relevance[:, :k]
    ideal = discounts(k).cumsum(dim=0)[relevant.clamp(max=k).long() - 1]
    return found @ discounts(k)[: found.shape[1]] / ideal


def average_precision(positions: Positions, relevant: Tensor, k: int) -> Tensor:
    """Return the sum of precision at each hit over min(k, relevant), as in the RecSys challenges; MAP is its mean."""
    return positions.precision[:, :k].sum(dim=1) / relevant.clamp(max=k)


def reciprocal_rank(positions: Positions, _relevant: Tensor, k: int) -> Tensor:
    """Return 1 / position of the first hit, 0 if there is none; MRR is its mean."""
    found = positions.first_hit[:, :k]
    return (found / _ranks(found.shape[1])).sum(dim=1)


def hit_rate(positions: Positions, _relevant: Tensor, k: int) -> Tensor:
    """Return whether any of the k tracks is relevant."""
    return positions.first_hit[:, :k].sum(dim=1)


def first_hit_discount(positions: Positions, _relevant: Tensor, k: int) -> Tensor:
    """Return 1 / log2(position of the first hit + 1), 0 if there is none; its mean is DFH (Kaya et al. 2020)."""
    found = positions.first_hit[:, :k]
    return found @ discounts(found.shape[1])


RANK_METRICS: Final[dict[str, Callable[[Positions, Tensor, int], Tensor]]] = {
    "ndcg": ndcg,
    "precision": precision,
    "recall": recall,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}
"""Metrics of one user's list by name: positions (n, K), numbers of relevant tracks (n,) above 0 and k to (n,)."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What users turned out to like, and what is not to be recommended to them; rows are those of a model."""

    relevant: csr_array
    """(users, tracks) of bool: held-out tracks that the model could have named."""
    sizes: NDArray[np.int64]
    """(users,) number of held-out relevant tracks, those that the model has never seen included."""
    excluded: csr_array | None
    """(users, tracks) of bool, or None where everything may be recommended."""

    @classmethod
    def of(cls, held_out: Pairs, shape: tuple[int, int], excluded: csr_array | None = None) -> "Truth":
        """Return the truth of held-out pairs; what is excluded is not relevant either."""
        pairs = held_out.where((held_out.scores >= RELEVANT) & (held_out.user_rows != UNKNOWN))
        if excluded is not None:
            pairs = pairs.where(~_contains(excluded, pairs))
        return cls(_mask(pairs.known(), shape), np.bincount(pairs.user_rows, minlength=shape[0]), excluded)

    @property
    def users(self) -> NDArray[np.int64]:
        """Return the rows of the users with something relevant; the others cannot be judged."""
        return np.flatnonzero(self.sizes)


def _mask(pairs: Pairs, shape: tuple[int, int]) -> csr_array:
    return csr_array((np.ones(len(pairs.user_rows), dtype=np.bool_), (pairs.user_rows, pairs.track_rows)), shape=shape)


def _contains(matrix: csr_array, pairs: Pairs) -> NDArray[np.bool_]:
    """Return for each pair whether the matrix stores it, explicit zeros included."""
    tracks = matrix.shape[1]
    user_rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    keys = user_rows * tracks + matrix.indices
    wanted = pairs.user_rows * tracks + pairs.track_rows
    stored: NDArray[np.bool_] = np.isin(wanted, keys) & (pairs.track_rows != UNKNOWN)
    return stored


@dataclass(frozen=True, eq=False)
class UserMetrics:
    """Every metric of every judged user."""

    user_rows: NDArray[np.int64]
    """(n,) the users judged."""
    columns: dict[str, Column]
    """Metric and cut-off, as "ndcg@10", to one figure a user (n,)."""
    lists: NDArray[np.int64]
    """(n, longest cut-off) tracks recommended to each, best first, `UNKNOWN` where there are no more.

    A track that a listener's scores put at the very bottom is not recommended: play counts have no opinion on
    what was never played.
    """

    def means(self) -> dict[str, float]:
        """Return the mean of every column, nothing where nobody was judged."""
        return {name: float(column.mean()) for name, column in self.columns.items() if len(column)}


@torch.inference_mode()
def rank_metrics(
    score: Score, truth: Truth, cutoffs: Sequence[int] = CUTOFFS, users: NDArray[np.int64] | None = None
) -> UserMetrics:
    """Judge the rankings of all users with something relevant, or of those among `users`."""
    judged = truth.users if users is None else np.intersect1d(users, truth.users)
    longest, tracks = max(cutoffs), truth.relevant.shape[1]
    parts: list[dict[str, Column]] = []
    lists = np.full((len(judged), longest), UNKNOWN, dtype=np.int64)
    for start, rows in _chunks(judged, max(1, _SCORES_AT_ONCE // max(1, tracks))):
        scores = score(torch.from_numpy(rows))
        lowest = _lowest(scores)
        if truth.excluded is not None:
            scores[_cells(truth.excluded, rows)] = -torch.inf
        relevant = torch.zeros(scores.shape, dtype=torch.bool)
        relevant[_cells(truth.relevant, rows)] = True
        values, columns = top_k(scores, longest + 1)
        positions = Positions.of_scores(scores, relevant, Ranking(columns, values), longest)
        parts.append(judge(positions, truth.sizes[rows], cutoffs))
        named = columns.masked_fill(values <= lowest, UNKNOWN)[:, :longest]
        lists[start : start + len(rows), : named.shape[1]] = named.numpy()
    names = column_names(cutoffs)
    metrics = {name: np.concatenate([part[name] for part in parts] or [np.empty(0)]) for name in names}
    return UserMetrics(judged, metrics, lists)


def _lowest(scores: Tensor) -> Tensor:
    """Return the lowest score of each row, (rows, 1); raises DataError for a score that is not a number."""
    lowest = scores.amin(dim=1, keepdim=True)
    if bool(lowest.isnan().any()):
        raise DataError("a score is not a number, so there is no ranking to judge")
    return lowest


@torch.inference_mode()
def top_lists(score: Score, excluded: csr_array | None, users: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the k best tracks of users (n,), (n, k), padded with `UNKNOWN` as the lists of `UserMetrics` are.

    `excluded` (users, tracks) is what each must not get, None for nothing.
    """
    lists = np.full((len(users), k), UNKNOWN, dtype=np.int64)
    for start, rows in _chunks(users, _USERS_AT_ONCE):
        scores = score(torch.from_numpy(rows))
        lowest = _lowest(scores)
        if excluded is not None:
            scores[_cells(excluded, rows)] = -torch.inf
        values, columns = top_k(scores, k)
        lists[start : start + len(rows), : columns.shape[1]] = columns.masked_fill(values <= lowest, UNKNOWN).numpy()
    return lists


def judge(positions: Positions, sizes: NDArray[np.int64], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Column]:
    """Return all `RANK_METRICS` at all cut-offs for n lists with `sizes` (n,) relevant tracks each, all above 0."""
    relevant = torch.from_numpy(sizes).double()
    return {
        f"{name}@{k}": metric(positions, relevant, k).numpy() for name, metric in RANK_METRICS.items() for k in cutoffs
    }


def column_names(cutoffs: Sequence[int]) -> list[str]:
    """Return the names that `judge` gives."""
    return [f"{name}@{k}" for name in RANK_METRICS for k in cutoffs]


def _chunks(rows: NDArray[np.int64], size: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    return ((start, rows[start : start + size]) for start in range(0, len(rows), size))


def _cells(matrix: csr_array, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return where the stored entries of some rows lie in the dense chunk of those rows."""
    chunk = csr_array(matrix[rows])
    places = np.repeat(np.arange(len(rows)), np.diff(chunk.indptr))
    return torch.from_numpy(places), torch.from_numpy(chunk.indices.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Shelf:
    """What lists are made of: what is known of every track apart from who will like it."""

    listeners: NDArray[np.int64]
    """(tracks,) users with a score above 0 in training."""
    users: int
    """Users in training."""
    artists: NDArray[np.int64]
    """(tracks,) a number for each artist, `UNKNOWN` where the catalogue does not say."""

    def judge(self, lists: NDArray[np.int64], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Column]:
        """Return novelty, popularity and artists of n lists (n, K), padded with `UNKNOWN`, at every cut-off.

        Novelty is the mean of -log2(listeners / users), the surprise of meeting somebody who knows the track (Zhou
        et al. 2010), a track nobody plays counting as one with a single listener; popularity is the mean number of
        listeners. Artists are left out where no artist is known.
        """
        listeners = np.append(self.listeners, 0)[lists].astype(np.float64)  # UNKNOWN takes the last entry
        novelty = -np.log2(np.maximum(listeners, 1) / self.users)
        figures: dict[str, Column] = {}
        for k in cutoffs:
            there = lists[:, :k] != UNKNOWN
            figures[f"novelty@{k}"] = _mean_where(novelty[:, :k], there)
            figures[f"popularity@{k}"] = _mean_where(listeners[:, :k], there)
            if (self.artists != UNKNOWN).any():
                artists = _distinct(np.append(self.artists, UNKNOWN)[lists[:, :k]])
                figures[f"artists@{k}"] = np.where(there.any(axis=1), artists, np.nan)
        return figures


def _mean_where(table: Column, there: NDArray[np.bool_]) -> Column:
    """Return the mean of each row over some of its entries, NaN where it has none."""
    entries = there.sum(axis=1)
    sums = (table * there).sum(axis=1)
    means: Column = np.divide(sums, entries, out=np.full(len(table), np.nan), where=entries > 0)
    return means


def _distinct(table: NDArray[np.int64]) -> Column:
    """Return how many different numbers each row holds, `UNKNOWN` not counted."""
    rising = np.sort(table, axis=1)
    new = np.ones_like(rising, dtype=np.bool_)
    new[:, 1:] = rising[:, 1:] != rising[:, :-1]
    count: Column = (new & (rising != UNKNOWN)).sum(axis=1).astype(np.float64)
    return count


def times_recommended(lists: NDArray[np.int64], tracks: int) -> NDArray[np.int64]:
    """Return how many of the lists (n, K) each track is in, (tracks,)."""
    return np.bincount(lists[lists != UNKNOWN], minlength=tracks)


def coverage(lists: NDArray[np.int64], tracks: int) -> float:
    """Return the share of the catalogue that is in some list."""
    return float((times_recommended(lists, tracks) > 0).mean())


def validation_metrics(
    score: Score, data: PreparedData, cutoffs: Sequence[int] = CUTOFFS, at_most: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """Return the mean metrics that a manifest carries, as "validation_ndcg@10"; empty without validation data.

    Tracks of the training split are not recommended (protocol "new" of docs/evaluation.md). Of more than
    `at_most` users so many are drawn at random.
    """
    truth = Truth.of(data.validation, data.interactions.matrix.shape, excluded=data.interactions.matrix)
    users = sample(truth.users, at_most, seed)
    return {f"validation_{name}": mean for name, mean in rank_metrics(score, truth, cutoffs, users).means().items()}


def sample(rows: NDArray[np.int64], at_most: int | None, seed: int) -> NDArray[np.int64]:
    """Return the rows, or so many of them drawn at random, in ascending order."""
    if at_most is None or len(rows) <= at_most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, at_most, replace=False))
