"""Similar tracks against a slow version of their formula, and what the lists promise."""

from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from service.core.artifacts import ArtifactStore
from service.core.catalogue import TrackInfo
from service.core.ids import IdIndex
from service.core.recommenders import recommender_of
from service.core.recommenders.item_item import ItemItem
from service.settings import Settings
from tests.service.worlds import serving
from tests.training.worlds import write
from training.__main__ import main
from training.data import Interactions, Pairs, PreparedData
from training.models.algorithm import silent
from training.models.similar import Similar, first_columns, mean_cosine, shown_somewhere, with_borrowed

NOBODY = np.empty(0, dtype=np.int64)


def prepared(scores: np.ndarray, catalogue: list[TrackInfo] | None = None) -> PreparedData:
    """A log (users, tracks) as training gets it; tracks of which nothing is known unless there is a catalogue."""
    users, tracks = scores.shape
    interactions = Interactions(
        IdIndex(f"u{row}" for row in range(users)),
        IdIndex(f"t{row}" for row in range(tracks)),
        csr_array(scores.astype(np.float32)),
    )
    held_out = Pairs(NOBODY, NOBODY, NOBODY.astype(np.float32))
    return PreparedData(interactions, held_out, held_out, catalogue or [TrackInfo()] * tracks, "")


def lists(algorithm: Similar, data: PreparedData) -> list[dict[int, float]]:
    """{neighbour: score} of each track, best first; nobody is named twice."""
    arrays = algorithm.fit(data, seed=0, device="cpu", progress=silent).arrays
    indptr = arrays["neighbour_indptr"].tolist()
    pairs = list(zip(arrays["neighbour_rows"].tolist(), arrays["neighbour_weights"].tolist(), strict=True))
    found = [dict(pairs[begin:end]) for begin, end in pairwise(indptr)]
    assert [len(neighbours) for neighbours in found] == np.diff(indptr).tolist()
    return found


def slow_mean_cosine(log: np.ndarray, groups: list[str]) -> float:
    """Common listeners over sqrt(n_i n_j), both added up over all pairs of one group."""
    common = possible = 0.0
    for i, mine in enumerate(groups):
        for j, theirs in enumerate(groups):
            if i != j and mine == theirs:
                common += float((log[:, i] * log[:, j]).sum())
                possible += float(np.sqrt(log[:, i].sum() * log[:, j].sum()))
    return common / possible if possible else 0.0


def slow_similarity(
    log: np.ndarray, artists: list[str], albums: list[str], shrinkage: float, content: float
) -> np.ndarray:
    """The formula, pair by pair."""
    artist_prior = max(content * slow_mean_cosine(log, artists), 1e-6)
    album_prior = max(content * slow_mean_cosine(log, albums), artist_prior + 1e-6)
    tracks = log.shape[1]
    table = np.zeros((tracks, tracks))
    for i in range(tracks):
        for j in range(tracks):
            prior = max(artist_prior * (artists[i] == artists[j]), album_prior * (albums[i] == albums[j]))
            norm = np.sqrt(log[:, i].sum() * log[:, j].sum())
            table[i, j] = ((log[:, i] * log[:, j]).sum() + shrinkage * prior) / (norm + shrinkage)
    np.fill_diagonal(table, 0)
    return table


def slow_borrowed(table: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """The table in which tracks without listeners also have the neighbours of their played neighbours."""
    longer = table.copy()
    for track in np.flatnonzero(~heard):
        own = table[track]
        lenders = np.flatnonzero((own > 0) & heard)
        for other in range(len(table)):
            if len(lenders) and own[other] == 0 and other != track:
                mean = np.average(table[lenders, other], weights=own[lenders])
                longer[track, other] = own[own > 0].min() * mean
    return longer


@given(seed=st.integers(0, 10**6), shrinkage=st.sampled_from([0.5, 20.0]), content=st.sampled_from([0.0, 0.5, 1.0]))
def test_scores_are_those_of_the_formula(seed: int, shrinkage: float, content: float) -> None:
    rng = np.random.default_rng(seed)
    log = (rng.random((12, 9)) < 0.3).astype(float)
    log[:, rng.random(9) < 0.2] = 0
    artists = [str(artist) for artist in rng.integers(3, size=9)]
    albums = [f"{artist}{album}" for artist, album in zip(artists, rng.integers(2, size=9), strict=True)]
    catalogue = [TrackInfo(artist=artist, album_id=album) for artist, album in zip(artists, albums, strict=True)]

    found = lists(Similar(shrinkage=shrinkage, content=content), prepared(log, catalogue))

    expected = slow_borrowed(slow_similarity(log, artists, albums, shrinkage, content), log.sum(axis=0) > 0)
    for row, neighbours in zip(expected, found, strict=True):
        assert neighbours == pytest.approx({track: score for track, score in enumerate(row) if score > 0}, abs=1e-6)
        assert list(neighbours.values()) == sorted(neighbours.values(), reverse=True)


def test_the_mean_cosine_of_a_group_needs_no_pair_by_pair() -> None:
    #                a  b  c  d
    log = np.array([[1, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 0]])
    groups = csr_array([[1.0, 0], [1, 0], [0, 1], [0, 1]])

    # a and b share 2 of sqrt(3 * 2); c and d none of sqrt(2 * 1)
    assert mean_cosine(csr_array(log.astype(np.float32)), groups) == pytest.approx(2 / (6**0.5 + 2**0.5))


def test_a_track_that_nobody_played_gets_its_album_then_its_artist_popular_ones_first() -> None:
    adele = {
        "hello": TrackInfo(artist="Adele", album_id="25"),
        "skyfall": TrackInfo(artist="Adele", album_id="bond"),
        "million years": TrackInfo(artist="Adele", album_id="25"),
        "someone": TrackInfo(artist="Adele", album_id="21"),
        "roar": TrackInfo(artist="Katy", album_id="prism"),
        "cold": TrackInfo(artist="Adele", album_id="25"),
    }
    #                h  s  m  o  r  c
    log = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 0]])

    cold = lists(Similar(), prepared(log, list(adele.values())))[5]

    assert [list(adele)[track] for track in cold] == ["hello", "million years", "skyfall", "someone", "roar"]


