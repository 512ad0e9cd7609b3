"""WMF beside implicit, irspack and the gradient way, and what each dim is worth.

    TUTTI_DATA=... python -m benchmarks.wmf [solvers] [gradient] [quality]

Everything runs in one process, one after another, and every loss is computed by `training.als.objective.loss`. What is
compared are CPU seconds (user + system), as they depend least on what else the machine does.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Literal, NamedTuple

import numba
import numpy as np
import torch
from implicit.cpu import _als  # the compiled solvers; implicit.cpu.als has slow ones of the same names
from irspack import IALSRecommender
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits
from torch.nn import Parameter

from benchmarks.holdout_2018 import prepared_holdout
from training.als import dense
from training.als.objective import Objective, loss, make_objective
from training.bootstrap import estimates
from training.data import Pairs, PreparedData
from training.factors import Factors
from training.metrics import Truth, rank_metrics
from training.models.algorithm import silent
from training.models.wmf import WMF, random_factors

RESULTS = Path(__file__).parent / "results" / "wmf.json"
EXCESS, RIDGE = 19.0, 20.0
"""c - w0 and lambda, w0 = 1: the one weighting that all three libraries can express."""
Row = dict[str, str | float]


def log(users: int = 3_000, tracks: int = 22_000, pairs: int = 1_900_000, seed: int = 0) -> csr_array:
    """Return a log of about so many distinct pairs, played once: activity and popularity are log-normal."""
    rng = np.random.default_rng(seed)
    activity, popularity = rng.lognormal(0, 0.7, users), rng.lognormal(0, 1.3, tracks)
    draws = int(1.12 * pairs)
    rows = rng.choice(users, draws, p=activity / activity.sum())
    columns = rng.choice(tracks, draws, p=popularity / popularity.sum())
    heard = csr_array((np.ones(draws, dtype=np.float32), (rows, columns)), shape=(users, tracks))
    heard.data[:] = 1
    return heard


class Epoch(NamedTuple):
    """What one epoch cost."""

    cpu: float
    wall: float


def timed(epochs: Iterator[Factors], n: int) -> tuple[list[Epoch], Factors]:
    """Return the cost of each of n epochs, and the factors after them; the first warms up and is not counted."""
    costs = []
    for _ in range(n):
        cpu, wall = process_time(), perf_counter()
        factors = next(epochs)
        costs.append(Epoch(process_time() - cpu, perf_counter() - wall))
    return costs[1:], factors


def ours(solver: str, objective: Objective, start: Factors) -> Iterator[Factors]:
    """Yield our factors epoch by epoch."""
    return WMF.preset(overrides={"solver": solver}).minimise(objective, start, 0, "cpu")


def of_implicit(solver: Callable[..., None], heard: csr_array, start: Factors, threads: int) -> Iterator[Factors]:
    """Yield implicit's factors epoch by epoch: c is the stored value, w0 = 1."""
    users, items = (side.copy() for side in start)
    confidence = csr_matrix(heard) * np.float32(1 + EXCESS)
    transposed = confidence.T.tocsr()
    while True:
        solver(confidence, users, items, RIDGE, num_threads=threads)
        solver(transposed, items, users, RIDGE, num_threads=threads)
        yield Factors(users, items)


def of_irspack(solver: Literal["CG", "CHOLESKY"], heard: csr_array, start: Factors, threads: int) -> Iterator[Factors]:
    """Yield irspack's factors epoch by epoch: with loss_type ORIGINAL c = alpha0 + the stored value."""
    model = IALSRecommender(
        csr_matrix(heard) * np.float32(EXCESS),
        n_components=start.users.shape[1],
        alpha0=1.0,
        reg=RIDGE,
        nu=0.0,
        loss_type="ORIGINAL",
        solver_type=solver,
        n_threads=threads,
    )
    model.start_learning()
    while True:
        model.run_epoch()
        yield Factors(model.get_user_embedding(), model.get_item_embedding())


def compare_solvers(name: str, heard: csr_array, dim: int, threads: int, epochs: int = 5) -> list[Row]:
    """Return seconds an epoch and the loss reached by every solver on one objective."""
    n = heard.nnz
    objective = make_objective(heard, np.full(n, EXCESS, np.float32), np.ones(n, np.bool_), 1.0, RIDGE, 0.0)
    start = random_factors(*heard.shape, dim, seed=0)
    numba.set_num_threads(threads)
    torch.set_num_threads(threads)
    contestants = {
        "ours cg": ours("cg", objective, start),
        "implicit cg": of_implicit(_als.least_squares_cg, heard, start, threads),
        "irspack cg": of_irspack("CG", heard, start, threads),
        "ours cholesky": ours("cholesky", objective, start),
        "implicit cholesky": of_implicit(_als.least_squares, heard, start, threads),
        "irspack cholesky": of_irspack("CHOLESKY", heard, start, threads),
        "ours batched": ours("batched", objective, start),
    }
    rows: list[Row] = []
    for contestant, steps in contestants.items():
        with threadpool_limits(1, user_api="blas"):  # as implicit asks for, and what our kernels do themselves
            costs, factors = timed(steps, epochs)
        row: Row = {"data": name, "pairs": n, "dim": dim, "threads": threads, "solver": contestant}
        row |= {"cpu_s_epoch": median(cost.cpu for cost in costs), "wall_s_epoch": median(cost.wall for cost in costs)}
        rows.append({**row, "epochs": epochs, "loss": loss(objective, factors)})
        print_row(rows[-1])
    return rows


