"""The hold-out of playlists-2018, on playlists a reader can follow."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.holdout_2018 import write_holdout
from training.data import load

ORDERED, SHUFFLED, SHORT, OTHER = "1", "2", "3", "4"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Playlists of 10, 15, 9 and 20 tracks; all but the last are targets, the first has an order with gaps."""
    lengths = {ORDERED: 10, SHUFFLED: 15, SHORT: 9, OTHER: 20}
    pairs = pd.DataFrame(
        [(p, str(t)) for p, n in lengths.items() for t in range(n)], columns=["playlist_id", "track_id"]
    )
    pairs.to_csv(tmp_path / "interactions.csv.gz", index=False)
    order = pairs[pairs["playlist_id"] == ORDERED].assign(position=range(90, -10, -10))
    order.to_csv(tmp_path / "ordered_playlists.csv.gz", index=False)
    targets = pd.DataFrame({"playlist_id": [ORDERED, SHUFFLED, SHORT]})
    targets.to_csv(tmp_path / "target_playlists.csv.gz", index=False)
    tracks = pd.DataFrame(
        {"track_id": [str(t) for t in range(20)], "album_id": "a", "artist_id": "b", "duration_ms": 1}
    )
    tracks.to_csv(tmp_path / "tracks.csv.gz", index=False)
    return tmp_path


def splits(source: Path) -> dict[str, pd.DataFrame]:
    write_holdout(source, source / "out")
    return {name: pd.read_parquet(source / "out" / f"{name}.parquet") for name in ("train", "validation", "test")}


def test_an_ordered_playlist_loses_its_tail_and_another_a_random_fifth(source: Path) -> None:
    split = splits(source)
    held_out = pd.concat([split["validation"], split["test"]]).groupby("user_id")["track_id"].agg(set)

    assert set(held_out.index) == {ORDERED, SHUFFLED}  # long enough, and targets
    assert held_out[ORDERED] == {"0", "1"}  # positions 90 and 80, the last of ten
    assert len(held_out[SHUFFLED]) == 3


def test_validation_and_test_hold_different_playlists_and_no_pair_twice(source: Path) -> None:
    split = splits(source)
    pairs = pd.concat(split.values())

    assert not set(split["validation"]["user_id"]) & set(split["test"]["user_id"])
    assert len(pairs) == len(pairs.drop_duplicates(["user_id", "track_id"])) == 10 + 15 + 9 + 20


def test_the_folder_loads_as_prepared_data(source: Path) -> None:
    splits(source)

    data = load(source / "out")

    assert data.interactions.matrix.nnz + len(data.validation.scores) + len(data.test.scores) == 54
    assert len(data.catalogue) == len(data.interactions.tracks)
    np.testing.assert_array_equal(data.interactions.matrix.data, 1)
