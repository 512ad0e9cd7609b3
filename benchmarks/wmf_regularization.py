"""What WMF's lambda and w0 are worth in data of many kinds, to listeners and to guests; validation data alone.

    TUTTI_DATA=... python -m benchmarks.wmf_regularization

Half of the validation users choose where something is to be chosen, the others judge all. ML-1M's train file judged by
its valid file, playlists-2018 at random, the ends of gowalla's histories and the log of a synthetic service; whole,
with some of their users, their most played tracks, or some of their training pairs drawn at random. Guests are a
thousand of the judges of whom five liked tracks, drawn at random, are folded in; only tracks new to them count.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Final

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks import softmax
from benchmarks.public_split import write_ends, write_split
from benchmarks.quality import SEED, Row
from benchmarks.recency import synthetic
from service.core.ids import UNKNOWN, IdIndex
from service.core.recommender import Recommender
from training.bootstrap import estimates
from training.data import Interactions, Pairs, PreparedData, load
from training.guests import Guests
from training.metrics import Score, Truth, rank_metrics, sample
from training.models.algorithm import Algorithm, silent
from training.models.wmf import WMF, density
from training.served import served

RESULTS: Final = Path(__file__).parent / "results" / "wmf_regularization.json"
CHOSEN: Final = ("unobserved_weight", "regularization", "guest_regularization")
LIKED: Final = 5
GUESTS: Final = 1000
LISTENERS: Final = 3000


def worlds(source: Path | None) -> Iterator[tuple[str, PreparedData]]:
    """Yield the data by name."""
    log = synthetic()
    yield "synthetic", log
    yield "synthetic, .3 of the pairs", thinned(log, 0.3)
    if source is None:
        return
    write_split(source / "ml-1m", Path("data/ml-1m-validation"), "validation")
    films = load(Path("data/ml-1m-validation"))
    yield "ml-1m", films
    for share in (0.3, 0.1):
        yield f"ml-1m, {share:g} of the pairs", thinned(films, share)
    for users in (1000, 300):
        yield f"ml-1m, {users} users", part(films, some_users(films, users), every_track(films))
    playlists = softmax.prepared(source)
    yield "playlists-2018", playlists
    yield "playlists-2018, 5000 users", part(playlists, some_users(playlists, 5000), every_track(playlists))
    yield "playlists-2018, 2000 tracks", part(playlists, every_user(playlists), most_played(playlists, 2000))
    write_ends(source / "gowalla", Path("data/gowalla-ends"))
    places = load(Path("data/gowalla-ends"))
    yield "gowalla", places
    yield "gowalla, .5 of the pairs", thinned(places, 0.5)


def thinned(data: PreparedData, share: float) -> PreparedData:
    """Return data of which only so many training pairs are left."""
    heard = data.interactions.matrix
    keep = np.random.default_rng(SEED).random(heard.nnz) < share
    rows = np.repeat(np.arange(heard.shape[0]), np.diff(heard.indptr))[keep]
    matrix = csr_array((heard.data[keep], (rows, heard.indices[keep])), shape=heard.shape)
    return replace(data, interactions=unordered(data.interactions, matrix))


def part(data: PreparedData, users: NDArray[np.int64], tracks: NDArray[np.int64]) -> PreparedData:
    """Return the data of these rows alone."""
    everything = data.interactions
    matrix = csr_array(csr_array(everything.matrix[users])[:, tracks])
    matrix.sort_indices()
    return replace(
        data,
        interactions=Interactions(chosen_ids(everything.users, users), chosen_ids(everything.tracks, tracks), matrix),
        validation=renumbered(data.validation.known(), everything.matrix.shape, users, tracks),
        catalogue=[data.catalogue[row] for row in tracks],
    )


def renumbered(pairs: Pairs, shape: tuple[int, int], users: NDArray[np.int64], tracks: NDArray[np.int64]) -> Pairs:
    """Return the pairs of these users and tracks, by their places among them."""
    user_places, track_places = (np.full(size, UNKNOWN, dtype=np.int64) for size in shape)
    user_places[users], track_places[tracks] = np.arange(len(users)), np.arange(len(tracks))
    return Pairs(user_places[pairs.user_rows], track_places[pairs.track_rows], pairs.scores).known()


def chosen_ids(index: IdIndex, rows: NDArray[np.int64]) -> IdIndex:
    """Return the ids of these rows."""
    return IdIndex(index.ids[row] for row in rows)


def unordered(interactions: Interactions, matrix: csr_array) -> Interactions:
    """Return the same users and tracks with other scores."""
    return Interactions(interactions.users, interactions.tracks, matrix)


def some_users(data: PreparedData, users: int) -> NDArray[np.int64]:
    """Return the rows of so many users, drawn at random."""
    return sample(every_user(data), users, SEED)


def every_user(data: PreparedData) -> NDArray[np.int64]:
    """Return the rows of all users."""
    return np.arange(data.interactions.matrix.shape[0])


def every_track(data: PreparedData) -> NDArray[np.int64]:
    """Return the rows of all tracks."""
    return np.arange(data.interactions.matrix.shape[1])


def most_played(data: PreparedData, tracks: int) -> NDArray[np.int64]:
    """Return the rows of so many tracks with the most listeners."""
    listeners = np.bincount(data.interactions.positives.indices, minlength=len(every_track(data)))
    return np.sort(np.argsort(-listeners, kind="stable")[:tracks])


def contestants(heard: csr_array) -> dict[str, WMF]:
    """Return what is compared, by name: what was the default, what is, and what could be."""
    by_density = min(max(0.35 * density(heard), 0.0007), 0.015)
    w0 = WMF().unobserved(heard)
    guests = min(by_density, 0.0007 * 0.16 / w0)
    return {
        "one for all data": WMF(unobserved_weight=0.16, regularization=0.0007, guest_regularization=0.0007),
        "lambda by density": WMF(regularization=by_density, guest_regularization=guests),
        "lambda by noise": by_noise(WMF(), heard),
        "lambda chosen": WMF(unobserved_weight=w0),
        "lambda and w0 chosen": WMF(),
        "half w0": by_noise(WMF(unobserved_weight=0.5 * w0), heard),
        "twice w0": by_noise(WMF(unobserved_weight=2 * w0), heard),
        "length_exponent 0": by_noise(WMF(length_exponent=0.0), heard),
    }


def by_noise(algorithm: WMF, heard: csr_array) -> WMF:
    """Return the algorithm with the lambdas that it has where no validation users choose them."""
    ridges = {"regularization": algorithm.ridge(heard), "guest_regularization": algorithm.guest_ridge(heard)}
    return algorithm.model_copy(update=ridges)


def compare(data: PreparedData, algorithms: Mapping[str, Algorithm], chosen: Sequence[str]) -> list[Row]:
    """Return what every algorithm is worth: nDCG@20 of listeners, nDCG@10 of guests and of the listeners they are.

    With it come its parameters that may be `chosen`, and the seconds of CPU that the fit took.
    """
    users = np.random.default_rng(SEED).permutation(np.unique(data.validation.user_rows))
    choosing = np.isin(data.validation.user_rows, users[: len(users) // 2])
    learned = replace(data, validation=data.validation.where(choosing))
    heard = data.interactions.matrix
    truth = Truth.of(data.validation.where(~choosing), heard.shape, heard)
    judges = sample(truth.users, LISTENERS, SEED)
    guests = Guests.drawn(truth.users, data.interactions.positives, LIKED, GUESTS, SEED)
    rows: list[Row] = []
    for name, algorithm in algorithms.items():
        before = process_time()
        fitted = algorithm.fit(learned, seed=SEED, device="cpu", progress=silent)
        cpu_s = process_time() - before
        model = served(algorithm.kind, fitted.scoring, fitted.arrays, data.interactions)
        rows.append(
            {
                "model": name,
                **{parameter: fitted.metrics[parameter] for parameter in chosen},
                "fit_cpu_s": cpu_s,
                **figure("listeners", of_listeners(model), truth, 20, judges),
                **figure("guests as listeners", of_listeners(model), truth, 10, guests.user_rows),
                **figure("guests", of_guests(model, guests), truth, 10, guests.user_rows),
            }
        )
    return rows


def of_listeners(model: Recommender) -> Score:
    """Return the scores of known users."""
    return lambda rows: model.score(model.user_vectors(rows))


def of_guests(model: Recommender, guests: Guests) -> Score:
    """Return the scores of users who are known by the tracks that they name alone."""
    return lambda rows: model.score(
        model.fold_in([guests.named[at] for at in np.searchsorted(guests.user_rows, rows.numpy())])
    )


def figure(name: str, score: Score, truth: Truth, k: int, users: NDArray[np.int64]) -> Row:
    """Return nDCG@k of the users with its 95 % interval."""
    found = estimates(rank_metrics(score, truth, (k,), users).columns, SEED)[f"ndcg@{k}"]
    low, high = found.ends
    return {name: found.mean, f"{name} low": low, f"{name} high": high}


def tell(data: str, rows: Sequence[Row]) -> None:
    """Print the figures of one set of data."""
    for row in rows:
        figures = (f"{key} {value:.4f}" for key, value in row.items() if isinstance(value, float))
        print(f"{data:28} {row['model']:20}", "  ".join(figures), flush=True)


def measure(contestants: Callable[[csr_array], Mapping[str, Algorithm]], chosen: Sequence[str], results: Path) -> None:
    """Compare what there is for the scores (users, tracks) of each world, and write the results."""
    torch.set_num_threads(numba.get_num_threads())
    source = os.environ.get("TUTTI_DATA")
    found: dict[str, list[Row]] = {}
    for name, data in worlds(Path(source) if source else None):
        found[name] = compare(data, contestants(data.interactions.matrix), chosen)
        tell(name, found[name])
    results.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Measure and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    measure(contestants, CHOSEN, RESULTS)


if __name__ == "__main__":
    main()
