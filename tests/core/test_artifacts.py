"""Publishing is all or nothing, and loading believes no byte that was not published."""

import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from service.core.artifacts import ARRAYS, CATALOGUE, CURRENT, MANIFEST, TRACKS, USERS, ArtifactStore
from service.core.errors import ArtifactError
from service.core.recommenders import recommender_of
from tests.core import worlds

PLAYS = {"ann": {"a1": 3.0, "b2": 1.0}, "9007199254740993": {"b2": 2.0}}
SONGS = ["a1", "b2", "ü/:3"]


def publish(root: Path) -> Path:
    manifest = worlds.publish_counts(root, PLAYS, SONGS)
    return root / manifest.name / manifest.version


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Put other content into an artifact, with the digest to go with it."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def digest_of(file: Path) -> str:
    """What the manifest beside a file says of it."""
    return json.loads((file.parent / MANIFEST).read_text())["sha256"][file.name]


def test_what_was_published_is_loaded(tmp_path: Path) -> None:
    publish(tmp_path)

    artifact = ArtifactStore(tmp_path).load("basic")

    assert artifact.users.ids == ("ann", "9007199254740993")
    assert artifact.tracks.ids == ("a1", "b2", "ü/:3")
    assert artifact.catalogue.titles[1] == "Song b2"
    assert artifact.history.tracks_of(0).tolist() == [0, 1]
    assert artifact.history.scores_of(0).tolist() == [3.0, 1.0]


def test_every_file_may_be_read_by_another_user(tmp_path: Path) -> None:
    folder = publish(tmp_path)

    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


@pytest.mark.parametrize("file", [ARRAYS, USERS, TRACKS, CATALOGUE])
@pytest.mark.parametrize("damage", ["flip a bit", "truncate", "remove"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, damage: str) -> None:
    path = publish(tmp_path) / file
    digest, content = digest_of(path), path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "truncate" else bytes([content[0] ^ 1]) + content[1:])

    with pytest.raises(ArtifactError, match=file) as error:
        ArtifactStore(tmp_path).load("basic")

    assert digest in str(error.value)


@pytest.mark.parametrize("file", [ARRAYS, USERS, TRACKS, CATALOGUE])
def test_a_file_that_was_written_wrong_is_named_with_its_digest(tmp_path: Path, file: str) -> None:
    folder = publish(tmp_path)
    replace_file(folder, file, b"\xff\n")

    with pytest.raises(ArtifactError, match=rf"{file}: .*{digest_of(folder / file)}"):
        ArtifactStore(tmp_path).load("basic")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2}', b"\xff"])
def test_a_manifest_that_is_none_is_named_on_one_line(tmp_path: Path, content: bytes) -> None:
    (publish(tmp_path) / MANIFEST).write_bytes(content)

    with pytest.raises(ArtifactError, match=MANIFEST) as error:
        ArtifactStore(tmp_path).load("basic")

    assert "\n" not in str(error.value)
    assert "http" not in str(error.value)


def test_all_that_is_wrong_with_a_manifest_is_told_and_where(tmp_path: Path) -> None:
    folder = publish(tmp_path)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"colour": "red", "data": manifest["data"] | {"users": "?"}}))

    with pytest.raises(ArtifactError) as error:
        ArtifactStore(tmp_path).load("basic")

    assert str(error.value) == (
        f"{folder / MANIFEST}: is not a manifest of format 1: data.users: Input should be a valid integer, "
        "unable to parse string as an integer; colour: Extra inputs are not permitted"
    )


def test_scoring_that_its_kind_does_not_understand_is_told_on_one_line(tmp_path: Path) -> None:
    worlds.publish_factors(tmp_path, {"ann": [1.0]}, {"a1": [1.0]}, similarity="distance")

    with pytest.raises(ArtifactError, match=r"manifest\.json: scoring is not valid: similarity: .*") as error:
        worlds.load(tmp_path, "wmf")

    assert "\n" not in str(error.value)
    assert "http" not in str(error.value)


def test_nan_is_not_published_and_leaves_nothing_behind(tmp_path: Path) -> None:
    good = publish(tmp_path)
    manifest = worlds.manifest("basic", "top_tracks", users=1, tracks=1)

    with pytest.raises(ArtifactError, match=r"'history_scores'.*not finite"):
        ArtifactStore(tmp_path).publish(
            manifest, {"history_scores": np.array([np.nan], dtype=np.float32)}, ["u"], ["t"], []
        )

    assert ArtifactStore(tmp_path).versions("basic") == [good.name]
    assert ArtifactStore(tmp_path).current("basic") == good.name


def test_nan_that_somebody_wrote_with_the_right_digest_is_not_loaded(tmp_path: Path) -> None:
    folder = publish(tmp_path)
    arrays = safetensors.numpy.load_file(folder / ARRAYS)
    arrays["calibration_scores"][0, 0] = np.nan
    replace_file(folder, ARRAYS, safetensors.numpy.save(arrays))

    with pytest.raises(ArtifactError, match=r"arrays\.safetensors.*'calibration_scores'.*not finite") as error:
        ArtifactStore(tmp_path).load("basic")

    assert digest_of(folder / ARRAYS) in str(error.value)


@pytest.mark.parametrize("bad", ["", "two\nlines", "carriage\rreturn"])
def test_an_id_that_does_not_fit_on_a_line_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ArtifactError, match="one a line"):
        worlds.publish_counts(tmp_path, {bad: {"a1": 1.0}}, SONGS)

    assert ArtifactStore(tmp_path).versions("basic") == []


