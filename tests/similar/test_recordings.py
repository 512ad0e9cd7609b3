"""Which tracks are releases of one recording."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from service.core.catalogue import TrackInfo
from training.recordings import UNLABELLED, Recordings, labels_of, plain_title


def recordings(*tracks: TrackInfo, listeners: list[int] | None = None) -> Recordings:
    return Recordings.of(tracks, np.array(listeners or [0] * len(tracks)))


def test_the_same_title_by_the_same_artist_on_another_album_is_the_same_recording() -> None:
    single = TrackInfo(title="Hello", artist="Adele", album_id="single")
    album = TrackInfo(title="Hello", artist="Adele", album_id="25")
    another = TrackInfo(title="Hello", artist="Lionel Richie", album_id="can't slow down")

    assert recordings(single, album, another).of_track.tolist() == [0, 0, 1]


def test_two_tracks_of_one_album_are_two_recordings_whatever_they_are_called() -> None:
    first, second = (TrackInfo(title="Interlude", artist="Lauryn", album_id="miseducation") for _ in range(2))

    assert recordings(first, second).of_track.tolist() == [0, 1]


def test_tracks_without_title_or_artist_are_alone() -> None:
    nameless = TrackInfo(artist="Adele")
    anonymous = TrackInfo(title="Hello")

    assert recordings(nameless, nameless, anonymous, anonymous).of_track.tolist() == [0, 1, 2, 3]


def test_artists_of_one_name_are_told_apart_by_their_ids() -> None:
    one, other = (TrackInfo(title="Creep", artist="Nirvana", artist_id=artist_id) for artist_id in "12")

    assert recordings(one, other).of_track.tolist() == [0, 1]


@pytest.mark.parametrize(
    "title",
    [
        "Heroes",
        "HEROES",
        "  Heroes ",
        "Heroes - 2017 Remaster",
        "Heroes (Remastered)",
        "Heroes [1999 Remaster]",
    ],
)
def test_a_remaster_is_no_other_song(title: str) -> None:
    assert plain_title(title) == "heroes"


@pytest.mark.parametrize("title", ["Heroes - Live", "Heroes (Acoustic)", "Heroes II", "Remastered Heroes"])
def test_another_performance_is_another_song(title: str) -> None:
    assert plain_title(title) != "heroes"


def test_the_release_with_the_most_listeners_is_shown_and_the_first_of_equals() -> None:
    release = TrackInfo(title="Hello", artist="Adele")
    other = TrackInfo(title="Skyfall", artist="Adele")

    assert recordings(release, other, release, release, listeners=[1, 9, 5, 5]).shown.tolist() == [2, 1]


def test_who_heard_any_release_heard_the_recording_once() -> None:
    release, other = TrackInfo(title="Hello", artist="Adele"), TrackInfo(title="Skyfall", artist="Adele")
    #                  hello hello skyfall
    scores = csr_array([[3.0, 1.0, 0.0], [0.0, 0.0, 2.0]])

    played = recordings(release, release, other).played(scores)

    assert played.toarray().tolist() == [[1, 0], [0, 1]]


def test_what_was_only_skipped_was_not_played() -> None:
    scores = csr_array(([0.0], ([0], [0])), shape=(1, 1))

    assert recordings(TrackInfo()).played(scores).nnz == 0


def test_a_recording_bears_the_labels_of_all_its_releases() -> None:
    single = TrackInfo(title="Hello", artist="Adele", album_id="single")
    album = TrackInfo(title="Hello", artist="Adele", album_id="25")

    albums = recordings(single, album, TrackInfo()).labelled(labels_of(["single", "25", None]))

    assert albums.toarray().tolist() == [[1, 1], [0, 0]]
    assert labels_of([None, "b", "a", "b"]).tolist() == [UNLABELLED, 0, 1, 0]
