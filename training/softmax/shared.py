"""Softmax over the catalogue: the users of a batch share many sampled tracks, corrected for how often each is drawn.

Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations" (RecSys 2019), with their
negatives mixed with uniform ones as in Yang et al., "Mixed Negative Sampling" (WWW 2020).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.optim.lr_scheduler import ExponentialLR

from training.factors import Factors

POPULAR_SHARE: Final = 0.5
"""Share of the negatives drawn as often as they were heard; the others are drawn uniformly."""
START: Final = 0.05
"""Standard deviation of the item factors before the first epoch; user factors start at 0."""
SMOOTHING: Final = 5.0
"""Listeners added to every track when its popularity is first guessed."""


class Settings(NamedTuple):
    """What the descent depends on beside the data; the parameters of `Softmax` of the same names say what they do."""

    dim: int
    negatives: int
    competitors: int
    batch_size: int
    learning_rate: float
    user_learning_rate: float
    learning_rate_decay: float
    regularization: float
    frequency_exponent: float


class Positives(NamedTuple):
    """What the users of a batch chose to hear, user after user."""

    owners: Tensor
    """(pairs,) place in the batch of the user who heard it."""
    tracks: Tensor
    """(pairs,) track rows."""


class Negatives(NamedTuple):
    """The tracks that all positives of a batch compete with, each at most once."""

    tracks: Tensor
    """(negatives,) track rows."""
    log_weights: Tensor
    """(negatives,) log of how many competitors each stands for."""


class Gradient(NamedTuple):
    """Gradients of the loss summed over a batch, and the loss, a scalar."""

    loss: Tensor
    users: Tensor
    """(users of the batch, dim)"""
    positives: Tensor
    """(pairs, dim), of the item factors; a track that several users heard is there several times."""
    negatives: Tensor
    """(negatives, dim), of the item factors."""


def descend(
    matrix: csr_array, settings: Settings, random: np.random.Generator, device: str
) -> Iterator[tuple[Factors, float]]:
    """Yield the factors and the mean loss of a positive after every epoch of Adam, without end.

    `matrix` is (users, tracks), its stored entries are the positives. The last user factor is always 1, so the last
    item factor is the track's own popularity. A user without positives has nothing but that 1, which ranks by
    popularity. On the CPU the arrays yielded are moved on in place.
    """
    heard, listeners = np.diff(matrix.indptr), np.bincount(matrix.indices, minlength=matrix.shape[1])
    users, items = (side.to(device) for side in start(len(heard), listeners, settings.dim, random))
    user_penalty, item_penalty = (penalty(counts, settings).to(device) for counts in (heard, listeners))
    user_gradient, item_gradient = torch.zeros_like(users), torch.zeros_like(items)
    users.grad, items.grad = user_gradient, item_gradient
    user_steps = torch.optim.Adam([users], lr=settings.user_learning_rate, fused=True)
    item_steps = torch.optim.Adam([items], lr=settings.learning_rate, fused=True)
    schedules = [ExponentialLR(steps, settings.learning_rate_decay) for steps in (user_steps, item_steps)]
    while True:
        loss = torch.zeros((), device=device)
        for rows in torch.split(torch.from_numpy(random.permutation(len(heard))), settings.batch_size):
            positives = positives_of(matrix, rows, device)
            negatives = draw_negatives(matrix.indices, listeners, settings, random, device)
            batch = rows.to(device)
            gradient = loss_gradient(users[batch], items, positives, negatives)
            loss += gradient.loss
            user_gradient[batch] = gradient.users + user_penalty[batch] * users[batch]
            torch.mul(items, item_penalty * (len(rows) / len(heard)), out=item_gradient)
            item_gradient.index_add_(0, negatives.tracks, gradient.negatives)
            item_gradient.index_add_(0, positives.tracks, gradient.positives)
            item_steps.step()
        user_gradient[:, -1] = 0
        # A user is in one batch an epoch, so stepping all of them here is stepping each right after their batch.
        user_steps.step()
        for schedule in schedules:
            schedule.step()
        yield Factors(users.cpu().numpy(), items.cpu().numpy()), float(loss) / matrix.nnz


def start(users: int, listeners: NDArray[np.int64], dim: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return the factors before the first epoch: what is popular, and noise in which tastes can take hold."""
    user_factors = np.zeros((users, dim), dtype=np.float32)
    user_factors[:, -1] = 1
    item_factors = random.normal(scale=START, size=(len(listeners), dim)).astype(np.float32)
    item_factors[:, -1] = np.log((listeners + SMOOTHING) / (listeners.mean() + SMOOTHING))
    return torch.from_numpy(user_factors), torch.from_numpy(item_factors)


