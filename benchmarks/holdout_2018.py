"""Hold-outs of playlists-2018 made as the organisers of the 2018 challenge made theirs, as prepared-data folders.

The organisers hid a fifth of 10,000 complete playlists: of one half of them the tail, of the other a random part. What
they hid is not published, and the data has these targets without it.

* `complete`: tails are those of the ordered targets, as no others have an order, and random fifths those of as many
  complete playlists, which is how the organisers drew theirs.
* `targets`: both are taken from the targets, which so lose a fifth twice. It asks more than the challenge did.

Only playlists of ten tracks or more are held out from, one half of them for validation and the other for test; a tail
that is in the test of one is in the test of the other. All else is the training split.

    TUTTI_DATA=... python -m benchmarks.holdout_2018 complete --out data/holdout-2018-complete
"""

import argparse
import json
import os
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd

from training.data import PreparedData, load

Of = Literal["complete", "targets"]

FOLDERS: Final[dict[Of, Path]] = {
    "complete": Path("data/holdout-2018-complete"),
    "targets": Path("data/holdout-2018"),
}
"""Where the benchmarks keep them."""
HELD_OUT = 0.2
"""Share of a playlist that is hidden, rounded, at least one track."""
SHORTEST = 10
"""Tracks that a playlist needs to be held out from."""


def prepared_holdout(source: Path, of: Of) -> PreparedData:
    """Return a hold-out of the playlists in `source`, made below data/ where it is not there yet."""
    write_holdout(source, FOLDERS[of], of)
    return load(FOLDERS[of])


def write_holdout(source: Path, out: Path, of: Of, seed: int = 0) -> None:
    """Write train, validation and test of the playlists in `source` to `out`, if they are not there yet."""
    if (out / "report.json").exists():
        return
    pairs = read_pairs(source)
    split = assign(pairs, read_targets(source), of, np.random.default_rng(seed))
    out.mkdir(parents=True, exist_ok=True)
    for name in ("train", "validation", "test"):
        as_prepared(pairs[split == name]).to_parquet(out / f"{name}.parquet", index=False)
    read_catalogue(source).to_parquet(out / "tracks.parquet", index=False)
    report = {"source": "playlists-2018", "of": of, "seed": seed, "pairs": split.value_counts().to_dict()}
    (out / "report.json").write_text(json.dumps(report, indent=2))


def read_pairs(source: Path) -> pd.DataFrame:
    """Return playlist_id, track_id and position, which is null unless the playlist's order is known."""
    pairs = pd.read_csv(source / "interactions.csv.gz", dtype=str)
    order = pd.read_csv(source / "ordered_playlists.csv.gz", dtype={"playlist_id": str, "track_id": str})
    return pairs.merge(order, how="left", on=["playlist_id", "track_id"]).astype({"position": "Int32"})


def read_targets(source: Path) -> list[str]:
    """Return the target playlists."""
    return pd.read_csv(source / "target_playlists.csv.gz", dtype=str)["playlist_id"].tolist()


def assign(pairs: pd.DataFrame, targets: list[str], of: Of, rng: np.random.Generator) -> "pd.Series[str]":
    """Return the split of every pair."""
    length = pairs.groupby("playlist_id")["track_id"].transform("size")
    long_enough, is_target, ordered = length >= SHORTEST, pairs["playlist_id"].isin(targets), pairs["position"].notna()
    validation, test = halves(pairs.loc[long_enough & is_target, "playlist_id"], rng)
    # The position, or chance where there is none: the last fifth in this order is hidden.
    order = pairs["position"].astype("Float64").fillna(pd.Series(rng.random(len(pairs)), pairs.index))
    from_the_end = order.groupby(pairs["playlist_id"]).rank(method="first", ascending=False)
    if of == "complete":
        tails = set(pairs.loc[ordered, "playlist_id"])
        validation, test = validation & tails, test & tails
        complete = pairs.loc[long_enough & ~is_target, "playlist_id"]
        for half, more in zip((validation, test), halves(complete, rng, len(validation), len(test)), strict=True):
            half |= more
    hidden = from_the_end <= np.maximum(1, np.rint(HELD_OUT * length))
    split = pd.Series("train", index=pairs.index)
    split[hidden & pairs["playlist_id"].isin(validation)] = "validation"
    split[hidden & pairs["playlist_id"].isin(test)] = "test"
    return split


def halves(
    playlist_ids: "pd.Series[str]", rng: np.random.Generator, first: int | None = None, second: int | None = None
) -> tuple[set[str], set[str]]:
    """Return two sets of playlists drawn from these, of the given sizes or a half each."""
    drawn = rng.permutation(np.sort(playlist_ids.unique()))
    first = len(drawn) // 2 if first is None else first
    return set(drawn[:first]), set(drawn[first:][:second])


def as_prepared(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return pairs with the columns and the order of a prepared split: each is one play."""
    ids = pairs.rename(columns={"playlist_id": "user_id"}).sort_values(["user_id", "track_id"])
    columns = ids.assign(score=1, plays=1, skips=0, likes=0, last_time=np.datetime64("NaT", "us"))
    types = {"score": "float32", "plays": "int32", "skips": "int32", "likes": "int32", "last_time": "datetime64[us]"}
    return columns[["user_id", "track_id", *types, "position"]].astype(types)


def read_catalogue(source: Path) -> pd.DataFrame:
    """Return tracks.parquet: albums and artists are known by id only."""
    tracks = pd.read_csv(source / "tracks.csv.gz", dtype={"track_id": str, "album_id": str, "artist_id": str})
    unknown = dict.fromkeys(("title", "artist", "release_date"), pd.Series(None, tracks.index, dtype="str"))
    columns = tracks.assign(**unknown, explicit=pd.Series(pd.NA, tracks.index, dtype="boolean"))
    known = ["track_id", "title", "artist_id", "artist", "album_id", "duration_ms", "explicit", "release_date"]
    return columns[known].astype({"duration_ms": "Int32"})


def main() -> None:
    """Write a hold-out of `$TUTTI_DATA/playlists-2018`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("of", choices=get_args(Of))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_holdout(Path(os.environ["TUTTI_DATA"]) / "playlists-2018", arguments.out, arguments.of, arguments.seed)


if __name__ == "__main__":
    main()
