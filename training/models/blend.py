"""Blend: several trained models served as one, each with the weight that validation data give it."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator
from torch import Tensor

from service.core import calibration as calibration_module
from service.core import history as history_module
from service.core.artifacts import ARRAYS, ArtifactStore
from service.core.errors import TrainingError
from service.core.ranking import top_k
from service.core.recommenders import blend as served_as
from service.core.recommenders.blend import FEW, BlendPart, Parts, prefixed
from training.data import PreparedData, mean_length
from training.guests import Guests
from training.metrics import Positions, Truth, average_precision, ndcg
from training.models.algorithm import Algorithm, Fitted, Progress, silent
from training.models.ease import EASE
from training.models.item_knn import ItemKNN
from training.models.wmf import WMF
from training.served import Arrays, served

TRAINED_HERE: Final[dict[str, type[Algorithm]]] = {"ease": EASE, "item_knn": ItemKNN, "wmf": WMF}
"""What a blend trains by itself where no published models are given."""

USUAL: Final = {"ease": (0.25, 0.0), "item_knn": (0.1, 0.25), "wmf": (0.65, 0.75)}
"""What a part weighs for known users and for guests without validation data: about what three data sets said."""

Floats = NDArray[np.float32]
Weights = NDArray[np.float64]
"""(parts,) at least 0, with the sum 1."""
Metric = Callable[[Positions, Tensor, int], Tensor]

METRICS: Final[dict[str, Metric]] = {"map": average_precision, "ndcg": ndcg}

K: Final = 10
"""Length of the lists that the weights are chosen by."""

CANDIDATES: Final = 100
"""Best tracks of each part that a blend is judged on: what no part ranks so high is not among the blend's ten."""

FACTORS: Final = (0.0, 0.5, 0.8, 1.25, 2.0)
"""What the search tries to multiply a weight with."""

MOST_STEPS: Final = 30
"""Steps of the search, which mostly stops by itself after ten."""

MOST_GUESTS: Final = 8000
"""Validation users that play guests; of more, so many are drawn."""

_SCORES_AT_ONCE: Final = 4_000_000


class Part(NamedTuple):
    """A model to blend."""

    about: BlendPart
    arrays: Arrays
    """Those of its kind, without history and calibration."""


