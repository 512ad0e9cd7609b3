"""Scores as a weighted sum of other models' scores, each measured in its own spread for the listener."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from torch import Tensor

from service.core.artifacts import Artifact
from service.core.ranking import Ranking, top_k
from service.core.recommender import described
from service.core.recommenders.factors import Factors
from service.core.recommenders.item_item import ItemItem

PARTS: Final[dict[str, type[Factors] | type[ItemItem]]] = {Factors.kind: Factors, ItemItem.kind: ItemItem}
"""Kinds that a part may be of: play counts are 0 for all that is new, and a blend of blends is a blend."""

FEW: Final = 5
"""Tracks up to which a guest is scored by the guest weights alone."""

MANY: Final = 20.0
"""Tracks from which a guest is scored as a known user is, unless the manifest says how many."""

Parts = Sequence[Factors | ItemItem]


class BlendPart(BaseModel):
    """What the manifest of kind `blend` says of each of its models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What the model is called, for people."""
    kind: str
    """How it scores: a key of `PARTS`."""
    scoring: dict[str, JsonValue] = Field(default_factory=dict)
    """What its kind needs to know."""
    weight: float = Field(ge=0, allow_inf_nan=False)
    """Its share of the sum."""
    guest_weight: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Its share of the sum for a guest with few liked tracks; None is `weight`."""
    version: str | None = None
    """The version that was blended; None for a model that was trained for this blend alone."""
    sha256: str | None = None
    """Digest of that version's arrays."""


class BlendScoring(BaseModel):
    """What the manifest of kind `blend` says beside its arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[BlendPart, ...] = Field(min_length=1)
    known_length: float = Field(default=MANY, gt=FEW, allow_inf_nan=False)
    """Liked tracks from which a guest is scored as a known user is."""


class Blend:
    """A listener's score of a track is sum_p w_p s_p / spread_p, s_p the score that part p gives it.

    spread_p is the standard deviation of what part p gives this listener for all tracks: without it the part with the
    larger numbers would decide. A vector holds each part's own vector times m_p = w_p / spread_p, one after another,
    and at its end the m_p themselves, so scores stay linear in vectors.

    What is best for a known user is not best for a guest with a handful of tracks: up to `FEW` of them have the guest
    weights, `known_length` the weights of known users, and between the two w_p moves with the logarithm of their
    number.
    """

    kind: Final = "blend"
    default_strategy: Final = "fair_share"

    def __init__(
        self,
        artifact: Artifact,
        parts: Parts,
        weights: Tensor,
        guest_weights: Tensor,
        spreads: Tensor,
        known_length: float,
    ) -> None:
        self.users, self.tracks = artifact.users, artifact.tracks
        self.history = artifact.history
        self.calibration = artifact.calibration
        self.parts = tuple(parts)
        self._weights = weights
        """(parts,)"""
        self._guest_weights = guest_weights
        """(parts,)"""
        self._spreads = spreads
        """(users, parts)"""
        self._known_length = known_length
        nobody = torch.empty(0, dtype=torch.long)
        self._widths = [*(part.user_vectors(nobody).shape[1] for part in parts), len(parts)]

    def __repr__(self) -> str:
        return described(self)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Self:
        """Return the model of an artifact; ArtifactError where its arrays do not fit together."""
        scoring = artifact.scoring(BlendScoring)
        spreads = artifact.array("part_spreads", rows=len(artifact.users), dimensions=2)
        if spreads.shape[1] != len(scoring.parts):
            raise artifact.error(f"part_spreads has {spreads.shape[1]} columns for {len(scoring.parts)} parts")
        parts = [_part(artifact, place, part) for place, part in enumerate(scoring.parts)]
        shares = [
            (part.weight, part.weight if part.guest_weight is None else part.guest_weight) for part in scoring.parts
        ]
        weights, guest_weights = torch.tensor(shares, device=artifact.device).T
        return cls(artifact, parts, weights, guest_weights, spreads, scoring.known_length)

    def user_vectors(self, user_rows: Tensor) -> Tensor:
        """Return the vectors that the parts have stored, weighted."""
        vectors = [part.user_vectors(user_rows) for part in self.parts]
        return self._joined(vectors, self._weights, self._spreads[user_rows.to(self._spreads.device)])

    def fold_in(self, liked: Sequence[Tensor]) -> Tensor:
        """Return the vectors that the parts give the guests, weighted by how much is known of them."""
        vectors = [part.fold_in(liked) for part in self.parts]
        return self._joined(vectors, self._weights_of([len(rows) for rows in liked]), spreads(self.parts, vectors))

    def _weights_of(self, lengths: Sequence[int]) -> Tensor:
        """Return the weights (n, parts) for guests with so many liked tracks, at least one each."""
        known = torch.tensor(lengths, dtype=torch.float32, device=self._weights.device)
        known = (known / FEW).log() / math.log(self._known_length / FEW)
        return torch.lerp(self._guest_weights, self._weights, known.clamp(0, 1)[:, None])

    def _joined(self, vectors: list[Tensor], weights: Tensor, spread: Tensor) -> Tensor:
        shares = torch.where(spread > 0, weights / spread, 0)
        scaled = [each * share[:, None] for each, share in zip(vectors, shares.T, strict=True)]
        return torch.cat([*scaled, shares], dim=1)

    def score(self, vectors: Tensor) -> Tensor:
        """Return the weighted sum of the parts' scores."""
        *own, _ = torch.split(vectors, self._widths, dim=-1)
        return torch.stack([part.score(each) for part, each in zip(self.parts, own, strict=True)]).sum(dim=0)

    def score_tracks(self, vectors: Tensor, track_rows: Tensor) -> Tensor:
        """Return the weighted sums for the tracks of each group."""
        *own, _ = torch.split(vectors, self._widths, dim=-1)
        scores = [part.score_tracks(each, track_rows) for part, each in zip(self.parts, own, strict=True)]
        return torch.stack(scores).sum(dim=0)

    def contributions(self, vector: Tensor, history: Tensor, track_rows: Tensor) -> Tensor:
        """Return the weighted sum of what each part says that each track of the history adds."""
        *own, shares = torch.split(vector, self._widths)
        parts = [
            share * part.contributions(each / share, history, track_rows)
            for part, each, share in zip(self.parts, own, shares, strict=True)
            if share > 0
        ]
        return torch.stack([torch.zeros(len(history), len(track_rows), device=vector.device), *parts]).sum(dim=0)

    def similar(self, track_row: int, k: int) -> Ranking:
        """Return what a guest would get who likes this track alone, as far as any part has an opinion."""
        scores = self.score(self.fold_in([torch.tensor([track_row])]))
        scores[0, track_row] = -torch.inf
        values, rows = top_k(scores, min(k, len(self.tracks) - 1))
        kept = values[0] > 0
        return Ranking(rows[0][kept], values[0][kept])


