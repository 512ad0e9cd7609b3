"""Weighted matrix factorisation of implicit feedback (Hu, Koren & Volinsky 2008)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from time import perf_counter
from typing import ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue
from scipy.sparse import csr_array, vstack

from service.core.errors import DataError, TrainingError
from service.core.recommenders.factors import FactorsScoring
from training.als import batched, cholesky, conjugate_gradient, dense
from training.als.alternating import alternate
from training.als.objective import Objective, loss, make_objective
from training.data import PreparedData, mean_length
from training.factors import Factors, Floats
from training.metrics import Column
from training.models.algorithm import Algorithm, Count, Fitted, Progress, Range
from training.models.regularization import Jury, chosen, climb, noise_level
from training.neighbours import Listeners
from training.order import recency
from training.pseudo_listeners import pseudo_listeners
from training.served import served

LIKED: Final = 1.0
"""A score from which on p = 1."""
_PER_DIM: Final = 32
"""Users or tracks, whichever are fewer, that a dimension needs: with fewer, validation figures fall (docs/wmf.md)."""
_SHORTEST, _LONGEST = 8, 512
_LEAST_UNOBSERVED, _MOST_UNOBSERVED = 0.16, 0.4
"""Of w0, where the density of the data chooses it: in sparse data it says no more."""
_UNOBSERVED_STEP: Final = 2.0
"""What w0 is multiplied or divided by where validation users choose it: next to lambda it says little."""
_NOISE: Final = 0.5
"""lambda is so much of the noise level, where nothing else says what it is."""
_LEAST_RIDGE, _MOST_RIDGE = 0.0001, 0.015
"""What that may be: with more, data of a handful of users fall to 0."""
_GUEST_RIDGE: Final = 0.0007 * 0.16
"""lambda w0 of guests who name hardly anything, where nothing else says what it is; of listeners where that is less."""
MOST_CELLS: Final = 4_000_000
"""Users x tracks that `sgd` may walk over: its epoch costs thousands of times one of least squares."""


class WMF(Algorithm):
    """Factors that minimise sum_ui c_ui (p_ui - x_u . y_i)^2 + sum_u lambda_u |x_u|^2 + sum_i lambda_i |y_i|^2.

    p_ui = 1 if score >= 1 else 0 and c_ui = w0 + alpha weight(score), with weight(0) = 0: a track that was only
    skipped counts as one never heard.
    """

    kind: ClassVar[str] = "factors"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {
        "original": {
            "dim": 32,
            "epochs": 15,
            "weight": "logarithmic",
            "unobserved_weight": 1.0,
            "alpha": 40.0,
            "regularization": 100.0,
            "frequency_exponent": 0.0,
            "guest_shrinkage": 0.0,
            "guest_length": 0.0,
            "album_weight": 0.0,
            "artist_weight": 0.0,
            "tail_boost": 1.0,
            "recent_boost": 1.0,
        },
        "large": {"dim": 1024, "popularity_exponent": 0.5, "regularization": 0.0009, "tail_boost": 8.0},
    }
    search: ClassVar[Mapping[str, Range]] = {
        "unobserved_weight": Range(0.01, 0.5, logarithmic=True),
        "regularization": Range(1e-4, 3e-2, logarithmic=True),
        "popularity_exponent": Range(0.0, 0.7),
        "length_exponent": Range(0.0, 0.8),
        "epochs": Range(4, 16, whole=True),
        "album_weight": Range(0.3, 60.0, logarithmic=True, needs=("albums",)),
        "artist_weight": Range(0.1, 20.0, logarithmic=True, needs=("artists",)),
        "tail_boost": Range(1.0, 6.0, needs=("positions",)),
        "recent_boost": Range(1.0, 6.0, needs=("times",)),
    }

    dim: Count | None = None
    """Length of a factor; None is what the data can fill, see `length`. The cost of serving grows with it."""
    epochs: Count = 6
    """Times that all users and all tracks are solved."""
    solver: Literal["auto", "cg", "cholesky", "batched", "sgd"] = "auto"
    """`auto` takes `cg` on the CPU and `batched` on a GPU; `sgd` is the gradient way, for comparison on small data."""
    unobserved_weight: float | None = Field(default=None, gt=0)
    """w0, what a cell weighs that nobody heard; None is what the density of the data asks for, see `unobserved`, from
    which validation users go on where they choose lambda, too."""
    alpha: float = Field(default=1.0, gt=0)
    """What a heard cell weighs beyond that, per unit of weight."""
    weight: Literal["relative", "logarithmic"] = "relative"
    """How the weight of a cell grows with its score, see `relative_weight` and `logarithmic_weight`."""
    popularity_exponent: float = Field(default=0.4, ge=0, le=1)
    """gamma of the `relative` weight: how much less a track says that everybody plays; 0 for all alike."""
    length_exponent: float = Field(default=0.25, ge=0, le=1)
    """p of the `relative` weight: how much less a track says of a listener of many."""
    album_weight: float = Field(default=5.0, ge=0)
    """What a track of an album weighs beside a heard one, each album a listener of its own; where they are known."""
    artist_weight: float = Field(default=1.2, ge=0)
    """The same of an artist."""
    tail_boost: float = Field(default=5.0, ge=1)
    """How much more the last track of an ordered history weighs; see `training.order.recency`."""
    recent_boost: float = Field(default=3.0, ge=1)
    """The same where times of listening make the order: the end of a log is less of one mood than of a playlist."""
    tail_length: Count = 4
    """Tracks at the end of an ordered history that weigh more than the others."""
    eps: float = Field(default=1e-8, gt=0)
    """Scale of a score in the `logarithmic` weight."""
    regularization: float | None = Field(default=None, gt=0)
    """lambda, before it is scaled by how much is known of a user or a track; None is what validation users choose,
    beginning with half of the noise level of the data, see `ridge`."""
    frequency_exponent: float = Field(default=1.0, ge=0, le=1)
    """nu: lambda_u = lambda (|S_u| + w0 n_tracks)^nu, and likewise for tracks; 0 is one lambda for all."""
    guest_regularization: float | None = Field(default=None, gt=0)
    """lambda for guests who name hardly anything; None is what validation users choose as guests: a ridge for long
    histories would hide them. With m tracks, see `guest_length`, they have that of listeners."""
    guest_shrinkage: float = Field(default=20.0, ge=0)
    """s: a guest who likes n tracks is regularised 1 + s / n times as much as a listener."""
    guest_pull: float = Field(default=5.0, ge=0)
    """q: min(s / n, q) of that towards the mean user, the rest towards 0."""
    guest_length: float | None = Field(default=None, ge=0)
    """m: w0 is n / m of itself for a guest who likes n < m tracks; None is the mean length of a history, 0 none."""
    learning_rate: float = Field(default=0.005, gt=0)
    """Step of `sgd`."""
    weight_decay: float = Field(default=0.005, ge=0)
    """Weight decay of `sgd`, beside the regularisation."""
    batch_size: Count = 512
    """Cells a step of `sgd`."""

    def length(self, users: int, tracks: int) -> int:
        """Return the length of a factor for so much data: `dim`, or one for every 32 of the fewer, 8 to 512."""
        return self.dim or min(max(min(users, tracks) // _PER_DIM, _SHORTEST), _LONGEST)

    def fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:
        """Return the factors after the last epoch, every user and every track trained.

        Where lambda is not given it is fitted with several, where w0 is not either with several of those, too, and
        validation users say which is kept; `sgd`, for comparison alone, is not. The curve gives the objective over the
        number of cells; for held-out pairs without the regularisation.
        """
        jury = Jury.of(data, seed)
        if self.regularization is not None or self.solver == "sgd" or not len(jury.listeners):
            fitted = self.settled(data.interactions.matrix)._fit(data, seed=seed, device=device, progress=progress)
        else:
            fitted = self._fit_best(data, jury, seed=seed, device=device, progress=progress)
        if self.guest_regularization is not None or not jury.guests.named:
            return fitted
        return for_guests(fitted, data, jury)

    def _fit_best(self, data: PreparedData, jury: Jury, *, seed: int, device: str, progress: Progress) -> Fitted:
        """Return the model with the lambda and then the w0 that validation users choose, beginning with its own."""
        scores = data.interactions.matrix

        def fit(algorithm: Self) -> Fitted:
            ridge, w0 = algorithm.ridge(scores), algorithm.unobserved(scores)
            told = noted(progress, f"lambda {ridge:.2g}, w0 {w0:.2g}")
            return algorithm._fit(data, seed=seed, device=device, progress=told)

        start = self.settled(scores)
        best = chosen(
            self.kind,
            data,
            jury,
            start.ridge(scores),
            lambda ridge: fit(start.model_copy(update={"regularization": ridge})),
        )
        if self.unobserved_weight is None:
            w0 = start.unobserved(scores)
            by_lambda = best
            with_lambda = start.model_copy(update={"regularization": best.metrics["regularization"]})
            best = chosen(
                self.kind,
                data,
                jury,
                w0,
                lambda other: by_lambda if other == w0 else fit(with_lambda.with_unobserved(other, scores)),
                _UNOBSERVED_STEP,
            )
        ridge, w0 = best.metrics["regularization"], best.metrics["unobserved_weight"]
        progress(self.epochs, self.epochs, f"lambda {ridge:.2g}, w0 {w0:.2g} chosen")
        return best

    def _fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:
        scores = data.interactions.matrix
        pseudo = pseudo_listeners(data.catalogue, self.album_weight, self.artist_weight)
        order = recency(data.interactions, self.tail_boost, self.tail_length, self.recent_boost)
        objectives = {"train_loss": self.objective(scores, self.ridge(scores), order, pseudo)}
        check_liked(objectives["train_loss"])
        rows, tracks = objectives["train_loss"].shape
        if (held_out := validation_scores(data, rows)).nnz:
            objectives["validation_loss"] = self.objective(held_out, regularization=0)
        start = random_factors(rows, tracks, self.length(*scores.shape), seed)
        epochs = islice(self.minimise(objectives["train_loss"], start, seed, device), self.epochs)
        curve: list[dict[str, float]] = []
        seconds, before = 0.0, perf_counter()
        for epoch, factors in enumerate(epochs, start=1):
            seconds += perf_counter() - before
            losses = {name: loss(objective, factors) for name, objective in objectives.items()}
            check_loss(losses["train_loss"], objectives["train_loss"], epoch)
            a_cell = {name: total / (rows * tracks) for name, total in losses.items()}
            curve.append({"epoch": epoch, **a_cell, "seconds": seconds})
            progress(epoch, self.epochs, f"loss {a_cell['train_loss']:.4g}")
            before = perf_counter()
        users = np.ascontiguousarray(factors.users[: scores.shape[0]])
        return Fitted(
            arrays={"user_factors": users, "item_factors": factors.items},
            scoring={
                "similarity": "dot",
                "fold_in": self.fold_in(scores),
            },
            curve=curve,
            metrics={
                "unobserved_weight": self.unobserved(scores),
                "regularization": self.ridge(scores),
                "guest_regularization": self.guest_ridge(scores),
                **norms("user", users),
                **norms("item", factors.items),
            },
        )

    def settled(self, scores: csr_array) -> Self:
        """Return the algorithm with the w0 and lambda that it has for scores (users, tracks)."""
        weights = {"unobserved_weight": self.unobserved(scores), "regularization": self.ridge(scores)}
        return self.model_copy(update=weights)

    def unobserved(self, scores: csr_array) -> float:
        """Return w0 for scores (users, tracks).

        Where it is not given, it is 3.5 times the root of their density: the more of all tracks people hear, the more
        it says that they have not heard one.
        """
        if self.unobserved_weight is not None:
            return self.unobserved_weight
        return min(max(3.5 * math.sqrt(density(scores)), _LEAST_UNOBSERVED), _MOST_UNOBSERVED)

    def with_unobserved(self, w0: float, scores: csr_array) -> Self:
        """Return the algorithm with another w0, and lambda as many times the noise level as it was."""
        other = self.model_copy(update={"unobserved_weight": w0})
        ridge = self.ridge(scores) * other._noise_ridge(scores) / self._noise_ridge(scores)
        return other.model_copy(update={"regularization": ridge})

    def ridge(self, scores: csr_array) -> float:
        """Return lambda for scores (users, tracks), where no validation users choose it.

        Where it is not given, that is half of the noise level, above which a singular value says something.
        """
        if self.regularization is not None:
            return self.regularization
        scale = self._scale(scores) ** (1 - self.frequency_exponent)
        return float(min(max(_NOISE * self._noise_ridge(scores) / scale, _LEAST_RIDGE), _MOST_RIDGE) * scale)

    def _noise_ridge(self, scores: csr_array) -> float:
        """Return the lambda that shrinks singular values by the noise level.

        What factors find, they shrink: in effect the singular values of the matrix of c p, by the root of lambda_u
        lambda_i (Srebro, Rennie & Jaakkola 2004, for nu = 0), which in sparse data is lambda (w0 root(users
        tracks))^nu.
        """
        heard = without_zeros(scores)
        w0 = np.float32(self.unobserved(scores))
        confidence = w0 + np.float32(self.alpha) * self.weights(heard, None)[heard.data >= LIKED]
        return float(noise_level(confidence, *scores.shape) / self._scale(scores) ** self.frequency_exponent)

    def _scale(self, scores: csr_array) -> float:
        """Return w0 root(users tracks)."""
        return self.unobserved(scores) * math.sqrt(math.prod(scores.shape))

    def guest_ridge(self, scores: csr_array) -> float:
        """Return lambda of guests for scores (users, tracks), where no validation users choose it."""
        if self.guest_regularization is not None:
            return self.guest_regularization
        return min(self.ridge(scores), _GUEST_RIDGE / self.unobserved(scores))

    def objective(
        self,
        scores: csr_array,
        regularization: float,
        order: Floats | None = None,
        pseudo: Listeners | None = None,
    ) -> Objective:
        """Return the objective for scores (users, tracks), those that are 0 left out.

        `order` multiplies the weight of each stored score; pseudo-listeners are further rows below the users.
        """
        heard = without_zeros(scores)
        weights = self.weights(heard, None if order is None else order[scores.data != 0])
        liked = heard.data >= LIKED
        if pseudo is not None:
            weights = np.concatenate([weights, self.pseudo_weights(heard, pseudo)])
            liked = np.concatenate([liked, np.ones(pseudo.played.nnz, dtype=np.bool_)])
            heard = csr_array(vstack([heard, pseudo.played], format="csr"))
        excess = np.float32(self.alpha) * weights
        return make_objective(heard, excess, liked, self.unobserved(scores), regularization, self.frequency_exponent)

    def weights(self, heard: csr_array, order: Floats | None) -> Floats:
        """Return the weight of every stored score, times its order; those that are `relative` have the mean 1 after."""
        if self.weight == "logarithmic":
            weights = logarithmic_weight(heard, self.eps)
            return weights if order is None else weights * order
        weights = relative_weight(heard, self.popularity_exponent, self.length_exponent)
        return weights if order is None else scaled(weights * order)

    def pseudo_weights(self, heard: csr_array, pseudo: Listeners) -> Floats:
        """Return the weight of every track of every pseudo-listener: their own, more for tracks that few have heard."""
        rare = rarity(heard, self.popularity_exponent)
        usual = float(rare[heard.indices].mean()) if heard.nnz else 1.0
        weights = np.repeat(pseudo.weights, np.diff(pseudo.played.indptr)) * rare[pseudo.played.indices] / usual
        return weights.astype(np.float32)

    def minimise(self, objective: Objective, start: Factors, seed: int, device: str) -> Iterator[Factors]:
        """Yield the factors after every epoch, without end."""
        match self.solver:
            case "auto":
                solver = "cg" if device == "cpu" else "batched"
                return self.model_copy(update={"solver": solver}).minimise(objective, start, seed, device)
            case "cg":
                return alternate(objective, start, conjugate_gradient.solve_rows)
            case "cholesky":
                return alternate(objective, start, cholesky.solve_rows)
            case "batched":
                return batched.alternate(objective, start, device)
            case "sgd":
                check_small(objective)
                descent = dense.Descent(self.learning_rate, self.weight_decay, self.batch_size)
                return dense.descend(objective, start, descent, seed, device)

    def fold_in(self, scores: csr_array) -> dict[str, JsonValue]:
        """Return the weights that a guest's factors are solved with: those of a cell that was played once."""
        relative = self.weight == "relative"
        unobserved, ridge = self.unobserved(scores), self.ridge(scores)
        return {
            "unobserved_weight": unobserved,
            "liked_confidence": unobserved + self.alpha * (1.0 if relative else math.log1p(1 / self.eps)),
            "popularity_exponent": self.popularity_exponent if relative else 0.0,
            "regularization": ridge,
            "guest_regularization": self.guest_ridge(scores),
            "frequency_exponent": self.frequency_exponent,
            "shrinkage": self.guest_shrinkage,
            "pull": self.guest_pull,
            "usual_length": mean_length(scores) if self.guest_length is None else self.guest_length,
        }