def test_a_track_that_nobody_played_goes_on_with_what_its_neighbours_name() -> None:
    catalogue = [TrackInfo(artist=artist) for artist in ("Adele", "Adele", "Bach", "Katy", "Adele")]
    #                hello skyfall fugue roar cold
    log = np.array([[1, 1, 0, 1, 0], [1, 0, 1, 0, 0], [0, 1, 0, 0, 0]])

    cold = lists(Similar(shrinkage=1.0, content=1.0), prepared(log, catalogue))[4]

    # two of Adele have 1 of sqrt(2 * 2) listeners in common; hello and skyfall both name roar, only hello the fugue
    both = 1 / (2**0.5 + 1)
    assert list(cold) == [0, 1, 3, 2]
    assert cold == pytest.approx({0: 0.5, 1: 0.5, 3: 0.5 * both, 2: 0.5 * both / 2})


def test_what_is_borrowed_names_each_recording_once() -> None:
    roar = [TrackInfo(title="Roar", artist="Katy", album_id=album) for album in ("single", "prism")]
    hello, cold = (TrackInfo(title=title, artist="Adele") for title in ("Hello", "Easy on Me"))
    #                single prism hello cold
    log = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0]])

    assert list(lists(Similar(), prepared(log, [*roar, hello, cold]))[3]) == [2, 1]


def test_a_place_taken_over_in_the_list_of_a_track_that_nobody_played_stays_taken() -> None:
    ranked = csr_array((np.array([0.5, 0.5, 0.3]), np.array([2, 1, 3]), np.array([0, 2, 2, 3, 3])), shape=(4, 4))
    listeners = np.array([0.0, 9, 1, 1])  # of equal scores, the more popular would come first

    longer = with_borrowed(ranked, listeners, np.arange(4), 3)

    assert longer[[0]].indices.tolist() == [2, 1, 3]
    assert longer[[0]].data.tolist() == pytest.approx([0.5, 0.5, 0.5 * 0.3 / 2])
    assert longer[[1, 2, 3]].toarray().tolist() == ranked[[1, 2, 3]].toarray().tolist()


def test_a_track_that_nobody_played_has_neighbours_where_nobody_played_two_of_one_artist() -> None:
    adele = [TrackInfo(artist="Adele", album_id=album) for album in ("25", "21", "21")]
    #                h  s  cold
    log = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]])

    assert list(lists(Similar(), prepared(log, adele))[2]) == [1, 0]


def test_releases_of_a_recording_share_their_listeners_and_one_place() -> None:
    single, album = (TrackInfo(title="Hello", artist="Adele", album_id=album) for album in ("single", "25"))
    other = TrackInfo(title="Roar", artist="Katy")
    #                single album other
    log = np.array([[1, 0, 1], [0, 1, 1], [0, 1, 0]])

    found = lists(Similar(shrinkage=1.0), prepared(log, [single, album, other]))

    assert found[2] == pytest.approx({1: 2 / (6**0.5 + 1)})  # three heard Hello; its album is what most of them have
    assert found[0] == found[1] == pytest.approx({2: 2 / (6**0.5 + 1)})


def test_as_many_of_other_artists_are_kept_as_of_all() -> None:
    catalogue = [TrackInfo(artist="Bach")] * 5 + [TrackInfo(artist="Ravel")] * 6
    log = np.ones((3, 11))
    log[1:, 5:] = 0
    log[:, 10] = 0

    for row, neighbours in enumerate(lists(Similar(neighbours=3), prepared(log, catalogue))):
        foreign = [track for track in neighbours if (track < 5) != (row < 5)]
        assert len(neighbours) >= 3
        assert len(foreign) >= 3


