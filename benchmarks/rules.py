"""What `max_per_artist`, `novelty` and `diversity` cost, and what lists become of them (docs/decisions).

    python -m benchmarks.rules --models DIR [--model wmf] [--similar similar] [--strategy NAME ...]

Random groups of five known users. CPU time of a ranking, alone and on one thread: the mean over the groups, the best of
five rounds. With one strategy, also what its lists of 30 are like: the share that is new to everybody, artists, tracks
that resemble one before them, the members' mean satisfaction and that of the least satisfied.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from service.core.artifacts import ArtifactStore
from service.core.catalogue import Facets
from service.core.explanation import explain
from service.core.group import rank_groups
from service.core.query import GroupQuery, Member, rules_of
from service.core.quota import Quota
from service.core.recommender import Recommender, SimilarTracks
from service.core.recommenders import recommender_of
from service.core.rules import Diversity, Near
from service.core.strategies import STRATEGIES
from service.loading import RESEMBLING

GROUPS: Final = 30
ROUNDS: Final = 5


def main() -> None:
    """Print a line a strategy and length, then one a rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--model", default="wmf")
    parser.add_argument("--similar", default="similar")
    parser.add_argument("--strategy", nargs="+", default=sorted(STRATEGIES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = ArtifactStore(args.models)
    artifact = store.load(args.model)
    model, artists = recommender_of(artifact), Facets(artifact.catalogue).artists
    assert artists is not None, "the catalogue names no artists"
    near = resembling(model, recommender_of(store.load(args.similar)))
    rules = rules_to_compare(artists, near)
    rng = np.random.default_rng(0)
    groups = [tuple(map(Member, rng.integers(0, len(model.users), 5).tolist())) for _ in range(GROUPS)]
    print(f"{len(model.tracks)} tracks, {artists.max() + 1} artists")
    print(f"{'ms':24}    k", *(f"{name:>13}" for name in rules))
    for strategy in args.strategy:
        for k in (30, 200):
            plain = [GroupQuery(members, k, strategy) for members in groups]
            times = [milliseconds(model, [replace(query, **rule) for query in plain]) for rule in rules.values()]
            print(f"{strategy:24} {k:4}", *(f"{time:13.2f}" for time in times), flush=True)
    if len(args.strategy) == 1:
        print(f"{'':13}     new  artists   alike    mean   worst")
        for name, rule in rules.items():
            queries = [replace(GroupQuery(members, 30, args.strategy[0]), **rule) for members in groups]
            print(f"{name:13}", *(f"{figure:7.3f}" for figure in what_became(model, queries, artists, near)))


def resembling(model: Recommender, similar: Recommender) -> Near:
    """Return what resembles a track, as the service has it."""
    assert isinstance(similar, SimilarTracks)
    known = len(model.tracks)
    assert similar.tracks.ids[:known] == model.tracks.ids, "the models know other tracks"
    rows = [similar.similar(row, RESEMBLING).rows.numpy() for row in range(known)]
    return [near[near < known] for near in rows].__getitem__


def rules_to_compare(artists: NDArray[np.int32], near: Near) -> dict[str, dict[str, Any]]:
    """Return what queries are given, by name."""
    return {
        "none": {},
        "2 an artist": {"quota": Quota(artists, 2)},
        "novelty .3": {"novelty": 0.3},
        "novelty .6": {"novelty": 0.6},
        "novelty 1": {"novelty": 1.0},
        "diversity .2": {"diversity": Diversity(0.2, near, RESEMBLING)},
        "diversity .5": {"diversity": Diversity(0.5, near, RESEMBLING)},
        "diversity 1": {"diversity": Diversity(1.0, near, RESEMBLING)},
        "all": {"quota": Quota(artists, 2), "novelty": 0.3, "diversity": Diversity(0.5, near, RESEMBLING)},
    }


def milliseconds(model: Recommender, queries: Sequence[GroupQuery]) -> float:
    """Return the CPU time of a query, each ranked alone."""
    rounds = []
    for _ in range(ROUNDS):
        begun = process_time()
        for query in queries:
            rank_groups(model, [query])
        rounds.append(process_time() - begun)
    return 1e3 * min(rounds) / len(queries)


def what_became(
    model: Recommender, queries: Sequence[GroupQuery], artists: NDArray[np.int32], near: Near
) -> list[float]:
    """Return the means over groups that the head of the table names."""
    figures = []
    for query, ranking in zip(queries, rank_groups(model, queries), strict=True):
        novelty = rules_of(model, replace(query, novelty=1.0)).novelty
        assert novelty is not None
        satisfaction = list(explain(model, query, ranking).satisfaction.values())
        new = 1 - float(novelty.heard[ranking.rows].mean())
        of_list = [
            new,
            len(np.unique(artists[ranking.rows])),
            sum(Diversity(1.0, near, RESEMBLING).alike(ranking.rows)),
        ]
        figures.append([*of_list, sum(satisfaction) / len(satisfaction), min(satisfaction)])
    means: list[float] = np.mean(np.array(figures), axis=0).tolist()
    return means


if __name__ == "__main__":
    main()