def solvers(source: Path | None) -> list[Row]:
    """Compare on a dense log and, where the data are, on short playlists; with one thread and with two."""
    rows = []
    for threads in (1, 2):
        rows += compare_solvers("3,000 x 22,000", log(), 64, threads)
        if source is not None:
            playlists = prepared_holdout(source / "playlists-2018", "targets").interactions.matrix
            rows += compare_solvers("playlists-2018", playlists, 128, threads)
    return rows


def gradient() -> list[Row]:
    """Compare 15 epochs of least squares with 15 epochs over the dense grid, extrapolated from 200 steps; one core."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    heard = log()
    model = WMF.preset("original", {"solver": "cg"})
    objective = model.objective(heard, model.ridge(heard))
    start = random_factors(*heard.shape, model.length(*heard.shape), seed=0)
    next(ours("cg", objective, start))  # compiles
    before = process_time()
    *_, factors = islice(ours("cg", objective, start), model.epochs)
    seconds = process_time() - before
    users, items = (Parameter(torch.from_numpy(side.copy())) for side in start)
    step = dense.make_step(objective, users, items, dense.Descent())
    batches = torch.randint(heard.shape[0] * heard.shape[1], (201, 512), generator=torch.Generator().manual_seed(0))
    step(batches[0])
    before = process_time()
    for batch in batches[1:]:
        step(batch)
    a_step = (process_time() - before) / 200
    whole = a_step * heard.shape[0] * heard.shape[1] / 512 * model.epochs
    row: Row = {"data": "3,000 x 22,000", "pairs": heard.nnz, "dim": model.length(*heard.shape), "epochs": model.epochs}
    row |= {"cg_cpu_s": seconds, "sgd_cpu_s": whole, "ratio": whole / seconds, "cg_loss": loss(objective, factors)}
    print_row(row)
    return [row]


def judged(model: WMF, data: PreparedData, held_out: dict[str, Pairs], seed: int = 0) -> Row:
    """Return what a model costs and what its rankings are worth on each set of held-out pairs."""
    before = process_time()
    fitted = model.fit(data, seed=seed, device="cpu", progress=silent)
    row: Row = {"fit_cpu_s": process_time() - before}
    users, items = (torch.from_numpy(fitted.arrays[name]) for name in ("user_factors", "item_factors"))
    by_dim = items.T.contiguous()
    for split, pairs in held_out.items():
        truth = Truth.of(pairs, data.interactions.matrix.shape, data.interactions.matrix)
        columns = rank_metrics(lambda rows: users[rows] @ by_dim, truth, (10, 20)).columns
        figures = estimates(columns, seed)
        for name in ("map@10", "recall@20", "ndcg@20"):
            low, high = figures[name].ends
            row |= {f"{split} {name}": figures[name].mean, f"{split} {name} low": low}
            row |= {f"{split} {name} high": high, f"{split} users": figures[name].n}
    return row | {"score_us_user": score_cost(users, by_dim)}


def score_cost(users: torch.Tensor, by_dim: torch.Tensor) -> float:
    """Return CPU microseconds to score all tracks for one member, in batches of 64 groups of 5."""
    members = users[:320]
    members @ by_dim
    before = process_time()
    for _ in range(5):
        members @ by_dim
    return (process_time() - before) / 5 / len(members) * 1e6


def quality(source: Path | None) -> list[Row]:
    """Judge the presets, and `default` at other dims, on a hold-out of playlists-2018."""
    if source is None:
        print("quality: TUTTI_DATA is not set, left out", file=sys.stderr)
        return []
    torch.set_num_threads(1)
    data = prepared_holdout(source / "playlists-2018", "complete")
    models = {"original": WMF.preset("original"), "default": WMF()}
    models |= {f"default, dim {dim}": WMF(dim=dim) for dim in (32, 64, 128, 256)} | {"large": WMF.preset("large")}
    rows: list[Row] = []
    for name, model in models.items():
        dim = model.length(*data.interactions.matrix.shape)
        about: Row = {"data": "playlists-2018", "model": name, "dim": dim, "epochs": model.epochs}
        rows.append(about | judged(model, data, {"validation": data.validation, "test": data.test}))
        print_row(rows[-1])
    return rows


def print_row(row: Row) -> None:
    """Print one result."""
    figures = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    print("  ".join(figures), flush=True)


def main() -> None:
    """Run the parts that are named, all by default, and keep what the other parts found last time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["solvers", "gradient", "quality"])
    parts = parser.parse_args().parts
    source = Path(os.environ["TUTTI_DATA"]) if os.environ.get("TUTTI_DATA") else None
    run: dict[str, Callable[[], list[Row]]] = {
        "solvers": lambda: solvers(source),
        "gradient": gradient,
        "quality": lambda: quality(source),
    }
    for part in parts:
        rows = run[part]()
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results | {part: rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
