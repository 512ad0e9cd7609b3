from hypothesis import given
from hypothesis import strategies as st

from service.core.duration import MOST_TRACKS, Durations, nearest_head

MINUTE = 60_000


def test_a_track_whose_length_is_not_known_counts_as_the_mean() -> None:
    durations = Durations([2 * MINUTE, None, 4 * MINUTE])

    assert durations.of([0, 1, 2]) == [2 * MINUTE, 3 * MINUTE, 4 * MINUTE]


def test_a_list_ends_where_it_lasts_nearest_to_what_was_asked() -> None:
    three = [3.0, 4.0, 5.0]  # heads last 3, 7, 12

    assert [nearest_head(three, target) for target in (1, 4, 5, 6, 9, 10, 100)] == [1, 1, 1, 2, 2, 3, 3]
    assert nearest_head([], 5) == 0


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(1, 2000))
def test_no_other_head_is_nearer(durations: list[int], target: int) -> None:
    length = nearest_head(durations, target)

    distances = {n: abs(sum(durations[:n]) - target) for n in range(1, len(durations) + 1)}
    assert length == min(distances, key=lambda n: (distances[n], n))


@given(st.lists(st.one_of(st.none(), st.integers(1, 100)), max_size=30), st.integers(1, 500))
def test_so_many_tracks_are_enough_whichever_they_are(some: list[int | None], target: int) -> None:
    durations = Durations([50, *some])

    enough = durations.enough_for(target)

    shortest = sorted(durations.of(range(len(some) + 1)))
    assert sum(shortest[:enough]) >= target or enough > len(shortest)
    assert sum(shortest[: enough - 1]) < target


def test_a_long_catalogue_is_looked_at_once() -> None:
    assert Durations([1] * 1000).enough_for(150) == 150
    assert Durations([1] * 1000).enough_for(10_000) > MOST_TRACKS