def penalty(counts: NDArray[np.int64], settings: Settings) -> Tensor:
    """Return lambda_r = lambda counts_r^nu for every factor of every row, (rows, dim); the last factor goes free."""
    rows = settings.regularization * counts**settings.frequency_exponent
    penalties = np.repeat(rows[:, None], settings.dim, axis=1).astype(np.float32)
    penalties[:, -1] = 0
    return torch.from_numpy(penalties)


def positives_of(matrix: csr_array, rows: Tensor, device: str) -> Positives:
    """Return the positives of some users."""
    chosen = matrix[rows.numpy()]
    owners = np.repeat(np.arange(len(rows)), np.diff(chosen.indptr))
    tracks = chosen.indices.astype(np.int64)
    return Positives(torch.from_numpy(owners).to(device), torch.from_numpy(tracks).to(device))


def draw_negatives(
    heard: NDArray[np.int32], listeners: NDArray[np.int64], settings: Settings, random: np.random.Generator, device: str
) -> Negatives:
    """Return negatives drawn with replacement and merged; `heard` is the track of every positive.

    A track drawn n times with probability q a draw stands for n / (draws q) tracks of the catalogue: the expected sum
    over the draws is the sum over the catalogue. All weights are then scaled from the catalogue to `competitors`.
    """
    tracks, draws = len(listeners), settings.negatives
    popular = random.binomial(draws, POPULAR_SHARE)
    drawn = np.concatenate([random.choice(heard, popular), random.integers(tracks, size=draws - popular)])
    distinct, times = np.unique(drawn, return_counts=True)
    probability = POPULAR_SHARE * listeners[distinct] / len(heard) + (1 - POPULAR_SHARE) / tracks
    scale = min(settings.competitors, tracks) / tracks
    log_weights = np.log(scale * times / (draws * probability)).astype(np.float32)
    return Negatives(torch.from_numpy(distinct.astype(np.int64)).to(device), torch.from_numpy(log_weights).to(device))


def loss_gradient(users: Tensor, items: Tensor, positives: Positives, negatives: Negatives) -> Gradient:
    """Return the gradient of the summed loss for users (batch, dim) and items (tracks, dim).

    The loss of positive i of user u is log(e^s_ui + Z_u) - s_ui, s = x . y, where Z_u = sum_n w_n e^s_un runs over the
    negatives that u has not heard. Z_u is shared by all positives of u: with W_u = sum_i 1 / (e^s_ui + Z_u) the slope
    is w_n e^s_un W_u for a negative and e^s_ui / (e^s_ui + Z_u) - 1 for a positive.
    """
    owners, y, y_heard = positives.owners, items[negatives.tracks], items[positives.tracks]
    x = users[owners]
    s_heard = (x * y_heard).sum(dim=1)
    s = users @ y.T + negatives.log_weights
    s[accidental_hits(positives, negatives, len(items))] = -torch.inf
    highest = s.amax(dim=1).scatter_reduce(0, owners, s_heard, "amax")
    s_heard = s_heard - highest[owners]
    e = s.sub_(highest[:, None]).exp_()
    e_heard = s_heard.exp()
    both = (e_heard + e.sum(dim=1)[owners]).clamp_(min=torch.finfo(e.dtype).tiny)
    slope = e.mul_(torch.zeros_like(highest).index_add_(0, owners, 1 / both)[:, None])
    slope_heard = (e_heard / both - 1)[:, None]
    return Gradient(
        loss=(both.log() - s_heard).sum(),
        users=(slope @ y).index_add_(0, owners, slope_heard * y_heard),
        positives=slope_heard * x,
        negatives=slope.T @ users,
    )


def accidental_hits(positives: Positives, negatives: Negatives, tracks: int) -> tuple[Tensor, Tensor]:
    """Return where a negative is one of the user's own positives: users of the batch, places among the negatives."""
    places = torch.full((tracks,), -1, device=negatives.tracks.device)
    places[negatives.tracks] = torch.arange(len(negatives.tracks), device=negatives.tracks.device)
    of_positives = places[positives.tracks]
    hit = of_positives >= 0
    return positives.owners[hit], of_positives[hit]