def for_guests(fitted: Fitted, data: PreparedData, jury: Jury) -> Fitted:
    """Return the model with the lambda for guests that validation users choose as guests, beginning with its own."""
    scoring = FactorsScoring.model_validate(fitted.scoring)

    def judged(ridge: float) -> tuple[Column, Fitted]:
        fold_in = scoring.fold_in.model_copy(update={"guest_regularization": ridge})
        candidate = replace(
            fitted,
            scoring=scoring.model_copy(update={"fold_in": fold_in}).model_dump(mode="json"),
            metrics={**fitted.metrics, "guest_regularization": ridge},
        )
        return jury.of_guests(served(WMF.kind, candidate.scoring, fitted.arrays, data.interactions)), candidate

    return climb(fitted.metrics["guest_regularization"], judged)


def noted(progress: Progress, of: str) -> Progress:
    """Return a progress whose notes say of what they are."""
    return lambda done, total, note="": progress(done, total, f"{of}, {note}")


def without_zeros(scores: csr_array) -> csr_array:
    """Return the scores that are not 0, as a copy."""
    heard = csr_array(scores, copy=True)
    heard.eliminate_zeros()
    return heard


def density(scores: csr_array) -> float:
    """Return the share of all cells whose score is above 0."""
    return float(np.count_nonzero(scores.data) / math.prod(scores.shape))


