import pandas as pd

from service.core.ids import IdIndex
from training.evaluate.held_out import HeldOut


def pairs(*track_ids: str) -> pd.DataFrame:
    return pd.DataFrame({"user_id": "ann", "track_id": list(track_ids), "score": 1.0})


def test_what_a_listener_repeats_is_no_miss_where_only_new_tracks_count() -> None:
    """Ann heard a in train and x in validation, and hears x again in test: the model has never seen x."""
    train, validation, test = pairs("a"), pairs("x"), pairs("x", "b")
    held_out = HeldOut("test", test, train, pd.concat([train, validation]), "")

    new = held_out.truth(IdIndex(["ann"]), IdIndex(["a", "b"]), "new")
    everything = held_out.truth(IdIndex(["ann"]), IdIndex(["a", "b"]), "all")

    assert new.sizes.tolist() == [1]  # b
    assert everything.sizes.tolist() == [2]  # b, and x that the model cannot name
