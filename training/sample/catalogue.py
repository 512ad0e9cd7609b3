"""The artists and tracks of the synthetic service."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.sample.names import artist_names, public_ids, track_names

GENRES = (
    *("indie pop", "classic rock", "deep house", "hip hop", "jazz", "folk"),
    *("metal", "soul", "techno", "ambient", "reggae", "country"),
    *("latin pop", "bossa nova", "punk", "synthwave", "blues", "classical"),
    *("afrobeat", "funk", "dream pop", "drum and bass", "singer-songwriter", "k-pop"),
)

TRACKS_PER_ARTIST = 5
REISSUED = 0.02  # of the tracks: another release of one by the same artist
POPULARITY_EXPONENT = 0.8  # Zipf: the r-th most popular track of a genre is played in proportion to r^-0.8

AUDIO_FEATURES = ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence")


@dataclass(frozen=True)
class Catalogue:
    """Tracks row by row; `genre_of_track` and `weights` are what listening is drawn from."""

    artist_ids: list[str]
    artist_names: list[str]
    artist_genres: list[list[str]]
    track_ids: NDArray[np.str_]
    track_names: list[str]
    artist_of_track: NDArray[np.int64]
    genre_of_track: NDArray[np.int64]
    weights: NDArray[np.float64]
    """(tracks,) popularity of a track within its genre; sums to 1 for each genre that has tracks."""
    duration_ms: NDArray[np.int64]
    genre_share: NDArray[np.float64]
    """(genres,) how popular each genre is overall; 0 for a genre without tracks."""


def make_catalogue(n_tracks: int, rng: np.random.Generator) -> Catalogue:
    """Draw artists with one or two genres, and tracks that follow their artist's first one."""
    n_artists = max(1, n_tracks // TRACKS_PER_ARTIST)
    genre_share = rng.dirichlet(np.full(len(GENRES), 4.0))
    artist_genre = rng.choice(len(GENRES), n_artists, p=genre_share)
    second_genre = rng.integers(len(GENRES), size=n_artists)
    artist_of_track = rng.integers(n_artists, size=n_tracks)
    genre_of_track = artist_genre[artist_of_track]
    genre_share = np.where(np.bincount(genre_of_track, minlength=len(GENRES)) > 0, genre_share, 0.0)
    return Catalogue(
        artist_ids=public_ids(n_artists, rng).tolist(),
        artist_names=artist_names(n_artists, rng),
        artist_genres=[
            list(dict.fromkeys((GENRES[first], GENRES[second])))
            for first, second in zip(artist_genre.tolist(), second_genre.tolist(), strict=True)
        ],
        track_ids=public_ids(n_tracks, rng),
        track_names=track_names(n_tracks, rng),
        artist_of_track=artist_of_track,
        genre_of_track=genre_of_track,
        weights=_zipf_within(genre_of_track, rng),
        duration_ms=np.clip(rng.normal(215_000, 45_000, n_tracks), 60_000, 600_000).astype(np.int64),
        genre_share=genre_share / genre_share.sum(),
    )


def with_reissues(catalogue: Catalogue, rng: np.random.Generator) -> Catalogue:
    """Give some tracks the title of another one of their artist, as a remaster has: one recording, two ids."""
    artist, names = catalogue.artist_of_track, list(catalogue.track_names)
    by_artist = np.argsort(artist, kind="stable")
    first, second = by_artist[:-1], by_artist[1:]
    years = rng.integers(1995, 2025, size=len(first))
    chosen = (artist[first] == artist[second]) & (rng.random(len(first)) < REISSUED)
    chosen[1:] &= ~chosen[:-1]  # the original keeps its own title
    for original, reissue, year in zip(*(rows[chosen].tolist() for rows in (first, second, years)), strict=True):
        names[reissue] = f"{catalogue.track_names[original]} - Remastered {year}"
    return replace(catalogue, track_names=names)


def _zipf_within(genre_of_track: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    weights = np.empty(len(genre_of_track))
    for genre in np.unique(genre_of_track):
        rows = np.flatnonzero(genre_of_track == genre)
        zipf = (1.0 + rng.permutation(len(rows))) ** -POPULARITY_EXPONENT
        weights[rows] = zipf / zipf.sum()
    return weights


def artist_records(catalogue: Catalogue) -> list[dict[str, object]]:
    """Return the lines of artists.jsonl."""
    return [
        {"id": artist_id, "name": name, "genres": genres}
        for artist_id, name, genres in zip(
            catalogue.artist_ids, catalogue.artist_names, catalogue.artist_genres, strict=True
        )
    ]


def track_records(catalogue: Catalogue, rng: np.random.Generator) -> list[dict[str, object]]:
    """Return the lines of tracks.jsonl; audio features scatter around a mean for each genre."""
    n = len(catalogue.track_ids)
    means = rng.uniform(0.15, 0.85, (len(GENRES), len(AUDIO_FEATURES)))[catalogue.genre_of_track]
    features = np.clip(rng.normal(means, 0.1), 0.0, 1.0).round(3).tolist()
    popularity = catalogue.weights * catalogue.genre_share[catalogue.genre_of_track]
    released = np.datetime64("1965-01-01") + rng.triangular(0, 21_000, 21_500, n).astype("timedelta64[D]")
    columns = zip(
        catalogue.track_ids.tolist(),
        catalogue.track_names,
        np.round(100 * (popularity / popularity.max()) ** 0.3).astype(int).tolist(),
        catalogue.duration_ms.tolist(),
        (rng.random(n) < 0.07).astype(int).tolist(),
        [catalogue.artist_ids[row] for row in catalogue.artist_of_track.tolist()],
        released.astype(str).tolist(),
        features,
        rng.integers(12, size=n).tolist(),
        rng.normal(-8, 3, n).round(3).tolist(),
        rng.normal(120, 25, n).clip(50, 220).round(3).tolist(),
        strict=True,
    )
    return [
        {
            "id": track_id,
            "name": name,
            "popularity": popular,
            "duration_ms": duration,
            "explicit": explicit,
            "id_artist": artist_id,
            "release_date": date,
            **dict(zip(AUDIO_FEATURES[:2], feature[:2], strict=True)),
            "key": key,
            "loudness": loudness,
            **dict(zip(AUDIO_FEATURES[2:], feature[2:], strict=True)),
            "tempo": tempo,
        }
        for track_id, name, popular, duration, explicit, artist_id, date, feature, key, loudness, tempo in columns
    ]
