"""What is demanded of every algorithm; a registered one is tested without a line here."""

from contextlib import suppress

import numpy as np
import pytest
import torch

from service.core.artifacts import ArtifactStore
from service.core.errors import ConfigurationError, TrainingError, TuttiError
from service.core.ids import group_key
from service.core.recommenders import KINDS, recommender_of
from tests.training.worlds import checkerboard, prepared
from training.models import ALGORITHMS
from training.models.algorithm import Fitted, silent
from training.publishing import Training, publish


@pytest.fixture(params=ALGORITHMS)
def algorithm(request):
    return ALGORITHMS[request.param].preset()


@pytest.fixture
def board():
    return prepared(*checkerboard())


def fit(algorithm, data, seed=0):
    return algorithm.fit(data, seed=seed, device="cpu", progress=silent)


def published(tmp_path, algorithm, data, fitted=None):
    training = Training("trained", algorithm, preset="default", seed=7, device="cpu")
    publish(ArtifactStore(tmp_path), "trained", fitted or fit(algorithm, data), training, 1.5, data)
    return ArtifactStore(tmp_path).load("trained")


def scores_of(artifact):
    model = recommender_of(artifact)
    return model.score(model.user_vectors(torch.arange(len(model.users)))).numpy()


def test_the_kind_can_be_served(algorithm):
    assert algorithm.kind in KINDS


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_preset_is_valid_and_every_parameter_is_described(name):
    algorithm = ALGORITHMS[name]

    for preset in ["default", *algorithm.presets]:
        algorithm.preset(preset)
    assert [field for field, info in algorithm.model_fields.items() if not info.description] == []


def test_an_unknown_preset_is_named_beside_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"no preset 'best', known: \['default', 'original'\]"):
        ALGORITHMS["softmax"].preset("best")


def test_the_same_seed_fits_the_same_arrays(algorithm, board):
    first, second = fit(algorithm, board, seed=3), fit(algorithm, board, seed=3)

    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])


def test_a_taste_is_told_from_popularity(tmp_path, algorithm, board):
    scores = scores_of(published(tmp_path, algorithm, board))

    tracks = board.interactions.tracks.ids
    even = np.array([int(track[1:]) % 2 == 0 for track in tracks])
    popularity = board.interactions.matrix.sum(axis=0)
    assert popularity[even].max() < popularity[~even].min()
    for user, row in zip(board.interactions.users, scores, strict=True):
        own = even if int(user[1:]) % 2 == 0 else ~even
        assert row[own].mean() > row[~own].mean(), user


def test_what_is_loaded_scores_as_what_was_fitted(tmp_path, algorithm, board):
    artifact = published(tmp_path, algorithm, board)

    assert artifact.users == board.interactions.users
    assert artifact.tracks == board.interactions.tracks
    for name, array in fit(algorithm, board).arrays.items():
        np.testing.assert_array_equal(artifact.arrays[name], array)
    scores = scores_of(artifact)
    assert scores.shape == board.interactions.matrix.shape
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(artifact.calibration.high, scores.max(axis=1))


def test_the_manifest_says_how_the_model_came_about(tmp_path, algorithm, board):
    manifest = published(tmp_path, algorithm, board).manifest

    assert manifest.parameters == {
        **algorithm.model_dump(mode="json"),
        "preset": "default",
        "seed": 7,
        "device": "cpu",
    }
    assert manifest.data.sha256 == board.fingerprint
    assert (manifest.data.users, manifest.data.tracks, manifest.data.pairs) == (20, 20, 180)
    assert manifest.metrics["training_seconds"] == 1.5
    assert 0 <= manifest.metrics["validation_ndcg@10"] <= 1


def test_a_group_with_listening_of_its_own_is_counted_as_no_user(tmp_path):
    data = prepared([("u", "x", 1.0), ("v", "x", 2.0), (group_key("u and v"), "y", 1.0)])

    known = published(tmp_path, ALGORITHMS["basic"].preset(), data)

    assert len(known.users) == 3
    assert (known.manifest.data.users, known.manifest.data.groups) == (2, 1)


EDGE_WORLDS = {
    "one user": [("u", "x", 1.0), ("u", "y", 3.0), ("u", "z", 0.0)],
    "one track": [("u", "x", 1.0), ("v", "x", 2.0), ("w", "x", 0.0)],
    "one pair": [("u", "x", 1.0)],
    "seen once": [("u", "x", 1.0), ("u", "y", 1.0), ("v", "x", 1.0), ("v", "y", 1.0), ("once", "rare", 1.0)],
    "one user only skipped": [("u", "x", 1.0), ("v", "x", 1.0), ("v", "y", 1.0), ("skipper", "y", 0.0)],
    "a million plays": [("u", "x", 1e6), ("u", "y", 1.0), ("v", "y", 1.0), ("v", "z", 1e6)],
}


@pytest.mark.parametrize("world", EDGE_WORLDS)
def test_a_tiny_world_has_scores_for_everybody(tmp_path, algorithm, world):
    data = prepared(EDGE_WORLDS[world])

    scores = scores_of(published(tmp_path, algorithm, data))

    assert scores.shape == data.interactions.matrix.shape
    assert np.isfinite(scores).all()


def test_a_world_of_skips_alone_teaches_nothing_or_is_refused_in_words(tmp_path, algorithm):
    data = prepared([("u", "x", 0.0), ("v", "y", 0.0)])

    with suppress(TuttiError):
        scores = scores_of(published(tmp_path, algorithm, data))
        np.testing.assert_allclose(scores, 0, atol=1e-6)


def test_numbers_that_are_not_finite_are_never_published(tmp_path, algorithm, board):
    fitted = Fitted(arrays={"user_factors": np.array([[1.0], [np.nan]], dtype=np.float32)})

    with pytest.raises(TrainingError, match="user_factors is not finite"):
        published(tmp_path, algorithm, board, fitted)
    assert ArtifactStore(tmp_path).names() == []


def test_softmax_that_diverges_says_so():
    board = prepared(*checkerboard())

    with pytest.raises(TrainingError, match=r"diverged in epoch \d+"):
        fit(ALGORITHMS["softmax"].preset("original", {"learning_rate": 1e20}), board)


def test_softmax_stops_early_and_keeps_the_epoch_with_the_lowest_validation_loss(board):
    fitted = fit(ALGORITHMS["softmax"].preset("original", {"learning_rate": 2000}), board)

    losses = [entry["validation_loss"] for entry in fitted.curve]
    assert len(losses) < 50
    assert fitted.metrics["best_epoch"] == 1 + np.argmin(losses) == len(losses) - 3
    assert fitted.metrics["validation_loss"] == min(losses)