def spreads(parts: Parts, vectors: Sequence[Tensor]) -> Tensor:
    """Return the standard deviation of each part's scores over all tracks, (n, parts), of its vectors (n, dim)."""
    return torch.stack([spread(part.score(each)) for part, each in zip(parts, vectors, strict=True)], dim=1)


def spread(scores: Tensor) -> Tensor:
    """Return the standard deviation over the last axis; on a CPU, torch's own measured 15 times as slow."""
    apart = scores - scores[..., :1]  # so that of equal scores it is 0, and not what rounding leaves
    apart -= apart.mean(dim=-1, keepdim=True)
    return apart.square_().mean(dim=-1).sqrt_()


def prefixed(place: int, name: str) -> str:
    """Return what an array of the part at this place is called in the blend's artifact, as "0.item_factors"."""
    return f"{place}.{name}"


def _part(artifact: Artifact, place: int, part: BlendPart) -> Factors | ItemItem:
    """Return the model that an artifact holds at one place, with the history and calibration of the whole."""
    if part.kind not in PARTS:
        raise artifact.error(f"part {part.name} is of kind {part.kind!r}, a part may be of {sorted(PARTS)}")
    prefix = prefixed(place, "")
    own = {name.removeprefix(prefix): array for name, array in artifact.arrays.items() if name.startswith(prefix)}
    manifest = artifact.manifest.model_copy(update={"kind": part.kind, "scoring": part.scoring})
    return PARTS[part.kind].from_artifact(replace(artifact, manifest=manifest, arrays={**artifact.arrays, **own}))
