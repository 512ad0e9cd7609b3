"""The hold-out of playlists-2018, on playlists a reader can follow."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.holdout_2018 import Of, write_holdout
from training.data import load

ORDERED, SHUFFLED, SHORT, COMPLETE = "1", "2", "3", "4"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Playlists of 10, 15, 9 and 20 tracks; all but the last are targets, the first has an order with gaps."""
    lengths = {ORDERED: 10, SHUFFLED: 15, SHORT: 9, COMPLETE: 20}
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


def splits(source: Path, of: Of = "targets") -> dict[str, pd.DataFrame]:
    write_holdout(source, source / of, of)
    return {name: pd.read_parquet(source / of / f"{name}.parquet") for name in ("train", "validation", "test")}


def held_out_of(split: dict[str, pd.DataFrame]) -> "pd.Series[set[str]]":
    return pd.concat([split["validation"], split["test"]]).groupby("user_id")["track_id"].agg(set)


def test_an_ordered_playlist_loses_its_tail_and_another_a_random_fifth(source: Path) -> None:
    held_out = held_out_of(splits(source))

    assert set(held_out.index) == {ORDERED, SHUFFLED}  # long enough, and targets
    assert held_out[ORDERED] == {"0", "1"}  # positions 90 and 80, the last of ten
    assert len(held_out[SHUFFLED]) == 3


def test_a_random_fifth_may_come_from_a_playlist_that_has_lost_none_yet(source: Path) -> None:
    complete, targets = splits(source, "complete"), splits(source, "targets")
    held_out = held_out_of(complete)

    assert set(held_out.index) == {ORDERED, COMPLETE}
    assert held_out[ORDERED] == {"0", "1"}
    assert len(held_out[COMPLETE]) == 4
    in_test = [ORDERED in set(split["test"]["user_id"]) for split in (complete, targets)]
    assert in_test[0] == in_test[1]


def test_validation_and_test_hold_different_playlists_and_no_pair_twice(source: Path) -> None:
    split = splits(source)
    pairs = pd.concat(split.values())

    assert not set(split["validation"]["user_id"]) & set(split["test"]["user_id"])
    assert len(pairs) == len(pairs.drop_duplicates(["user_id", "track_id"])) == 10 + 15 + 9 + 20


def test_the_folder_loads_as_prepared_data(source: Path) -> None:
    splits(source)

    data = load(source / "targets")

    assert data.interactions.matrix.nnz + len(data.validation.scores) + len(data.test.scores) == 54
    assert len(data.catalogue) == len(data.interactions.tracks)
    np.testing.assert_array_equal(data.interactions.matrix.data, 1)