def test_versions_live_side_by_side_and_current_switches_back(tmp_path: Path) -> None:
    first, second = publish(tmp_path).name, publish(tmp_path).name
    store = ArtifactStore(tmp_path)

    assert store.current("basic") == second
    store.switch("basic", first)

    assert store.current("basic") == first
    assert store.load("basic").manifest.version == first
    assert store.load("basic", second).manifest.version == second
    assert store.versions("basic") == sorted([first, second])


def test_switching_to_a_version_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    version = publish(tmp_path).name

    with pytest.raises(ArtifactError, match=version):
        ArtifactStore(tmp_path).switch("basic", "20200101T000000Z-000000")


@pytest.mark.parametrize("name", ["../evil", ".hidden", "", "a/b", "a" * 101])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="name"):
        ArtifactStore(tmp_path).load(name)


def test_a_model_that_is_not_there_is_an_error_that_lists_the_others(tmp_path: Path) -> None:
    publish(tmp_path)

    with pytest.raises(ArtifactError, match=rf"{CURRENT}.*basic"):
        ArtifactStore(tmp_path).load("wmf")


def test_an_interrupted_publish_is_invisible(tmp_path: Path) -> None:
    version = publish(tmp_path).name
    half = tmp_path / "basic" / ".staging-abc"
    half.mkdir()
    (half / MANIFEST).write_text("{}")

    assert ArtifactStore(tmp_path).versions("basic") == [version]
    assert ArtifactStore(tmp_path).names() == ["basic"]


def test_an_unknown_kind_lists_the_known_ones(tmp_path: Path) -> None:
    calibration = worlds.Calibration.measure(worlds.dense(PLAYS, SONGS))
    ArtifactStore(tmp_path).publish(
        worlds.manifest("odd", "facors", users=2, tracks=3),
        worlds.history_arrays(PLAYS, SONGS) | worlds.calibration_arrays(calibration),
        list(PLAYS),
        SONGS,
        [worlds.TrackInfo()] * 3,
    )

    with pytest.raises(ArtifactError, match=r"'facors', known: \['blend', 'factors', 'item_item', 'top_tracks'\]"):
        worlds.load(tmp_path, "odd")


def test_arrays_that_do_not_fit_the_ids_are_named(tmp_path: Path) -> None:
    arrays = worlds.history_arrays(PLAYS, SONGS) | worlds.calibration_arrays(
        worlds.Calibration.measure(worlds.dense(PLAYS, SONGS))
    )
    factors = np.ones((3, 2), dtype=np.float32)
    ArtifactStore(tmp_path).publish(
        worlds.manifest("wmf", "factors", users=2, tracks=3, scoring={"fold_in": worlds.FOLD_IN}),
        {**arrays, "user_factors": factors, "item_factors": factors},
        list(PLAYS),
        SONGS,
        [worlds.TrackInfo()] * 3,
    )

    with pytest.raises(ArtifactError, match=r"user_factors is \(3, 2\), expected 2 rows.*sha256"):
        worlds.load(tmp_path, "wmf")


def test_nothing_on_disk_is_a_pickle(tmp_path: Path) -> None:
    folder = publish(tmp_path)

    assert {file.name for file in folder.iterdir()} == {ARRAYS, USERS, TRACKS, CATALOGUE, MANIFEST}
    for file in folder.iterdir():
        if file.name != ARRAYS:
            file.read_text(encoding="utf-8")


def test_a_model_can_be_put_on_a_device_of_choice(tmp_path: Path) -> None:
    publish(tmp_path)

    model = recommender_of(ArtifactStore(tmp_path).load("basic", device=torch.device("meta")))

    assert model.fold_in([torch.tensor([0])]).device.type == "meta"


def test_a_figure_that_is_not_a_number_is_not_published(tmp_path: Path) -> None:
    version = publish(tmp_path).name
    manifest = worlds.manifest("basic", "top_tracks", users=1, tracks=1, metrics={"loss": float("nan")})

    with pytest.raises(ArtifactError, match="metrics"):
        ArtifactStore(tmp_path).publish(manifest, {}, ["u"], ["t"], [worlds.TrackInfo()])

    assert ArtifactStore(tmp_path).versions("basic") == [version]


def test_switching_never_leaves_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="model name"):
        ArtifactStore(tmp_path / "models").switch("../victim", "v1")


def test_others_may_read_what_a_careful_user_published(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folder = publish(tmp_path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o755


@pytest.mark.parametrize("line", ["[]", "null", "3"])
def test_a_catalogue_of_something_else_is_named(tmp_path: Path, line: str) -> None:
    folder = publish(tmp_path)
    replace_file(folder, CATALOGUE, f"{line}\n{line}\n{line}\n".encode())

    with pytest.raises(ArtifactError, match=CATALOGUE):
        ArtifactStore(tmp_path).load("basic")


def test_ids_cut_off_in_the_last_line_are_noticed(tmp_path: Path) -> None:
    folder = publish(tmp_path)
    replace_file(folder, USERS, (folder / USERS).read_bytes()[:-1])

    with pytest.raises(ArtifactError, match=USERS):
        ArtifactStore(tmp_path).load("basic")


def test_the_users_are_known_even_where_the_arrays_are_damaged(tmp_path: Path) -> None:
    (publish(tmp_path) / ARRAYS).unlink()

    assert ArtifactStore(tmp_path).users("basic").ids == ("ann", "9007199254740993")