class Blend(Algorithm):
    """sum_p w_p s_p / spread_p over the scores s_p of trained models; the w_p are at least 0 and add up to 1.

    The weights climb the mean metric of the validation users: from equal weights, each in turn is multiplied by
    every one of `FACTORS`, and the best step is taken while there is one. A guest's weights are found in the same way,
    on validation users of whose history only `FEW` tracks, drawn at random, are folded in.
    """

    kind: ClassVar[str] = "blend"
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {"original": {}}

    parts: tuple[str, ...] = Field(default=("ease", "item_knn", "wmf"), min_length=1)
    """Names of the published models to blend, as in "ease,wmf"."""
    metric: str = Field(default="map", pattern=f"^({'|'.join(METRICS)})$")
    """What is climbed, of the ten best tracks: map or ndcg."""

    weights: tuple[float, ...] | None = None
    """One weight for each part, in their order, where they are known; None chooses them."""
    guest_weights: tuple[float, ...] | None = None
    """The same for guests with few liked tracks; None chooses them too, or takes `weights` where these are given."""

    _published: tuple[Part, ...] | None = PrivateAttr(default=None)

    @field_validator("parts", "weights", "guest_weights", mode="before")
    @classmethod
    def _split(cls, values: object) -> object:
        """Take several in one text, as the command line gives them."""
        return [value.strip() for value in values.split(",")] if isinstance(values, str) else values

    @field_validator("weights", "guest_weights")
    @classmethod
    def _usable(cls, weights: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        """Refuse weights that are not those of the parts."""
        if weights is not None and len(weights) != len(info.data.get("parts", weights)):
            raise ValueError("is not one weight for each part")
        if weights is not None and not (min(weights) >= 0 < sum(weights)):
            raise ValueError("has to be at least 0 throughout and not 0 altogether")
        return weights

    @field_validator("parts")
    @classmethod
    def _distinct(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a model named twice: its weight would be divided in two, and no two ways alike."""
        if len(set(parts)) < len(parts):
            raise ValueError("names a model twice")
        return parts

    def over(self, store: ArtifactStore, data: PreparedData) -> Self:
        """Return the blend of the current versions in a store; `TrainingError` if one has learned from other data."""
        return self.of([published_part(store, name, data) for name in self.parts])

    def of(self, parts: Sequence[Part]) -> Self:
        """Return the blend of these models, one for each of its `parts`."""
        algorithm = self.model_copy()
        algorithm._published = tuple(parts)
        return algorithm

    def fit(self, data: PreparedData, *, seed: int, device: str, progress: Progress) -> Fitted:
        """Return the parts with their weights: the published ones, or else each trained now with its defaults."""
        parts = self._published or tuple(trained_part(name, data, seed, device) for name in self.parts)
        arrays = {prefixed(at, name): array for at, part in enumerate(parts) for name, array in part.arrays.items()}
        models = models_of(parts, arrays, data)
        truth = truth_of(data)
        to_judge = truth.users if self.weights is None else truth.users[:0]
        spreads, candidates = of_known_users(models, to_judge, truth, progress)
        weights = self.chosen(candidates, progress)
        guest_weights = self.chosen_for_guests(models, weights, data, truth, seed, progress)
        shares = list(zip(parts, weights.tolist(), guest_weights.tolist(), strict=True))
        about = [part.about.model_copy(update={"weight": own, "guest_weight": guest}) for part, own, guest in shares]
        return Fitted(
            arrays={**arrays, "part_spreads": spreads},
            scoring={"parts": [part.model_dump(mode="json") for part in about], "known_length": known_length(data)},
            metrics={
                **{f"weight_{part.about.name}": own for part, own, _ in shares},
                **{f"guest_weight_{part.about.name}": guest for part, _, guest in shares},
            },
        )

    def chosen(self, candidates: "Candidates | None", progress: Progress) -> Weights:
        """Return the weights that are given, or those that validation data give, or else the usual ones."""
        if self.weights is not None:
            return np.array(self.weights) / sum(self.weights)
        return usual(self.parts)[0] if candidates is None else candidates.climb(METRICS[self.metric], progress)

    def chosen_for_guests(
        self, models: Parts, weights: Weights, data: PreparedData, truth: Truth, seed: int, progress: Progress
    ) -> Weights:
        """Return the same for guests; the `weights` of known users where these are given."""
        if self.guest_weights is not None:
            return np.array(self.guest_weights) / sum(self.guest_weights)
        if self.weights is not None:
            return weights
        guests = Guests.drawn(truth.users, data.interactions.positives, FEW, MOST_GUESTS, seed)
        if not guests.named:
            return usual(self.parts)[1]
        return of_guests(models, guests, truth).climb(METRICS[self.metric], progress)


def known_length(data: PreparedData) -> float:
    """Return how many liked tracks make a guest as good as known, see docs/decisions/blend-in-own-spread.md."""
    return max(served_as.MANY, 2 * mean_length(data.interactions.matrix))


def published_part(store: ArtifactStore, name: str, data: PreparedData) -> Part:
    """Return the current version of a model, which has to come from the same training data."""
    if name not in store.names():
        raise TrainingError(
            f"{store.root} has no model {name!r} to blend, only {store.names()}; train it first, or name others with "
            "--set parts="
        )
    artifact = store.load(name)
    manifest = artifact.manifest
    if manifest.data.sha256 != data.fingerprint:
        raise TrainingError(
            f"{name} {manifest.version} was trained on other data ({manifest.data.sha256[:12]}, these are "
            f"{data.fingerprint[:12]}); train {name} on these data first"
        )
    if manifest.kind not in served_as.PARTS:
        raise TrainingError(f"{name} is of kind {manifest.kind!r}, and a blend takes {sorted(served_as.PARTS)}")
    if artifact.tracks != data.interactions.tracks:
        raise TrainingError(
            f"{name} knows {len(artifact.tracks)} tracks, training {len(data.interactions.tracks)}; a blend takes no "
            "model of tracks that nobody has played"
        )
    common = {*history_module.ARRAYS, *calibration_module.ARRAYS}
    about = BlendPart(
        name=name,
        kind=manifest.kind,
        scoring=manifest.scoring,
        weight=1,
        version=manifest.version,
        sha256=manifest.sha256[ARRAYS],
    )
    return Part(about, {array: values for array, values in artifact.arrays.items() if array not in common})


def trained_part(name: str, data: PreparedData, seed: int, device: str) -> Part:
    """Return a model trained with its default preset."""
    if name not in TRAINED_HERE:
        raise TrainingError(f"no published model {name!r} is given, and a blend trains only {sorted(TRAINED_HERE)}")
    fitted = TRAINED_HERE[name].preset().fit(data, seed=seed, device=device, progress=silent)
    about = BlendPart(name=name, kind=TRAINED_HERE[name].kind, scoring=dict(fitted.scoring), weight=1)
    return Part(about, fitted.arrays)


def models_of(parts: Sequence[Part], arrays: Arrays, data: PreparedData) -> Parts:
    """Return the parts as the service would load them."""
    scoring: dict[str, JsonValue] = {"parts": [part.about.model_dump(mode="json") for part in parts]}
    blank = np.zeros((len(data.interactions.users), len(parts)), dtype=np.float32)
    blend = served(Blend.kind, scoring, {**arrays, "part_spreads": blank}, data.interactions)
    assert isinstance(blend, served_as.Blend)  # noqa: S101, its kind says so
    return blend.parts


def scores_of(models: Parts, vectors: Sequence[Tensor]) -> Tensor:
    """Return the scores (users, parts, tracks) of each part's vectors (users, dim)."""
    return torch.stack([model.score(each) for model, each in zip(models, vectors, strict=True)], dim=1)


def users_at_once(models: Parts) -> int:
    """Return how many users to score at a time."""
    return max(1, _SCORES_AT_ONCE // (len(models) * len(models[0].tracks)))


def truth_of(data: PreparedData) -> Truth:
    """Return what validation users turned out to like; tracks of the training split are left out."""
    heard = data.interactions.matrix
    return Truth.of(data.validation, heard.shape, excluded=heard)


class Candidates(NamedTuple):
    """The best tracks of each part for the validation users: enough to judge any blend by its first ten."""

    scores: Tensor
    """(users, parts, candidates), each part's in units of its spread; -inf for what is not to be recommended."""
    hits: Tensor
    """(users, candidates) of bool, true for relevant tracks."""
    sizes: Tensor
    """(users,) number of relevant tracks, among the candidates or not."""

    @classmethod
    def of(cls, scores: Tensor, spread: Tensor, truth: Truth, users: Tensor) -> Self:
        """Return the candidates of users (n,) by scores (n, parts, tracks), which it changes, and spread (n, parts)."""
        scores *= torch.where(spread > 0, 1 / spread, 0)[:, :, None]
        rows = users.numpy()
        if truth.excluded is not None:
            heard = truth.excluded[rows].astype(bool).toarray()
            scores.masked_fill_(torch.from_numpy(heard)[:, None], -torch.inf)
        tracks, first = shortlist(scores)
        picked = scores.gather(2, tracks[:, None].expand(-1, scores.shape[1], -1))
        return cls(
            picked.masked_fill_(~first[:, None], -torch.inf),
            torch.from_numpy(truth.relevant[rows].toarray()).gather(1, tracks),
            torch.from_numpy(truth.sizes[rows]).double(),
        )

    @classmethod
    def joined(cls, some: Sequence[Self]) -> Self:
        """Return the candidates of all of these users."""
        return cls(*(torch.cat(columns) for columns in zip(*some, strict=True)))

    def judge(self, weights: Weights, metric: Metric) -> float:
        """Return the mean metric of the blend with these weights (parts,)."""
        scores = torch.einsum("upc,p->uc", self.scores, torch.from_numpy(weights).float()).nan_to_num(nan=-torch.inf)
        _, best = top_k(scores, K)
        return float(metric(Positions.of_lists(self.hits.gather(1, best)), self.sizes, K).mean())

    def climb(self, metric: Metric, progress: Progress) -> Weights:
        """Return the weights from which no single step leads higher."""
        weights = equal(self.scores.shape[1])
        reached = self.judge(weights, metric)
        for turn in range(MOST_STEPS):
            steps = [changed(weights, part, factor) for part in range(len(weights)) for factor in FACTORS]
            figures = [self.judge(step, metric) for step in steps]
            progress(turn + 1, MOST_STEPS, f"weights, {max(figures):.4f}")
            if max(figures) <= reached:
                break
            reached, weights = max(figures), steps[int(np.argmax(figures))]
        progress(MOST_STEPS, MOST_STEPS, f"weights, {reached:.4f}")
        return weights


@torch.inference_mode()
def of_known_users(
    models: Parts, to_judge: NDArray[np.int64], truth: Truth, progress: Progress
) -> tuple[Floats, Candidates | None]:
    """Return the spread of each part's scores for every user, (users, parts), and the candidates of those to judge."""
    users = len(truth.sizes)
    judged = torch.zeros(users, dtype=torch.bool)
    judged[torch.from_numpy(to_judge)] = True
    spreads, candidates = [], []
    for rows in torch.split(torch.arange(users), users_at_once(models)):
        scores = scores_of(models, [model.user_vectors(rows) for model in models])
        spreads.append(served_as.spread(scores))
        if (some := judged[rows]).any():
            candidates.append(Candidates.of(scores[some], spreads[-1][some], truth, rows[some]))
        progress(int(rows[-1]) + 1, users, "scoring users")
    return torch.cat(spreads).numpy(), Candidates.joined(candidates) if candidates else None


@torch.inference_mode()
def of_guests(models: Parts, guests: Guests, truth: Truth) -> Candidates:
    """Return the candidates of users as guests."""
    at_once = users_at_once(models)
    candidates = []
    for begin in range(0, len(guests.named), at_once):
        some = slice(begin, begin + at_once)
        scores = scores_of(models, [model.fold_in(guests.named[some]) for model in models])
        rows = torch.from_numpy(guests.user_rows[some])
        candidates.append(Candidates.of(scores, served_as.spread(scores), truth, rows))
    return Candidates.joined(candidates)


def shortlist(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best `CANDIDATES` tracks of each part, (users, candidates), and whether each is named the first time.

    Scores are (users, parts, tracks).
    """
    users, parts, tracks = scores.shape
    _, best = top_k(scores.reshape(users * parts, tracks), CANDIDATES)
    named = best.reshape(users, parts * best.shape[1]).sort(dim=1).values
    first = torch.ones_like(named, dtype=torch.bool)
    first[:, 1:] = named[:, 1:] != named[:, :-1]
    return named, first


def usual(parts: Sequence[str]) -> tuple[Weights, Weights]:
    """Return the usual weights of these parts for known users and for guests, equal ones where some part has none."""
    known, guests = (np.array([USUAL.get(part, (0.0, 0.0))[whose] for part in parts]) for whose in range(2))
    if not known.all():
        return equal(len(parts)), equal(len(parts))
    return known / known.sum(), guests / guests.sum() if guests.any() else equal(len(parts))


def equal(parts: int) -> Weights:
    """Return the weights of who knows nothing better."""
    return np.full(parts, 1 / parts)


def changed(weights: Weights, part: int, factor: float) -> Weights:
    """Return the weights with one of them multiplied, all adding up to 1 again; unchanged if nothing would be left."""
    changed = weights.copy()
    changed[part] *= factor
    total = changed.sum()
    return changed / total if total > 0 else weights
