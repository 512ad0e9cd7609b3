"""Blending a model that tells odd listeners from even ones with one that draws lots."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from service.core.artifacts import ArtifactStore
from service.core.catalogue import TrackInfo
from service.core.errors import ConfigurationError, TrainingError
from service.core.ids import IdIndex
from tests.training.worlds import checkerboard, prepared
from training.commands.train import summary
from training.data import PreparedData
from training.models import ALGORITHMS
from training.models.algorithm import Fitted, silent
from training.models.blend import CANDIDATES, Blend, changed, known_length, shortlist, usual
from training.publishing import Training, publish


@pytest.fixture
def board() -> PreparedData:
    return prepared(*checkerboard())


@pytest.fixture
def store(tmp_path: Path, board: PreparedData) -> ArtifactStore:
    """Published: `item_knn`, which knows the colours, and `lots`, whose factors are drawn."""
    store = ArtifactStore(tmp_path)
    knn = ALGORITHMS["item_knn"].preset()
    add(store, "item_knn", "item_knn", knn.fit(board, seed=0, device="cpu", progress=silent), board)
    users, tracks = board.interactions.matrix.shape
    rng = np.random.default_rng(0)
    drawn = {
        "user_factors": rng.normal(size=(users, 4)).astype(np.float32),
        "item_factors": rng.normal(size=(tracks, 4)).astype(np.float32),
    }
    fold_in = {"unobserved_weight": 0.1, "liked_confidence": 1.0, "regularization": 1.0}
    add(store, "lots", "wmf", Fitted(arrays=drawn, scoring={"fold_in": fold_in}), board)
    return store


def add(store: ArtifactStore, name: str, algorithm: str, fitted: Fitted, data: PreparedData) -> None:
    publish(store, name, fitted, Training(algorithm, ALGORITHMS[algorithm].preset(), "default", 0, "cpu"), 1.0, data)


def blended(store: ArtifactStore, data: PreparedData, *parts: str) -> Fitted:
    return Blend(parts=parts).over(store, data).fit(data, seed=0, device="cpu", progress=silent)


def test_the_part_that_knows_decides(store: ArtifactStore, board: PreparedData) -> None:
    metrics = blended(store, board, "lots", "item_knn").metrics

    assert metrics["weight_item_knn"] > 0.9
    assert metrics["weight_item_knn"] + metrics["weight_lots"] == pytest.approx(1)


def test_without_validation_pairs_parts_weigh_what_they_usually_do() -> None:
    blind = prepared(checkerboard()[0])

    metrics = Blend().fit(blind, seed=0, device="cpu", progress=silent).metrics

    assert [metrics[f"weight_{part}"] for part in ("ease", "item_knn", "wmf")] == [0.25, 0.1, 0.65]
    assert [metrics[f"guest_weight_{part}"] for part in ("ease", "item_knn", "wmf")] == [0, 0.25, 0.75]


def test_usual_weights_add_up_to_1_and_are_equal_where_a_part_is_none_of_the_usual() -> None:
    assert [weights.tolist() for weights in usual(["wmf", "item_knn"])] == [[0.65 / 0.75, 0.1 / 0.75], [0.75, 0.25]]
    assert [weights.tolist() for weights in usual(["ease"])] == [[1], [1]]
    assert [weights.tolist() for weights in usual(["wmf", "lots"])] == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(("weights", "says_so"), [(None, True), ((0.5, 0.5), False)])
def test_who_reads_its_figures_is_told_if_they_chose_its_weights(
    store: ArtifactStore, board: PreparedData, weights: tuple[float, ...] | None, says_so: bool
) -> None:
    blend = Blend(parts=("lots", "item_knn"), weights=weights).over(store, board)
    fitted = blend.fit(board, seed=0, device="cpu", progress=silent)

    manifest = publish(store, "blend", fitted, Training("blend", blend, "default", 0, "cpu"), 1.0, board)

    assert ("chose its weights" in summary(manifest, store)) is says_so


def test_the_versions_that_were_blended_and_their_digests_are_kept(store: ArtifactStore, board: PreparedData) -> None:
    parts = blended(store, board, "lots", "item_knn").scoring["parts"]

    assert isinstance(parts, list)
    for name, part in zip(("lots", "item_knn"), parts, strict=True):
        assert isinstance(part, dict)
        manifest = store.manifest(name)
        assert (part["name"], part["version"]) == (name, manifest.version)
        assert part["sha256"] == manifest.sha256["arrays.safetensors"]


def test_models_of_other_data_are_refused(store: ArtifactStore, board: PreparedData) -> None:
    others = PreparedData(board.interactions, board.validation, board.test, board.catalogue, "f" * 64)

    with pytest.raises(TrainingError, match=r"lots .* was trained on other data .*; train lots on these data first"):
        blended(store, others, "lots", "item_knn")


def test_models_of_more_tracks_than_were_played_are_refused(store: ArtifactStore, board: PreparedData) -> None:
    interactions = board.interactions
    wider = replace(
        interactions,
        tracks=IdIndex([*interactions.tracks, "unheard"]),
        matrix=csr_array((interactions.matrix.data, interactions.matrix.indices, interactions.matrix.indptr), (20, 21)),
    )
    whole = replace(board, interactions=wider, catalogue=[*board.catalogue, TrackInfo()])
    add(
        store,
        "wide",
        "item_knn",
        ALGORITHMS["item_knn"].preset().fit(whole, seed=0, device="cpu", progress=silent),
        whole,
    )

    with pytest.raises(TrainingError, match="wide knows 21 tracks, training 20"):
        blended(store, board, "wide", "item_knn")


def test_play_counts_cannot_be_blended(store: ArtifactStore, board: PreparedData) -> None:
    add(store, "basic", "basic", Fitted(arrays={}), board)

    with pytest.raises(TrainingError, match=r"basic is of kind 'top_tracks', and a blend takes \['factors', "):
        blended(store, board, "basic", "item_knn")


def test_what_is_neither_published_nor_known_is_named(board: PreparedData) -> None:
    with pytest.raises(TrainingError, match="no published model 'best' is given, and a blend trains only"):
        Blend(parts=("best",)).fit(board, seed=0, device="cpu", progress=silent)


def test_parts_may_be_one_text_and_no_model_is_named_twice() -> None:
    assert Blend.preset(overrides={"parts": "ease, wmf"}) == Blend(parts=("ease", "wmf"))
    with pytest.raises(ConfigurationError, match="parts = 'ease,ease': names a model twice"):
        Blend.preset(overrides={"parts": "ease,ease"})


def test_weights_may_be_given(store: ArtifactStore, board: PreparedData) -> None:
    blend = Blend.preset(overrides={"parts": "lots,item_knn", "weights": "3,1"}).over(store, board)

    metrics = blend.fit(board, seed=0, device="cpu", progress=silent).metrics

    assert metrics == {
        "weight_lots": 0.75,
        "weight_item_knn": 0.25,
        "guest_weight_lots": 0.75,
        "guest_weight_item_knn": 0.25,
    }


def test_weights_of_guests_may_be_given_apart(store: ArtifactStore, board: PreparedData) -> None:
    overrides = {"parts": "lots,item_knn", "weights": "3,1", "guest_weights": "0,2"}
    fitted = Blend.preset(overrides=overrides).over(store, board).fit(board, seed=0, device="cpu", progress=silent)

    parts = fitted.scoring["parts"]
    assert isinstance(parts, list)
    assert [(part["weight"], part["guest_weight"]) for part in parts if isinstance(part, dict)] == [
        (0.75, 0),
        (0.25, 1),
    ]


def test_a_guest_is_as_good_as_known_with_twice_the_mean_history() -> None:
    short = prepared([(f"u{user}", f"t{track}", 1.0) for user in range(3) for track in range(4)])
    long = prepared([(f"u{user}", f"t{track}", 1.0) for user in range(3) for track in range(20 + 10 * user)])

    assert known_length(short) == 20  # but not with a handful
    assert known_length(long) == 60  # 20, 30 and 40 tracks


def test_a_part_that_knows_users_alone_has_no_say_for_guests(store: ArtifactStore, board: PreparedData) -> None:
    rng = np.random.default_rng(0)
    user_colours, track_colours = (
        np.array([[int(public_id[1:]) % 2 == 0, int(public_id[1:]) % 2 == 1] for public_id in ids], dtype=np.float32)
        for ids in (board.interactions.users, board.interactions.tracks)
    )
    by_heart = {  # what tells the colours is too small for a fold-in to see among what is drawn
        "user_factors": np.hstack([1000 * user_colours, np.zeros((len(user_colours), 4), dtype=np.float32)]),
        "item_factors": np.hstack([track_colours / 1000, rng.normal(size=(20, 4)).astype(np.float32)]),
    }
    fold_in = {"unobserved_weight": 0.1, "liked_confidence": 1.0, "regularization": 1.0}
    add(store, "by_heart", "wmf", Fitted(arrays=by_heart, scoring={"fold_in": fold_in}), board)

    metrics = blended(store, board, "by_heart", "item_knn").metrics

    assert metrics["weight_by_heart"] == pytest.approx(0.5)  # both are right about everyone
    assert metrics["guest_weight_item_knn"] > 0.7


@pytest.mark.parametrize(("weights", "fault"), [((1, 1, 1), "one weight for each part"), ((1, -1), "at least 0")])
def test_weights_that_cannot_be_are_refused(weights: tuple[float, ...], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        Blend.preset(overrides={"parts": "lots,item_knn", "weights": weights})


def test_a_weight_that_changes_takes_from_the_others_alike() -> None:
    weights = np.array([0.5, 0.3, 0.2])

    assert changed(weights, 0, 2.0) == pytest.approx([1 / 1.5, 0.3 / 1.5, 0.2 / 1.5])
    assert changed(weights, 0, 0.0) == pytest.approx([0, 0.6, 0.4])
    assert changed(np.array([1.0, 0.0]), 0, 0.0).tolist() == [1, 0]  # something has to be left


def test_the_shortlist_names_the_best_of_every_part_once() -> None:
    scores = torch.zeros(1, 2, 3 * CANDIDATES)
    scores[0, 0, :CANDIDATES], scores[0, 1, CANDIDATES // 2 : CANDIDATES + CANDIDATES // 2] = 1, 1

    tracks, first = shortlist(scores)

    assert tracks[first].tolist() == list(range(CANDIDATES + CANDIDATES // 2))


def test_a_part_that_is_not_there_is_named(store: ArtifactStore, board: PreparedData) -> None:
    with pytest.raises(
        TrainingError, match=r"has no model 'ease' to blend, only \['item_knn', 'lots'\]; train it first"
    ):
        blended(store, board, "item_knn", "ease")
