"""`python -m benchmarks.prepare`: prepare beside json.loads + pandas on the same log, and alone on a long one.

Both read the same JSON lines of a synthetic service, dirty lines included, and do the same job: reject, clean, fill
in users, drop duplicates, split by user and time, aggregate, write Parquet, count. The pairs must come out equal. Each
runs in a process of its own; seconds are wall clock with interpreter start, memory is the peak resident set.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "prepare.json"
SPLITS = ("train", "validation", "test")


def with_tutti(log: Path, out: Path) -> None:
    """Prepare as the command line does, with its defaults."""
    from training.prepare import PrepareSettings, prepare

    prepare(PrepareSettings(events=(log,)), out)


def with_pandas(log: Path, out: Path) -> None:
    """Do the same with json.loads line by line and pandas."""
    import pandas as pd

    columns: dict[str, list[object]] = {
        key: [] for key in ("timestamp", "user_id", "track_id", "event_type", "session_id")
    }
    out.mkdir(parents=True)
    with log.open() as lines, (out / "rejected.jsonl").open("w") as rejected:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except ValueError:
                rejected.write(json.dumps({"file": str(log), "line": number, "text": line}) + "\n")
                continue
            for key, values in columns.items():
                value = record.get(key)
                values.append(value if value is None else str(value))
    events = pd.DataFrame(columns)
    columns.clear()
    report: dict[str, object] = {"read": number, "unreadable": number - len(events)}
    for key in ("user_id", "track_id"):
        assert not events[key].str.contains(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", na=False).any()
    events["timestamp"] = pd.to_datetime(events["timestamp"], format="ISO8601", errors="coerce")
    owners = events.dropna(subset=["user_id"]).groupby("session_id")["user_id"].agg(["first", "nunique"])
    agreed = owners.loc[owners["nunique"] == 1, "first"]
    events["user_id"] = events["user_id"].fillna(events["session_id"].map(agreed))
    events["event_type"] = events["event_type"].str.lower().str.strip()
    report["types"] = events["event_type"].value_counts(dropna=False).to_dict()
    events = events[events["event_type"].isin(["play", "skip", "like"])]
    events = events[events["track_id"].notna() & (events["track_id"] != "") & events["user_id"].notna()]
    events = events.drop_duplicates()

    by_time = events[["user_id", "timestamp"]].sort_values(["user_id", "timestamp"])
    place = by_time.groupby("user_id").cumcount()
    size = by_time.groupby("user_id")["timestamp"].transform("size")
    later = []
    for held_out in (0.2, 0.1):
        cut = by_time[place == size - (size * held_out + 1e-9).astype(int) - 1].set_index("user_id")["timestamp"]
        later.append(events["timestamp"] > events["user_id"].map(cut))
    events["split"] = later[0].astype(int) + later[1]
    for kind in ("play", "skip", "like"):
        events[f"{kind}s"] = (events["event_type"] == kind).astype("int32")
    totals = {"plays": "sum", "skips": "sum", "likes": "sum", "timestamp": "max"}
    pairs = events.groupby(["split", "user_id", "track_id"]).agg(totals).reset_index()
    pairs["score"] = (pairs["plays"] + pairs["likes"]).astype("float32")
    for number, name in enumerate(SPLITS):
        part = pairs[pairs["split"] == number].drop(columns="split")
        part.to_parquet(out / f"{name}.parquet", index=False)
        if number == 0:
            train = part[["user_id", "track_id"]]
        new = len(part) - len(part[["user_id", "track_id"]].merge(train))
        digest = hashlib.sha256((out / f"{name}.parquet").read_bytes()).hexdigest()
        report[name] = [len(part), part["user_id"].nunique(), part["track_id"].nunique(), new, digest]
    (out / "report.json").write_text(json.dumps(report, default=str))


WAYS = {"tutti": with_tutti, "pandas": with_pandas}


def measure(way: str, log: Path, out: Path) -> dict[str, float]:
    """Run one way in a process of its own and return its seconds, processor seconds and megabytes."""
    start = time.perf_counter()
    worker = subprocess.run(
        [sys.executable, "-m", "benchmarks.prepare", "--worker", way, str(log), str(out)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 2), **json.loads(worker.stdout)}


def work(way: str, log: Path, out: Path) -> None:
    """Do the work of one process and print what it cost."""
    WAYS[way](log, out)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": round(usage.ru_utime + usage.ru_stime, 2), "megabytes": usage.ru_maxrss // 1024}))


def assert_equal_pairs(first: Path, second: Path) -> None:
    """Check that both ways agree on every pair of every split."""
    import duckdb

    columns = "user_id, track_id, score::DOUBLE, plays::BIGINT, skips::BIGINT, likes::BIGINT"
    for name in SPLITS:
        one, other = (
            duckdb.read_parquet(str(folder / f"{name}.parquet")).select(columns) for folder in (first, second)
        )
        assert one.except_(other).fetchall() == other.except_(one).fetchall() == [], f"the ways differ in {name}"


def make_log(folder: Path, events: int, users: int, tracks: int) -> Path:
    """Write a synthetic service and return its log."""
    sizes = ["--events", str(events), "--users", str(users), "--tracks", str(tracks)]
    subprocess.run([sys.executable, "-m", "training", "sample", "--out", str(folder), *sizes], check=True)
    return folder / "sessions.jsonl"


def main() -> None:
    """Run the comparison and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=3, metavar=("WAY", "LOG", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each way, in turns; the fastest counts")
    parser.add_argument("--long", type=int, default=20_000_000, help="events of the long log; 0 leaves it out")
    args = parser.parse_args()
    if args.worker:
        way, log, out = args.worker
        work(way, Path(log), Path(out))
        return
    with tempfile.TemporaryDirectory() as folder:
        results = compare(Path(folder), args.repeat)
    if args.long:
        with tempfile.TemporaryDirectory() as folder:
            log = make_log(Path(folder), args.long, users=200_000, tracks=100_000)
            megabytes = log.stat().st_size // 10**6
            results["long"] = {
                "events": args.long,
                "log_megabytes": megabytes,
                **measure("tutti", log, Path(folder) / "out"),
            }
    show(results)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def compare(folder: Path, repeat: int) -> dict[str, object]:
    """Measure both ways in turns on a log of two million events."""
    log = make_log(folder / "log", 2_000_000, users=20_000, tracks=22_000)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for turn in range(repeat):
        for way in WAYS:
            runs[way].append(measure(way, log, folder / f"{way}-{turn}"))
    assert_equal_pairs(folder / "tutti-0", folder / "pandas-0")
    best = {way: min(measured, key=lambda run: run["seconds"]) for way, measured in runs.items()}
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "events": 2_000_000,
        "log_megabytes": log.stat().st_size // 10**6,
        "best": best,
        "runs": runs,
        "times_faster": round(best["pandas"]["seconds"] / best["tutti"]["seconds"], 2),
        "times_less_cpu": round(best["pandas"]["cpu"] / best["tutti"]["cpu"], 2),
        "share_of_memory": round(best["tutti"]["megabytes"] / best["pandas"]["megabytes"], 3),
    }


def show(results: dict[str, object]) -> None:
    """Print the results as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "events", "seconds", "cpu seconds", "megabytes")
    rows = dict(results["best"])  # type: ignore[call-overload]  # JSON of our own
    for way, run in rows.items():
        table.add_row(way, str(results["events"]), *(str(run[key]) for key in ("seconds", "cpu", "megabytes")))
    if isinstance(long := results.get("long"), dict):
        table.add_row("tutti", *(str(long[key]) for key in ("events", "seconds", "cpu", "megabytes")))
    Console().print(table)
    for ratio in ("times_faster", "times_less_cpu", "share_of_memory"):
        print(f"{ratio}: {results[ratio]}")


if __name__ == "__main__":
    main()
