"""What a catalogue says, as listeners."""

from service.core.catalogue import TrackInfo
from training.pseudo_listeners import pseudo_listeners


def test_albums_and_artists_of_two_tracks_or_more_are_listeners() -> None:
    catalogue = [
        TrackInfo(artist_id="a1", artist="Ann", album_id="x"),
        TrackInfo(artist_id="a1", artist="Ann", album_id="x"),
        TrackInfo(artist_id="a1", artist="Ann", album_id="y"),
    ]

    listeners = pseudo_listeners(catalogue, album_weight=2, artist_weight=0.5)

    assert listeners.played.toarray().tolist() == [[1, 1, 0], [1, 1, 1]]
    assert listeners.weights.tolist() == [2, 0.5]


def test_without_ids_artists_go_by_their_names() -> None:
    catalogue = [TrackInfo(artist="Ann"), TrackInfo(artist="Bob"), TrackInfo(artist="Ann"), TrackInfo()]

    listeners = pseudo_listeners(catalogue, album_weight=2, artist_weight=0.5)

    assert listeners.played.toarray().tolist() == [[1, 0, 1, 0]]
