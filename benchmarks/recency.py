"""How much more the end of a history should say where the times of listening order it: item_knn, ease and wmf.

    TUTTI_DATA=... python -m benchmarks.recency

Two histories in their order: the train file of gowalla, whose lines keep it, the last fifth of every line held out; and
the log of a synthetic service, split by user and time. Neither is a test split, and only tracks new to a user count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numba
import pandas as pd
import torch
from pydantic import JsonValue

from benchmarks.public_split import read_pairs, write_ends
from benchmarks.quality import GOWALLA, Contestant, Row, fit_all, measured
from training.data import PreparedData, interactions_of, load, read_split

RESULTS: Final = Path(__file__).parent / "results" / "recency.json"
BOOSTS: Final = (1.0, 2.0, 3.0, 5.0)
FIELD: Final = {"item_knn": "tail_boost", "ease": "tail_boost", "wmf": "recent_boost"}
"""What the models call it."""


def gowalla(source: Path) -> PreparedData:
    """Return the train file without the ends of its lines, the place in the line for a time."""
    folder = Path("data/gowalla-ends")
    write_ends(source / "gowalla", folder)
    lines = read_pairs([source / "gowalla" / "train.txt.gz"]).drop_duplicates()
    times = pd.Timestamp(0) + pd.to_timedelta(lines.groupby("user_id").cumcount(), unit="s")
    train = read_split(folder, "train").drop(columns="last_time").merge(lines.assign(last_time=times))
    return replace(load(folder), interactions=interactions_of(train))


def synthetic() -> PreparedData:
    """Return the log of `python -m training sample`, as the quick start has it."""
    with tempfile.TemporaryDirectory() as folder:
        logs, prepared = Path(folder) / "logs", Path(folder) / "prepared"
        subprocess.run([sys.executable, "-m", "training", "sample", "--out", logs], check=True)
        files = [part for name in ("tracks", "artists", "users") for part in (f"--{name}", logs / f"{name}.jsonl")]
        command = ["--events", logs / "sessions.jsonl", *files, "--out", prepared]
        subprocess.run([sys.executable, "-m", "training", "prepare", *command], check=True, stdout=subprocess.DEVNULL)
        return load(prepared)


def compare(data: PreparedData, tuned: Mapping[str, Mapping[str, JsonValue]]) -> list[Row]:
    """Return what every model is worth with every boost."""
    validation = replace(data, test=data.test.where(data.test.scores < 0))
    contestants = {
        f"{name} {boost:g}": Contestant(name, overrides={**tuned.get(name, {}), field: boost})
        for name, field in FIELD.items()
        for boost in BOOSTS
    }
    fitted = fit_all(contestants, validation)
    return [
        {"model": name, **measured(contestant.make(), fitted[name], validation)}
        for name, contestant in contestants.items()
    ]


def main() -> None:
    """Measure and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(numba.get_num_threads())
    results = {"synthetic": compare(synthetic(), {})}
    if source := os.environ.get("TUTTI_DATA"):
        tuned = {name: contestant.overrides for name, contestant in GOWALLA.items()}
        results["gowalla"] = compare(gowalla(Path(source)), tuned)
    for name, rows in results.items():
        for row in rows:
            figures = "  ".join(f"{metric} {row[f'validation {metric}']:.4f}" for metric in ("recall@20", "ndcg@20"))
            print(f"{name:10} {row['model']:12} {figures}")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