def crowded() -> csr_array:
    """Rows of two in which 0 and 1 show only each other and 2, and nobody shows 3."""
    return csr_array(
        (
            np.array([0.9, 0.5, 0.2, 0.9, 0.4, 0.5, 0.4, 0.2]),
            np.array([1, 2, 3, 0, 2, 0, 1, 0]),
            np.array([0, 3, 5, 7, 8]),
        ),
        shape=(4, 4),
    )


def test_a_track_that_no_list_shows_gets_the_last_place_in_that_of_its_nearest() -> None:
    shown = shown_somewhere(crowded(), 2)

    assert first_columns(crowded(), 2).tolist() == [1, 2, 0, 2, 0, 1, 0]
    assert first_columns(shown, 2).tolist() == [1, 3, 0, 2, 0, 1, 0]  # 2 is left in the list of 1
    assert shown.indices.tolist()[2] == 2  # and behind, where 3 was
    assert shown.data.tolist() == crowded().data.tolist()


@given(seed=st.integers(0, 10**6))
def test_every_track_with_a_neighbour_is_in_some_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = rng.random((40, 30)) < np.linspace(0.9, 0.05, 30)  # all lists would show the popular ones

    found = lists(Similar(neighbours=6, shrinkage=30.0), prepared(log.astype(float)))

    with_neighbours = {track for track, neighbours in enumerate(found) if neighbours}
    listed = {track for neighbours in found for track in list(neighbours)[:6]}
    assert with_neighbours <= listed
    assert all(row not in neighbours for row, neighbours in enumerate(found))


def test_what_is_served_is_what_was_stored(tmp_path: Path) -> None:
    pairs = [(user, track, 1.0) for user, tracks in {"u": "abc", "v": "ab", "w": "bcd"}.items() for track in tracks]
    data = write(tmp_path / "data", pairs)

    main(["train", "similar", "--data", str(data), "--models", str(tmp_path), "--set", "shrinkage=50"])

    model = recommender_of(ArtifactStore(tmp_path).load("similar"))
    assert isinstance(model, ItemItem)
    ranking = model.similar(0, 100)
    assert [model.tracks.ids[row] for row in ranking.rows.tolist()] == ["b", "c"]  # 2 of sqrt 6, 1 of 2; more than 50
    assert ranking.scores.tolist() == pytest.approx([2 / (6**0.5 + 50), 1 / (2 + 50)])


def with_cold_tracks(folder: Path) -> Path:
    """Prepared data with a catalogue that knows two tracks nobody has played, and of one of them nothing else."""
    pairs = [(user, track, 1.0) for user in ("u", "v") for track in ("hello", "roar")]
    write(folder, [*pairs, ("u", "skyfall", 1.0)])
    names = {"hello": "Adele", "roar": "Katy", "skyfall": "Adele", "easy on me": "Adele", "unknown": None}
    tracks = pd.DataFrame({"track_id": list(names), "title": list(names), "artist": list(names.values())})
    tracks.to_parquet(folder / "tracks.parquet", index=False)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """All that the service needs, trained on data with cold tracks."""
    data = with_cold_tracks(tmp_path / "data")
    for name in ("basic", "similar"):
        main(["train", name, "--data", str(data), "--models", str(tmp_path / "models")])
    return tmp_path / "models"


def settings(models: Path) -> Settings:
    return Settings(
        models=models,
        required_models=("basic", "similar"),
        default_model="basic",
        exposures=str(models.parent / "exposures"),
    )


async def answer(models: Path, path: str) -> httpx.Response:
    async with serving(settings(models)) as client:
        return await client.get(path)


async def test_a_cold_track_is_answered_from_its_artist_then_from_the_neighbours_of_that(models: Path) -> None:
    response = await answer(models, "/similar-tracks/easy%20on%20me")

    assert response.status_code == 200
    body = response.json()
    assert [item["title"] for item in body["items"]] == ["hello", "skyfall", "roar"]
    assert (body["total"], body["next"], body["model"]["name"]) == (3, None, "similar")


async def test_a_cold_track_has_neighbours_by_other_artists(models: Path) -> None:
    body = (await answer(models, "/similar-tracks/easy%20on%20me?exclude_same_artist=true")).json()

    assert [item["track_id"] for item in body["items"]] == ["roar"]


async def test_a_cold_track_is_among_the_neighbours_of_its_artist(models: Path) -> None:
    body = (await answer(models, "/similar-tracks/skyfall")).json()

    assert "easy on me" in [item["track_id"] for item in body["items"]]


async def test_a_track_of_which_nothing_is_known_is_not_found(models: Path) -> None:
    assert (await answer(models, "/similar-tracks/unknown")).status_code == 404


async def test_other_artists_fill_the_list_that_leaves_the_own_one_out(models: Path) -> None:
    body = (await answer(models, "/similar-tracks/hello?exclude_same_artist=true")).json()

    assert [item["track_id"] for item in body["items"]] == ["roar"]
