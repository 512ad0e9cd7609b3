"""What `max_per_artist` costs: CPU time of a ranking for five known users, alone and on one thread.

`python -m benchmarks.quotas --models DIR [--model wmf]`: the mean over 30 random groups, the best of five rounds.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Final

import numpy as np
import torch

from service.core.artifacts import ArtifactStore
from service.core.catalogue import Facets
from service.core.group import GroupQuery, Member, rank_groups
from service.core.quota import Quota
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from service.core.strategies import STRATEGIES

GROUPS: Final = 30
ROUNDS: Final = 5
QUOTAS: Final = (1, 2, 5)


def main() -> None:
    """Print a line a strategy and length: milliseconds without a quota and with some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--model", default="wmf")
    parser.add_argument("--strategy", nargs="+", default=sorted(STRATEGIES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    artifact = ArtifactStore(args.models).load(args.model)
    model, artists = recommender_of(artifact), Facets(artifact.catalogue).artists
    assert artists is not None, "the catalogue names no artists"
    rng = np.random.default_rng(0)
    groups = [tuple(map(Member, rng.integers(0, len(model.users), 5).tolist())) for _ in range(GROUPS)]
    print(f"{len(model.tracks)} tracks, {artists.max() + 1} artists; quotas: none, {', '.join(map(str, QUOTAS))}")
    for strategy in args.strategy:
        for k in (30, 200):
            plain = [GroupQuery(members, k, strategy) for members in groups]
            cases = [plain, *([replace(query, quota=Quota(artists, most)) for query in plain] for most in QUOTAS)]
            print(f"{strategy:24} {k:4}", *(f"{_milliseconds(model, queries):7.2f}" for queries in cases), flush=True)


def _milliseconds(model: Recommender, queries: Sequence[GroupQuery]) -> float:
    """Return the CPU time of a query, each ranked alone."""
    rounds = []
    for _ in range(ROUNDS):
        begun = process_time()
        for query in queries:
            rank_groups(model, [query])
        rounds.append(process_time() - begun)
    return 1e3 * min(rounds) / len(queries)


if __name__ == "__main__":
    main()
