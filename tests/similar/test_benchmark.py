"""How the benchmark of similar tracks judges, by eye."""

import numpy as np
import pytest
import torch

from benchmarks.similar_tracks import NOBODY, K, Questions, in_blocks
from training.recordings import UNLABELLED


def lists(*rows: list[int]) -> np.ndarray:
    return np.array([row + [NOBODY] * (K - len(row)) for row in rows])


def test_a_playlist_is_served_by_any_of_its_held_out_tracks() -> None:
    #                    asked with  held out
    questions = Questions(np.array([0, 1, 0]), [np.array([2, 9]), np.array([0]), np.array([3])])

    figures = questions.judged(lists([1, 2], [3], [], []), {})

    assert figures["held out"].tolist() == [1, 0, 0]


def test_places_that_stay_empty_are_by_another_artist() -> None:
    artists = np.array([7, 7, 8, 7])
    questions = Questions(np.array([0]), [np.array([2])])

    figures = questions.judged(lists([1, 2, 3], [], [], []), {"artist": artists})

    assert figures["artist"] == pytest.approx([2 / K])


def test_tracks_without_an_artist_share_none() -> None:
    questions = Questions(np.array([0]), [np.array([2])])

    figures = questions.judged(lists([1], []), {"artist": np.array([UNLABELLED, UNLABELLED])})

    assert figures["artist"] == pytest.approx([0])


def test_lists_leave_out_the_track_itself_and_what_scores_nothing() -> None:
    scores = torch.zeros(12, 12)
    scores[0, :4] = torch.tensor([9.0, 1.0, 3.0, 2.0])

    found = in_blocks(12, lambda block: scores[block].clone())

    assert found[0].tolist() == [2, 3, 1] + [NOBODY] * 7
    assert (found[1:] == NOBODY).all()
