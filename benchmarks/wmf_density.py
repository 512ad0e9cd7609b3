"""What WMF's w0, lambda and length_exponent are worth in dense data, to listeners and to guests; validation data alone.

    TUTTI_DATA=... python -m benchmarks.wmf_density

ML-1M's train file judged by its valid file, and the log of a synthetic service, split by user and time; both whole and
with three tenths of their training pairs, drawn at random. Guests are a thousand listeners of whom five liked tracks,
drawn at random, are folded in; only tracks new to them count.
"""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from benchmarks.public_split import write_split
from benchmarks.quality import SEED, Row
from benchmarks.recency import synthetic
from service.core.recommender import Recommender
from training.bootstrap import estimates
from training.data import PreparedData, load
from training.metrics import Score, Truth, rank_metrics, sample
from training.models.algorithm import silent
from training.models.wmf import WMF, density
from training.served import served

RESULTS: Final = Path(__file__).parent / "results" / "wmf_density.json"
THINNED: Final = 0.3
"""Share of the training pairs that is left of thinned data."""
LIKED: Final = 5
GUESTS: Final = 1000


def ml_1m(source: Path) -> PreparedData:
    """Return the train file, and the valid file to judge by."""
    folder = Path("data/ml-1m-validation")
    write_split(source / "ml-1m", folder, "validation")
    return load(folder)


def thinned(data: PreparedData) -> PreparedData:
    """Return data of which only some training pairs are left."""
    interactions = data.interactions
    heard, positions, timed = interactions.matrix, interactions.positions, interactions.timed
    keep = np.random.default_rng(SEED).random(heard.nnz) < THINNED
    rows = np.repeat(np.arange(heard.shape[0]), np.diff(heard.indptr))[keep]
    left = replace(
        interactions,
        matrix=csr_array((heard.data[keep], (rows, heard.indices[keep])), shape=heard.shape),
        positions=None if positions is None else positions[keep],
        timed=None if timed is None else timed[keep],
    )
    return replace(data, interactions=left)


def contestants(heard: csr_array) -> dict[str, WMF]:
    """Return what is compared, by name: the default and what was or could be in its place."""
    chosen = WMF().settled(heard)
    w0, ridge = WMF().unobserved(heard), WMF().ridge(heard)
    return {
        "one for all data": WMF(unobserved_weight=0.16, regularization=0.0007, length_exponent=0),
        "lambda alone by density": WMF(
            unobserved_weight=0.16, regularization=0.07 * density(heard) / 0.16, length_exponent=0
        ),
        "default": chosen,
        "guests with lambda of listeners": chosen.model_copy(update={"guest_regularization": ridge}),
        "length_exponent 0": chosen.model_copy(update={"length_exponent": 0.0}),
        **{f"{times:g} w0": chosen.model_copy(update={"unobserved_weight": times * w0}) for times in (0.5, 2)},
        **{f"{times:g} lambda": chosen.model_copy(update={"regularization": times * ridge}) for times in (0.5, 2)},
    }


def compare(data: PreparedData) -> list[Row]:
    """Return what every contestant is worth: nDCG@20 of listeners, nDCG@10 of guests and of the listeners they are."""
    truth = Truth.of(data.validation, data.interactions.matrix.shape, data.interactions.matrix)
    histories = data.interactions.positives
    guests = sample(truth.users[np.diff(histories.indptr)[truth.users] > LIKED], GUESTS, SEED)
    rng = np.random.default_rng(SEED)
    named = {
        guest: torch.from_numpy(rng.choice(histories[[guest]].indices, LIKED, replace=False)).long()
        for guest in guests.tolist()
    }
    rows: list[Row] = []
    for name, algorithm in contestants(data.interactions.matrix).items():
        fitted = algorithm.fit(data, seed=SEED, device="cpu", progress=silent)
        model = served(algorithm.kind, fitted.scoring, fitted.arrays, data.interactions)
        rows.append(
            {
                "weights": name,
                "w0": algorithm.unobserved(data.interactions.matrix),
                "lambda": algorithm.ridge(data.interactions.matrix),
                **figure("listeners", of_listeners(model), truth, 20, truth.users),
                **figure("guests as listeners", of_listeners(model), truth, 10, guests),
                **figure("guests", of_guests(model, named), truth, 10, guests),
            }
        )
    return rows


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
    whole = {"synthetic": synthetic()}
    if source := os.environ.get("TUTTI_DATA"):
        whole["ml-1m"] = ml_1m(Path(source))
    results: dict[str, list[Row]] = {}
    for name, data in whole.items():
        results |= {name: compare(data), f"{name}, thinned": compare(thinned(data))}
    for name, rows in results.items():
        for row in rows:
            figures = (
                f"{key} {row[key]:.4f}" for key in ("w0", "lambda", "listeners", "guests as listeners", "guests")
            )
            print(f"{name:18} {row['weights']:32}", "  ".join(figures))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