def logarithmic_weight(heard: csr_array, eps: float) -> Floats:
    """Return log(1 + score / eps): for eps = 1e-8 between 18.4 and 27.6 whatever the score from 1 to 10,000."""
    return np.log1p(heard.data / eps).astype(np.float32)


def relative_weight(heard: csr_array, popularity_exponent: float, length_exponent: float) -> Floats:
    """Return log(1 + 10 score / the user's mean score) / (listeners^gamma length^p), scaled to mean 1 over all cells.

    What a play says depends on how much its listener plays, ten of a thousand are less than ten of twenty; and, as
    with words in a text, on how many others play the track.
    """
    lengths = np.diff(heard.indptr)
    means = np.asarray(heard.sum(axis=1)).ravel() / np.maximum(lengths, 1)
    weight: NDArray[np.float64] = np.log1p(10 * heard.data / np.repeat(means, lengths))
    weight *= rarity(heard, popularity_exponent)[heard.indices]
    return scaled(weight * np.repeat(np.maximum(lengths, 1) ** -length_exponent, lengths))


def rarity(heard: csr_array, popularity_exponent: float) -> NDArray[np.float64]:
    """Return listeners^-gamma of every track, as if one that nobody has heard had one listener."""
    listeners = np.maximum(np.bincount(heard.indices, minlength=heard.shape[1]), 1)
    rare: NDArray[np.float64] = listeners**-popularity_exponent
    return rare


