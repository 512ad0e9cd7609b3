"""A blend of two models over four songs, against the sum it stands for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.core.artifacts import Artifact, ArtifactStore
from service.core.errors import ArtifactError
from service.core.ids import IdIndex
from service.core.recommender import Recommender
from service.core.recommenders import recommender_of
from service.core.recommenders.blend import Blend, spread
from tests.core import worlds

PLAYS = {"ann": {"a": 3.0, "b": 1.0}, "bob": {"c": 2.0}, "cat": {"d": 0.0}}
NEIGHBOURS = {"a": {"b": 0.5}, "b": {"a": 0.6, "d": -0.1}, "c": {"d": 0.3}, "d": {}}
X = {"ann": [1.0, 0.1], "bob": [0.1, 1.0], "cat": [0.9, 0.2]}
Y = {"a": [1.0, 0.0], "b": [0.6, 0.1], "c": [0.1, 1.0], "d": [0.0, 0.5]}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    worlds.publish_item_item(tmp_path, NEIGHBOURS, PLAYS, name="ease")
    worlds.publish_factors(tmp_path, X, Y, PLAYS, name="wmf")
    return tmp_path


def blend(store: Path, **weights: float) -> Blend:
    worlds.publish_blend(store, weights)
    model = worlds.load(store, "blend")
    assert isinstance(model, Blend)
    return model


def in_own_spread(model: Recommender, vectors: torch.Tensor) -> torch.Tensor:
    """Scores over their standard deviation, 0 for who scores everything alike."""
    scores = model.score(vectors)
    return torch.stack([row / row.std(correction=0) if row.std() > 0 else row for row in scores])


@pytest.mark.parametrize("tracks", [1, 7, 20_000])
@pytest.mark.parametrize("level", [0.0, 30.0])
def test_a_spread_is_the_standard_deviation_of_the_scores(tracks: int, level: float) -> None:
    scores = level + torch.randn(2, 3, tracks, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(spread(scores), scores.double().std(dim=2, correction=0).float())


def test_equal_scores_have_no_spread_at_all() -> None:
    levels = torch.tensor([0.0, 0.1, 1 / 3, 7.7])

    assert spread(levels[:, None].expand(-1, 20_000)).tolist() == [0, 0, 0, 0]


def test_the_score_is_the_weighted_sum_of_scores_in_their_own_spread(store: Path) -> None:
    model, ease, wmf = blend(store, ease=0.25, wmf=0.75), worlds.load(store, "ease"), worlds.load(store, "wmf")
    users = torch.tensor([2, 0, 1])  # cat only skipped: ease knows nothing of her

    scores = model.score(model.user_vectors(users))

    expected = 0.25 * in_own_spread(ease, ease.user_vectors(users)) + 0.75 * in_own_spread(wmf, wmf.user_vectors(users))
    torch.testing.assert_close(scores, expected)


def test_a_guest_is_scored_as_the_parts_would_score_them(store: Path) -> None:
    model, ease, wmf = blend(store, ease=0.25, wmf=0.75), worlds.load(store, "ease"), worlds.load(store, "wmf")
    liked = [torch.tensor([1, 2]), torch.tensor([3])]

    scores = model.score(model.fold_in(liked))

    expected = 0.25 * in_own_spread(ease, ease.fold_in(liked)) + 0.75 * in_own_spread(wmf, wmf.fold_in(liked))
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize(
    ("liked", "known_length", "of_wmf"),
    [
        (1, {}, 0.9),
        (5, {}, 0.9),
        (10, {}, 0.5),  # half way from 5 to 20, as 2 x 5 and as 20 / 2
        (20, {}, 0.1),
        (30, {}, 0.1),
        (20, {"known_length": 80.0}, 0.5),
    ],
)
def test_the_fewer_tracks_a_guest_likes_the_more_the_guest_weights_decide(
    tmp_path: Path, liked: int, known_length: dict[str, float], of_wmf: float
) -> None:
    songs = [f"s{row:02}" for row in range(40)]
    plays = {"ann": dict.fromkeys(songs, 1.0)}
    worlds.publish_item_item(tmp_path, {song: {songs[0]: 1.0} for song in songs}, plays, name="ease")
    y = {song: [1.0 + row, 1.0] for row, song in enumerate(songs)}
    worlds.publish_factors(tmp_path, {"ann": [1.0, 0.0]}, y, plays, name="wmf")
    worlds.publish_blend(tmp_path, {"ease": 0.9, "wmf": 0.1})
    artifact = ArtifactStore(tmp_path).load("blend")
    parts = artifact.manifest.scoring["parts"]
    assert isinstance(parts, list)
    for part, guest_weight in zip(parts, (0.1, 0.9), strict=True):
        assert isinstance(part, dict)
        part["guest_weight"] = guest_weight
    artifact.manifest.scoring.update(known_length)
    guest = [torch.arange(liked)]

    model, ease, wmf = recommender_of(artifact), worlds.load(tmp_path, "ease"), worlds.load(tmp_path, "wmf")
    scores = model.score(model.fold_in(guest))

    expected = (1 - of_wmf) * in_own_spread(ease, ease.fold_in(guest)) + of_wmf * in_own_spread(wmf, wmf.fold_in(guest))
    torch.testing.assert_close(scores, expected)


def test_a_blend_that_knows_nobody_serves_guests(tmp_path: Path) -> None:
    worlds.publish_item_item(tmp_path, NEIGHBOURS, PLAYS, name="ease")
    worlds.publish_blend(tmp_path, {"ease": 1.0})
    artifact = without_users(ArtifactStore(tmp_path).load("blend"))

    model = recommender_of(artifact)

    assert model.score(model.fold_in([torch.tensor([0])])).argmax(dim=1).tolist() == [1]  # a speaks for b


def without_users(artifact: Artifact) -> Artifact:
    """The artifact with its tracks alone."""
    arrays = dict(artifact.arrays)
    for name in ("history_rows", "history_scores", "0.profile_weights", "part_spreads", "calibration_scores"):
        arrays[name] = arrays[name][:0]
    arrays["history_indptr"] = arrays["history_indptr"][:1]
    return replace(artifact, arrays=arrays, users=IdIndex([]))


def test_a_score_for_two_is_the_sum_of_their_scores(store: Path) -> None:
    model = blend(store, ease=0.5, wmf=0.5)
    ann, bob = model.user_vectors(torch.tensor([0, 1]))

    together = model.score((ann + bob)[None])

    torch.testing.assert_close(together, model.score(ann[None]) + model.score(bob[None]))


def test_chosen_tracks_score_as_among_all(store: Path) -> None:
    model = blend(store, ease=0.5, wmf=0.5)
    vectors, tracks = model.user_vectors(torch.tensor([0, 1])), torch.tensor([[3, 0]])

    torch.testing.assert_close(model.score_tracks(vectors[None], tracks)[0], model.score(vectors)[:, tracks[0]])


def test_a_part_of_weight_0_has_no_say(store: Path) -> None:
    model, wmf = blend(store, ease=0.0, wmf=1.0), worlds.load(store, "wmf")
    users = torch.tensor([0, 1, 2])

    torch.testing.assert_close(
        model.score(model.user_vectors(users)), in_own_spread(wmf, wmf.user_vectors(users)), equal_nan=True
    )


def test_contributions_of_what_a_guest_likes_add_up_to_their_scores(store: Path) -> None:
    model = blend(store, ease=0.5, wmf=0.5)
    liked = torch.tensor([0, 1])
    (vector,) = model.fold_in([liked])

    parts = model.contributions(vector, liked, torch.arange(4))

    torch.testing.assert_close(parts.sum(dim=0), model.score(vector[None])[0])


def test_similar_tracks_are_what_a_guest_gets_who_likes_this_one_alone(store: Path) -> None:
    model = blend(store, ease=1.0, wmf=0.0)

    ranking = model.similar(1, 10)

    assert ranking.rows.tolist() == [0]  # b speaks for a; against d; it says nothing of c


def test_a_blend_without_a_spread_for_each_part_is_refused(store: Path) -> None:
    worlds.publish_blend(store, {"ease": 0.5, "wmf": 0.5})
    artifact = ArtifactStore(store).load("blend")
    part = artifact.manifest.scoring["parts"]
    assert isinstance(part, list)
    artifact.manifest.scoring["parts"] = part[:1]

    with pytest.raises(ArtifactError, match="part_spreads has 2 columns for 1 parts"):
        recommender_of(artifact)


def test_play_counts_are_no_part_of_a_blend(store: Path) -> None:
    worlds.publish_blend(store, {"ease": 0.5, "wmf": 0.5})
    artifact = ArtifactStore(store).load("blend")
    parts = artifact.manifest.scoring["parts"]
    assert isinstance(parts, list)
    assert isinstance(parts[1], dict)
    parts[1]["kind"] = "top_tracks"

    with pytest.raises(ArtifactError, match=r"part wmf is of kind 'top_tracks', a part may be of \['factors', 'item_"):
        recommender_of(artifact)
