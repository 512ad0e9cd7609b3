"""The two presets of softmax on playlists-2018, rows split 80/10/10 at random: what they reach and what they cost.

    TUTTI_DATA=... python -m benchmarks.softmax

The recipe of `original` was measured elsewhere at accuracy .7347, loss .8357 and MAP@10 .044 on such a split. Accuracy
and loss are of the held-out track among 20 drawn uniformly, accidental hits included, for both presets alike; MAP@10
ranks all tracks that are not in train. `fold-in` ranks with vectors solved from the histories of the same users, as a
guest's is.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time

import torch

from service.core.recommender import Recommender
from training.__main__ import main as run_command
from training.bootstrap import estimates
from training.data import PreparedData, load
from training.metrics import Score, Truth, rank_metrics, sample
from training.models.algorithm import silent
from training.models.softmax import Softmax
from training.served import served

RESULTS = Path(__file__).parent / "results" / "softmax.json"
SEEDS = range(3)
Row = dict[str, str | float]


def prepared(source: Path) -> PreparedData:
    """Return the random split, made below data/ where it is not there yet."""
    out = Path("data/random-2018")
    if not out.exists():
        events = source / "playlists-2018" / "interactions.csv.gz"
        run_command(["prepare", "--events", str(events), "--split", "random", "--seed", "0", "--out", str(out)])
    return load(out)


def measured(preset: str, data: PreparedData, seed: int) -> Row:
    """Return what one fit of a preset cost and reached on the test split."""
    algorithm = Softmax.preset(preset)
    wall, cpu = perf_counter(), process_time()
    fitted = algorithm.fit(data, seed=seed, device="cpu", progress=silent)
    row: Row = {"preset": preset, "seed": seed, "wall_s": perf_counter() - wall, "cpu_s": process_time() - cpu}
    row |= {name: fitted.metrics[name] for name in ("best_epoch", "test_accuracy", "test_loss")}
    model = served(algorithm.kind, fitted.scoring, fitted.arrays, data.interactions)
    row |= judged("", lambda rows: model.score(model.user_vectors(rows)), data)
    return row | judged("fold-in ", lambda rows: model.score(folded_in(model, rows)), data, at_most=5_000)


def folded_in(model: Recommender, user_rows: torch.Tensor) -> torch.Tensor:
    """Return the vectors that users would have as guests who like what they heard in training."""
    return model.fold_in([torch.from_numpy(model.history.tracks_of(row).astype("int64")) for row in user_rows.tolist()])


def judged(title: str, score: Score, data: PreparedData, at_most: int | None = None) -> Row:
    """Return MAP@10 and recall@20 on the test split with their intervals over all users, or so many drawn of them."""
    truth = Truth.of(data.test, data.interactions.matrix.shape, excluded=data.interactions.matrix)
    figures = estimates(rank_metrics(score, truth, (10, 20), sample(truth.users, at_most, seed=0)).columns, seed=0)
    row: Row = {}
    for name in ("map@10", "recall@20"):
        figure = figures[name]
        low, high = figure.ends
        row |= {title + name: figure.mean, f"{title}{name} low": low, f"{title}{name} high": high}
    return row


def main() -> None:
    """Run all, print and keep the results."""
    source = os.environ.get("TUTTI_DATA")
    if not source:
        print("softmax: TUTTI_DATA is not set, left out", file=sys.stderr)
        return
    data = prepared(Path(source))
    rows = []
    for preset in ("original", "default"):
        for seed in SEEDS:
            rows.append(measured(preset, data, seed))
            print(
                "  ".join(
                    f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                    for key, value in rows[-1].items()
                )
            )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
