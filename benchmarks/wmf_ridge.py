"""What WMF's lambda is worth in dense data, to listeners and to guests; validation data alone.

    TUTTI_DATA=... python -m benchmarks.wmf_ridge

ML-1M's train file judged by its valid file, and the log of a synthetic service, split by user and time. Guests are a
thousand listeners of whom five liked tracks, drawn at random, are folded in; only tracks new to them count.
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.public_split import write_split
from benchmarks.quality import SEED, Row
from benchmarks.recency import synthetic
from service.core.recommender import Recommender
from training.bootstrap import estimates
from training.data import PreparedData, load
from training.metrics import Score, Truth, rank_metrics, sample
from training.models.algorithm import silent
from training.models.wmf import WMF
from training.served import served

RESULTS: Final = Path(__file__).parent / "results" / "wmf_ridge.json"
BEFORE: Final = 0.0007
"""lambda in all data before their density chose it."""
FACTORS: Final = (0.5, 1.0, 2.0, 4.0)
"""Of the lambda that the density chooses."""
LIKED: Final = 5
GUESTS: Final = 1000
ENDS: Final = ("low", "high")
"""Of intervals, which are not printed."""


def ml_1m(source: Path) -> PreparedData:
    """Return the train file, and the valid file to judge by."""
    folder = Path("data/ml-1m-validation")
    write_split(source / "ml-1m", folder, "validation")
    return load(folder)


def compare(data: PreparedData) -> list[Row]:
    """Return what every lambda is worth: nDCG@20 of listeners, nDCG@10 of guests and of the listeners they are."""
    chosen = WMF().ridge(data.interactions.matrix)
    truth = Truth.of(data.validation, data.interactions.matrix.shape, data.interactions.matrix)
    histories = data.interactions.positives
    guests = sample(truth.users[np.diff(histories.indptr)[truth.users] > LIKED], GUESTS, SEED)
    rng = np.random.default_rng(SEED)
    named = {
        guest: torch.from_numpy(rng.choice(histories[[guest]].indices, LIKED, replace=False)).long()
        for guest in guests.tolist()
    }
    rows: list[Row] = []
    for ridge in (BEFORE, *(factor * chosen for factor in FACTORS)):
        model = trained(data, ridge, BEFORE)
        as_listeners = trained(data, ridge, ridge)
        rows.append(
            {
                "lambda": ridge,
                **figure("listeners", of_listeners(model), truth, 20, truth.users),
                **figure("guests as listeners", of_listeners(model), truth, 10, guests),
                **figure("guests, lambda of their own", of_guests(model, named), truth, 10, guests),
                **figure("guests, lambda of listeners", of_guests(as_listeners, named), truth, 10, guests),
            }
        )
    return rows


def trained(data: PreparedData, ridge: float, guest_ridge: float) -> Recommender:
    """Return the model that has learned with these lambdas."""
    algorithm = WMF(regularization=ridge, guest_regularization=guest_ridge)
    fitted = algorithm.fit(data, seed=SEED, device="cpu", progress=silent)
    return served(algorithm.kind, fitted.scoring, fitted.arrays, data.interactions)


def of_listeners(model: Recommender) -> Score:
    """Return the scores of known users."""
    return lambda rows: model.score(model.user_vectors(rows))


def of_guests(model: Recommender, named: Mapping[int, Tensor]) -> Score:
    """Return the scores of users who are known by the tracks that they name alone."""
    return lambda rows: model.score(model.fold_in([named[row] for row in rows.tolist()]))


def figure(name: str, score: Score, truth: Truth, k: int, users: NDArray[np.int64]) -> Row:
    """Return nDCG@k of the users with its 95 % interval."""
    found = estimates(rank_metrics(score, truth, (k,), users).columns, SEED)[f"ndcg@{k}"]
    return {name: found.mean, f"{name} low": found.low, f"{name} high": found.high}


def main() -> None:
    """Measure and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(numba.get_num_threads())
    results = {"synthetic": compare(synthetic())}
    if source := os.environ.get("TUTTI_DATA"):
        results["ml-1m"] = compare(ml_1m(Path(source)))
    for name, rows in results.items():
        for row in rows:
            print(name, "  ".join(f"{key} {value:.4f}" for key, value in row.items() if key.split()[-1] not in ENDS))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
