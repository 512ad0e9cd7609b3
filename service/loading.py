"""An artifact made ready to serve: scored by one thread, tested, with its queues."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from math import isfinite
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from service.batching import BatchingScorer
from service.core.artifacts import Artifact, ArtifactStore, Manifest
from service.core.catalogue import Catalogue, Facets
from service.core.errors import ArtifactError
from service.core.explanation import Explanation, explain_groups
from service.core.group import GroupRanking, rank_groups
from service.core.ids import IdIndex
from service.core.query import GroupQuery, Member
from service.core.recommender import Recommender, SimilarTracks
from service.core.recommenders import recommender_of
from service.core.rules import Near
from service.settings import Settings
from service.telemetry import Metrics

NEIGHBOURS: Final = 100
"""Similar tracks that can be paged through."""

RESEMBLING: Final = 20
"""So many of the tracks most similar to a track, the first page of them, resemble it, if they score above 0."""


class SimilarQuery(NamedTuple):
    """Which track's neighbours, and whether those of its own artist stay away."""

    track_row: int
    exclude_same_artist: bool


class Neighbour(NamedTuple):
    """A track that resembles another."""

    row: int
    score: float


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A loaded model with its queues."""

    manifest: Manifest
    recommender: Recommender
    catalogue: Catalogue
    facets: Facets
    groups: BatchingScorer[GroupQuery, GroupRanking]
    explanations: BatchingScorer[tuple[GroupQuery, GroupRanking], Explanation]
    """One at a time, since there is nothing to gain by a batch, and never by the event loop: what one takes depends on
    the listeners more than on those before."""
    similar: BatchingScorer[SimilarQuery, list[Neighbour]] | None
    """None where the model knows no similar tracks."""
    executor: ThreadPoolExecutor
    """The one thread that scores."""

    def stand_in(self, track_id: str, tracks: IdIndex) -> int | None:
        """Return the row, among some tracks, of the one most similar to a track; None where this model knows none."""
        own = self.recommender.tracks
        row = own.row(track_id)
        if row is None or not isinstance(self.recommender, SimilarTracks):
            return None
        nearest = self.recommender.similar(row, NEIGHBOURS).rows.tolist()
        return next((found for near in nearest if (found := tracks.row(own.ids[near])) is not None), None)

    def near(self, tracks: IdIndex) -> Near | None:
        """Return what finds, among some tracks, those that resemble one of them; None where this model knows none.

        It remembers what it found, so that it is for one request.
        """
        own, model = self.recommender.tracks, self.recommender
        if not isinstance(model, SimilarTracks):
            return None

        @cache
        def near(row: int) -> NDArray[np.int64]:
            known = own.row(tracks.ids[row])
            if known is None:
                return np.empty(0, dtype=np.int64)
            similar = model.similar(known, RESEMBLING)
            found = (tracks.row(own.ids[each]) for each in similar.rows[similar.scores > 0].tolist())
            return np.array([each for each in found if each is not None], dtype=np.int64)

        return near


def scoring_thread(name: str, torch_threads: int) -> ThreadPoolExecutor:
    """Return an executor for one model; torch counts its threads per thread that calls it."""
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=torch.set_num_threads, initargs=(torch_threads,))


def load(
    store: ArtifactStore,
    name: str,
    version: str | None,
    device: torch.device,
    executor: ThreadPoolExecutor,
    settings: Settings,
    metrics: Metrics,
) -> ServedModel:
    """Return a version of a model (None for the current one), tested; ArtifactError says what is wrong with it."""
    artifact = store.load(name, version, device)
    recommender = recommender_of(artifact)
    _self_test(artifact, recommender)

    similar = None
    if isinstance(recommender, SimilarTracks):
        similar = BatchingScorer(
            _Neighbourhood(recommender, artifact.catalogue).search,
            executor,
            capacity=settings.queue_capacity,
            batch_limit=settings.batch_limit,
            report=metrics.batches(f"{name}/similar"),
            tell_length=metrics.queue_length.labels(f"{name}/similar").set,
        )
    return ServedModel(
        manifest=artifact.manifest,
        recommender=recommender,
        catalogue=artifact.catalogue,
        facets=Facets(artifact.catalogue),
        groups=BatchingScorer(
            partial(rank_groups, recommender),
            executor,
            capacity=settings.queue_capacity,
            batch_limit=settings.batch_limit,
            report=metrics.batches(name),
            tell_length=metrics.queue_length.labels(name).set,
            effort=lambda query: query.effort,
        ),
        explanations=BatchingScorer(
            partial(explain_groups, recommender),
            executor,
            capacity=settings.queue_capacity,
            batch_limit=1,
            report=metrics.batches(f"{name}/explain"),
            tell_length=metrics.queue_length.labels(f"{name}/explain").set,
            moment=0,
        ),
        similar=similar,
        executor=executor,
    )


def _self_test(artifact: Artifact, model: Recommender) -> None:
    """Rank for the first user and for a stranger; ArtifactError for a list that is not one."""
    listener = Member(user_row=0 if len(model.users) else None)
    queries = [GroupQuery((member,), k=2, strategy=model.default_strategy) for member in (listener, Member())]
    for ranking in rank_groups(model, queries):
        if len(set(ranking.rows)) != min(2, len(model.tracks)) or not all(map(isfinite, ranking.scores)):
            raise ArtifactError(f"{artifact.path}: the self-test got {ranking.rows} with scores {ranking.scores}")


class _Neighbourhood:
    """Searches similar tracks, those of the same artist left out where so wished."""

    def __init__(self, model: SimilarTracks, catalogue: Catalogue) -> None:
        self._model = model
        self._artists = [
            artist_id or artist for artist_id, artist in zip(catalogue.artist_ids, catalogue.artists, strict=True)
        ]
        self._rows_of: defaultdict[str, set[int]] = defaultdict(set)
        for row, artist in enumerate(self._artists):
            if artist is not None:
                self._rows_of[artist].add(row)

    def search(self, queries: Sequence[SimilarQuery]) -> list[list[Neighbour]]:
        """Return the best `NEIGHBOURS` of each track, best first."""
        return [self._search(query) for query in queries]

    def _search(self, query: SimilarQuery) -> list[Neighbour]:
        artist = self._artists[query.track_row] if query.exclude_same_artist else None
        same = set() if artist is None else self._rows_of[artist]
        ranking = self._model.similar(query.track_row, NEIGHBOURS + len(same))
        pairs = zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
        return [Neighbour(row, score) for row, score in pairs if row not in same][:NEIGHBOURS]
