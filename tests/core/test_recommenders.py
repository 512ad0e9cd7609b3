"""What every kind of scoring promises, and how tracks compare."""

from pathlib import Path

import numpy as np
import pytest
import torch

from service.core.recommender import Recommender
from service.core.recommenders import KINDS
from service.core.recommenders.factors import Factors
from service.core.recommenders.item_item import ItemItem
from service.core.strategies import STRATEGIES
from tests.core import worlds

PLAYS = {"ann": {"a": 3.0, "b": 1.0}, "bob": {"c": 2.0}, "cat": {"a": 1.0, "d": 0.0}}
SONGS = ["a", "b", "c", "d"]
NEIGHBOURS = {"a": {"a": 0.9, "b": 0.5}, "b": {"a": 0.6, "d": -0.1}, "c": {"c": 0.8, "d": 0.3}, "d": {}}


@pytest.fixture(params=sorted(KINDS))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Recommender:
    if request.param == "top_tracks":
        worlds.publish_counts(tmp_path, PLAYS, SONGS, name="any")
    elif request.param == "item_item":
        worlds.publish_item_item(tmp_path, NEIGHBOURS, PLAYS, name="any")
    else:
        x = {"ann": [1.0, 0.1], "bob": [0.1, 1.0], "cat": [0.9, 0.2]}
        y = {"a": [1.0, 0.0], "b": [0.6, 0.1], "c": [0.1, 1.0], "d": [0.0, 0.5]}
        worlds.publish_factors(tmp_path, x, y, PLAYS, name="any" if request.param == "factors" else "wmf")
    if request.param == "blend":
        worlds.publish_item_item(tmp_path, NEIGHBOURS, PLAYS, name="ease")
        worlds.publish_blend(tmp_path, {"wmf": 0.7, "ease": 0.3}, name="any")
    return worlds.load(tmp_path, "any")


def test_scores_have_a_row_a_listener_and_a_column_a_track(model: Recommender) -> None:
    scores = model.score(model.user_vectors(torch.tensor([2, 0])))

    assert scores.shape == (2, 4)
    assert torch.isfinite(scores).all()


def test_each_user_scores_their_favourite_highest(model: Recommender) -> None:
    scores = model.score(model.user_vectors(torch.tensor([0, 1])))

    assert scores.argmax(dim=1).tolist() == [0, 2]


def test_a_guest_scores_what_they_like_highest(model: Recommender) -> None:
    scores = model.score(model.fold_in([torch.tensor([2]), torch.tensor([0])]))

    assert scores.argmax(dim=1).tolist() == [2, 0]


def test_scoring_leaves_the_stored_vectors_alone(model: Recommender) -> None:
    rows = torch.tensor([0, 1])
    before = model.user_vectors(rows).clone()

    model.score(model.user_vectors(rows)).fill_(7)

    assert torch.equal(model.user_vectors(rows), before)


def test_the_calibration_is_that_of_the_scores(model: Recommender) -> None:
    scores = model.score(model.user_vectors(torch.tensor([0, 1, 2])))

    assert model.calibration.scores == pytest.approx(scores.sort(dim=1, descending=True).values.numpy())


def test_what_the_tracks_of_a_history_add_is_all_of_a_guests_score(model: Recommender) -> None:
    history = torch.tensor([0, 2])
    (vector,) = model.fold_in([history])

    parts = model.contributions(vector, history, torch.tensor([3, 0, 1]))

    assert parts.shape == (2, 3)
    assert parts.sum(dim=0).numpy() == pytest.approx(model.score(vector[None])[0, [3, 0, 1]].numpy(), abs=1e-5)


def test_the_strategy_of_choice_exists(model: Recommender) -> None:
    assert model.default_strategy in STRATEGIES


@pytest.mark.parametrize("likes", [1, 4, 7, 8, 9, 30])
def test_guests_fold_in_as_written_however_much_they_like(tmp_path: Path, likes: int) -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=(40, 16)).astype(np.float32)  # a guest who likes fewer than 8 tracks takes the smaller system
    tracks = [f"t{row}" for row in range(40)]
    worlds.publish_factors(tmp_path, {"ann": [1.0] * 16}, dict(zip(tracks, y.tolist(), strict=True)))
    model = worlds.load(tmp_path, "wmf")
    liked, asked = rng.permutation(40)[:likes], np.arange(0, 40, 3)

    (vector,) = model.fold_in([torch.from_numpy(liked)])
    parts = model.contributions(vector, torch.from_numpy(liked), torch.from_numpy(asked))

    weights = worlds.FOLD_IN
    confidence = np.full(40, weights["unobserved_weight"])
    confidence[liked] = weights["liked_confidence"]
    w = np.linalg.inv(y.T @ np.diag(confidence) @ y + weights["regularization"] * np.eye(16))
    assert vector.numpy() == pytest.approx(w @ y[liked].sum(axis=0) * weights["liked_confidence"], abs=1e-4)
    assert parts.numpy() == pytest.approx(y[liked] @ w @ y[asked].T * weights["liked_confidence"], abs=1e-4)


