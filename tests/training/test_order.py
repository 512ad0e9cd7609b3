import numpy as np
import pandas as pd

from tests.training.worlds import Pair, frame, prepared
from training.data import Interactions, interactions_of
from training.models.algorithm import silent
from training.models.wmf import WMF
from training.order import recency

ANN: list[Pair] = [("ann", "a", 2.0), ("ann", "b", 1.0), ("ann", "c", 0.0), ("ann", "d", 1.0)]
"""She skipped c."""


def heard(pairs: list[Pair], **order: object) -> Interactions:
    return interactions_of(frame(pairs).assign(**order))


def test_the_last_liked_track_counts_most_and_those_before_it_less_and_less():
    ann = heard(ANN, position=[2, 1, 4, 3])

    assert recency(ann, tail_boost=3.0, length=2).tolist() == [2, 1, 1, 3]  # d, a, b; c was only skipped


def test_nothing_is_the_end_of_a_history_without_an_order():
    assert recency(heard(ANN), tail_boost=3.0, length=2).tolist() == [1, 1, 1, 1]


def test_every_history_has_an_end_of_its_own():
    times = pd.to_datetime(["2024-01-04", "2024-01-01", "2024-01-02", "2024-01-03", "2024-02-01", None])
    both = heard([*ANN, ("bob", "a", 1.0), ("bob", "b", 1.0)], last_time=times)

    assert recency(both, tail_boost=5.0, length=4).tolist() == [5, 3, 1, 4, 5, 1]


def test_tracks_of_one_moment_share_what_they_would_have_one_after_another():
    days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-02"])
    pairs = [("ann", "a", 1.0), ("ann", "b", 1.0), ("ann", "c", 1.0), ("ann", "d", 1.0)]

    assert recency(heard(pairs, last_time=days), tail_boost=5.0, length=4).tolist() == [2, 3.5, 5, 3.5]
    assert recency(heard(pairs, last_time=days[:1].repeat(4)), tail_boost=5.0, length=4).tolist() == [3.5] * 4


def test_wmf_makes_less_of_the_end_of_a_log_than_of_that_of_a_list():
    pairs = [(f"u{user}", f"t{track}", 1.0) for user in range(6) for track in range(user, user + 4)]
    places = np.tile([1, 2, 3, 4], 6)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(places, unit="D")
    data = prepared(pairs)

    def factors(interactions: Interactions, **boosts: float) -> list[list[float]]:
        ordered = type(data)(interactions, data.validation, data.test, data.catalogue, data.fingerprint)
        model = WMF(dim=3, **boosts)
        return model.fit(ordered, seed=0, device="cpu", progress=silent).arrays["user_factors"].tolist()

    of_a_list, of_a_log = heard(pairs, position=places), heard(pairs, last_time=days)

    assert factors(of_a_log, tail_boost=9, recent_boost=2) == factors(of_a_list, tail_boost=2, recent_boost=9)
    assert factors(of_a_log, tail_boost=2, recent_boost=9) != factors(of_a_list, tail_boost=2, recent_boost=9)
