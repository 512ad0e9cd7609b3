"""What guests get who name a few tracks they like, beside the same people as known users (docs/results.md).

    TUTTI_DATA=... python -m benchmarks.guests

Playlists-2018 split at random, and ML-1M's fixed split, where a blend learns its weights from the valid file and is
judged, after learning from train and valid, by the test file. Models are trained with their defaults where they are
not below data/ yet, so remove data/*/models to measure changed ones.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import group_strategies, softmax
from benchmarks.quality import Row
from service.core.artifacts import ArtifactStore
from training.__main__ import main as run_command
from training.models.blend import Blend

RESULTS: Final = Path(__file__).parent / "results" / "guests.json"
PARTS: Final = Blend().parts
WEIGHTS: Final = ("weights", "guest_weights")


def playlists(source: Path) -> list[Row]:
    """Judge 10,000 guests of five tracks or more."""
    softmax.prepared(source)
    folder = Path("data/random-2018")
    store = ArtifactStore(folder / "models")
    for model in (*PARTS, "blend"):
        train(folder, store, model)
    return curve(folder, store, ["--cold-start", "5", "--max-users", "0", "--max-guests", "10000", "--n-groups", "30"])


def ml_1m() -> list[Row]:
    """Judge all guests of twenty tracks or more; the blend's weights come from the valid file."""
    for judge in ("validation", "test"):
        for part in PARTS:
            store = group_strategies.trained(judge, part)
    metrics = group_strategies.trained("validation", "blend").manifest("blend").metrics
    chosen = {whose: ",".join(str(metrics[f"{whose[:-1]}_{part}"]) for part in PARTS) for whose in WEIGHTS}
    folder = group_strategies.prepared("test")
    train(folder, store, "blend", *(f"{whose}={weights}" for whose, weights in chosen.items()))
    return curve(folder, store, ["--cold-start", "20", "--max-users", "0", "--max-guests", "0", "--n-groups", "5"])


def train(folder: Path, store: ArtifactStore, model: str, *parameters: str) -> None:
    """Train a model with its defaults but for some parameters, if it is not there yet."""
    if model not in store.names():
        options = [option for parameter in parameters for option in ("--set", parameter)]
        run_command(["train", model, "--data", str(folder), "--models", str(store.root), *options])


def curve(folder: Path, store: ArtifactStore, options: Sequence[str]) -> list[Row]:
    """Return a row for every model and number of tracks: nDCG@10, and its share of what the known user gets."""
    models = ["--models", str(store.root), "--model", *PARTS, "blend", "--strategy", "average", "fair_share"]
    with tempfile.TemporaryDirectory() as out:
        run_command(["evaluate", "--data", str(folder), *models, *options, "--out", f"{out}/report"])
        points = json.loads(Path(out, "report", "results.json").read_text())["cold_start"]["points"]
    return [
        {
            "model": point["model"],
            "liked": point["liked"],
            **{name: point["quality"][name] for name in ("mean", "low", "high")},
            **{f"share {name}": point["share"][name] for name in ("mean", "low", "high") if point["share"]},
        }
        for point in points
    ]


def main() -> None:
    """Measure and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not os.environ.get("TUTTI_DATA"):
        print("guests: TUTTI_DATA is not set, left out", file=sys.stderr)
        return
    results = {"playlists-2018": playlists(Path(os.environ["TUTTI_DATA"])), "ml-1m": ml_1m()}
    for name, rows in results.items():
        for row in rows:
            print(f"{name:15} {row['model']:9} {row['liked']:>6} {row['mean']:.4f} {row.get('share mean', 0):.3f}")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