@pytest.mark.parametrize("likes", [2, 9])
def test_guests_of_few_tracks_are_near_the_mean_user_and_have_hardly_refused_the_rest(
    tmp_path: Path, likes: int
) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(4, 16)).astype(np.float32), rng.normal(size=(12, 16)).astype(np.float32)
    tracks = [f"t{row}" for row in range(12)]
    shape = {"popularity_exponent": 0.5, "shrinkage": 6.0, "pull": 2.0, "usual_length": 8.0}
    weights = {**worlds.FOLD_IN, **shape, "guest_regularization": 0.002}
    plays = {user: dict.fromkeys(heard, 1.0) for user, heard in zip("abcd", (tracks[:3], *[["t0"]] * 3), strict=True)}
    users, items = dict(zip("abcd", x.tolist(), strict=True)), dict(zip(tracks, y.tolist(), strict=True))
    worlds.publish_factors(tmp_path, users, items, plays, fold_in=weights)
    model = worlds.load(tmp_path, "wmf")
    liked = np.arange(likes)

    (vector,) = model.fold_in([torch.from_numpy(liked)])
    parts = model.contributions(vector, torch.from_numpy(liked), torch.arange(12))

    usual = (4 * 4**-0.5 + 2) / 6  # t0 has four listeners, t1 and t2 one; the others none, which counts as one
    rare = np.array([4**-0.5, *[1.0] * 11]) / usual
    confidence = np.full(12, 0.1 * min(1, likes / 8))
    confidence[liked] = 0.1 + 0.9 * rare[liked]
    doubt = 6 / likes  # 3 or .67, of which at most 2 towards the mean user
    ridge = {2: 0.002 + (0.01 - 0.002) / 4, 9: 0.01}[likes]
    w = np.linalg.inv(y.T @ np.diag(confidence) @ y + ridge * (1 + doubt) * np.eye(16))
    pull = ridge * min(doubt, 2) * x.mean(axis=0)
    assert vector.numpy() == pytest.approx(w @ (confidence[liked] @ y[liked] + pull), abs=1e-4)
    assert parts.numpy() == pytest.approx(confidence[liked, None] * (y[liked] @ w @ y.T), abs=1e-4)
    assert parts.sum(dim=0).numpy() == pytest.approx(y @ (vector.numpy() - w @ pull), abs=1e-4)


def test_a_guest_is_folded_in_where_rounding_swallows_the_ridge(tmp_path: Path) -> None:
    y = {song: [1000.0] * 4 for song in SONGS}  # all point one way, 4 million beside a lambda of .01
    worlds.publish_factors(tmp_path, {"ann": [1.0] * 4}, y)
    model = worlds.load(tmp_path, "wmf")

    scores = model.score(model.fold_in([torch.tensor([0, 1, 2])]))

    assert scores[0].tolist() == pytest.approx([3 / 3.1] * 4, abs=1e-3)  # three say 1, one says 0 and weighs .1


def similar(root: Path, similarity: str) -> list[str]:
    # near b points the same way as a but is short; far c is long and points half elsewhere
    y = {"a": [1.0, 0.0], "b": [0.3, 0.0], "c": [2.0, 2.0], "d": [0.0, 1.0]}
    worlds.publish_factors(root, {"ann": [1.0, 0.0]}, y, similarity=similarity)
    model = worlds.load(root, "wmf")
    assert isinstance(model, Factors)
    return [SONGS[row] for row in model.similar(0, 100).rows.tolist()]


def test_long_tracks_win_by_dot_product(tmp_path: Path) -> None:
    assert similar(tmp_path, "dot") == ["c", "b", "d"]  # 2, .3, 0


def test_the_same_direction_wins_by_cosine(tmp_path: Path) -> None:
    assert similar(tmp_path, "cosine") == ["b", "c", "d"]  # 1, .71, 0


def test_a_track_is_not_similar_to_itself(tmp_path: Path) -> None:
    assert "a" not in similar(tmp_path, "dot")


def item_item(root: Path) -> ItemItem:
    worlds.publish_item_item(root, NEIGHBOURS, PLAYS)
    model = worlds.load(root, "ease")
    assert isinstance(model, ItemItem)
    return model


def test_each_track_of_a_history_speaks_for_its_neighbours(tmp_path: Path) -> None:
    model = item_item(tmp_path)

    ann, bob, cat = model.score(model.user_vectors(torch.tensor([0, 1, 2]))).tolist()

    assert ann == pytest.approx([1.5, 0.5, 0.0, -0.1])  # a: .9 + .6 from b; b: .5 from a; d: -.1 from b
    assert bob == pytest.approx([0.0, 0.0, 0.8, 0.3])
    assert cat == pytest.approx([0.9, 0.5, 0.0, 0.0])  # d was skipped and says nothing


def test_the_strongest_neighbours_are_the_similar_tracks(tmp_path: Path) -> None:
    ranking = item_item(tmp_path).similar(0, 10)

    assert ranking.rows.tolist() == [1]  # b; a itself is left out
    assert ranking.scores.tolist() == pytest.approx([0.5])


def test_a_track_without_neighbours_has_no_similar_tracks(tmp_path: Path) -> None:
    assert item_item(tmp_path).similar(3, 10).rows.tolist() == []