def scaled(weights: NDArray[np.floating]) -> Floats:
    """Return weights with the mean 1."""
    return (weights * (len(weights) / max(float(weights.sum()), 1e-30))).astype(np.float32)


def validation_scores(data: PreparedData, rows: int) -> csr_array:
    """Return the held-out scores (rows, tracks) of known users and tracks, with empty rows below the users."""
    pairs = data.validation.known()
    shape = rows, data.interactions.matrix.shape[1]
    return csr_array((pairs.scores, (pairs.user_rows, pairs.track_rows)), shape=shape)


def random_factors(users: int, items: int, dim: int, seed: int) -> Factors:
    """Return small normal factors, so that all scores start next to the 0 of an unobserved cell."""
    rng = np.random.default_rng(seed)
    scale = np.float32(0.1 / math.sqrt(dim))
    return Factors(*(scale * rng.standard_normal((rows, dim), dtype=np.float32) for rows in (users, items)))


def check_small(objective: Objective) -> None:
    """Raise unless the whole grid is small enough to walk over."""
    users, items = objective.shape
    if users * items > MOST_CELLS:
        raise TrainingError(
            f"solver 'sgd' walks over all {users} x {items} = {users * items:,} cells and is for comparison on small "
            f"data, at most {MOST_CELLS:,} cells; use 'cg', 'cholesky' or 'batched'"
        )


def check_liked(objective: Objective) -> None:
    """Raise where there is nothing to learn from."""
    if not objective.by_user.target.any():
        raise DataError(f"no pair has a score of {LIKED:g} or more, so nobody is known to like anything")


def check_loss(train_loss: float, objective: Objective, epoch: int) -> None:
    """Raise where the loss is not a number, or worse than that of a model that knows nothing."""
    nothing = float(objective.by_user.target.sum(dtype=np.float64))
    if not train_loss <= 1.01 * nothing:
        raise TrainingError(
            f"the loss is {train_loss:.4g} after epoch {epoch}, all factors 0 would give {nothing:.4g}: "
            "lower `learning_rate` (solver 'sgd') or raise `regularization`"
        )


def norms(side: str, factors: Floats) -> dict[str, float]:
    """Return the distribution of the lengths of the rows, as "user_norm_mean"."""
    lengths = np.linalg.norm(factors, axis=1)
    quantiles = {f"p{q:02}": np.percentile(lengths, q) for q in (5, 25, 50, 75, 95)}
    figures = {"min": lengths.min(), "mean": lengths.mean(), "max": lengths.max(), **quantiles}
    return {f"{side}_norm_{name}": float(figure) for name, figure in figures.items()}
