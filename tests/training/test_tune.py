"""Searching parameters: the same search whether or not it was interrupted, and a preset that `train` takes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pandas as pd
import pytest

from service.core.artifacts import ArtifactStore
from service.core.catalogue import TrackInfo
from service.core.errors import DataError
from tests.training.worlds import checkerboard, frame, prepared, write
from training.__main__ import main
from training.data import ORDER, PreparedData, interactions_of
from training.models import ALGORITHMS
from training.models.algorithm import Algorithm, Choice, Progress, Range, silent
from training.models.item_knn import ItemKNN
from training.models.wmf import WMF
from training.presets import PresetFile
from training.tuning import finished, remembered, searched, study_name, tune

TRAIN, HELD_OUT = checkerboard()
KNOWN = prepared(TRAIN, HELD_OUT)
SEARCHED = [(name, parameter) for name, algorithm in ALGORITHMS.items() for parameter in algorithm.search]


def search(
    trials: int,
    storage: Path | None = None,
    seed: int = 0,
    data: PreparedData | None = None,
    algorithm: type[Algorithm] = ItemKNN,
    metric: str = "ndcg@5",
    progress: Progress = silent,
) -> PresetFile:
    return tune(
        "item_knn",
        algorithm,
        data or prepared(*checkerboard()),
        trials=trials,
        metric=metric,
        storage=storage,
        seed=seed,
        device="cpu",
        progress=progress,
    )


def trials_in(storage: Path) -> list[dict[str, object]]:
    study = optuna.load_study(study_name=None, storage=remembered(storage))
    return [trial.params for trial in finished(study)]


@pytest.mark.parametrize(("name", "parameter"), SEARCHED, ids=lambda value: value)
def test_both_ends_of_what_is_searched_are_parameters(name: str, parameter: str) -> None:
    where = ALGORITHMS[name].search[parameter]

    for value in (where.low, where.high) if isinstance(where, Range) else where.values:
        ALGORITHMS[name].preset(overrides={parameter: value})


@pytest.mark.parametrize(
    ("known", "searched_too"),
    [
        ({}, set()),
        ({"album_id": "a"}, {"album_weight"}),
        ({"artist": "Abba"}, {"artist_weight"}),
        ({"position": 1}, {"tail_boost"}),
        ({"last_time": pd.Timestamp("2026-01-01")}, {"recent_boost"}),
    ],
    ids=["nothing", "albums", "artists", "positions", "times"],
)
def test_what_the_data_have_no_use_for_is_not_searched(known: dict[str, Any], searched_too: set[str]) -> None:
    needs_nothing = {name for name, where in WMF.search.items() if isinstance(where, Range) and not where.needs}
    pairs = frame(checkerboard()[0]).assign(**{name: known[name] for name in ORDER if name in known})
    about = {name: value for name, value in known.items() if name not in ORDER}
    interactions = interactions_of(pairs)
    data = replace(KNOWN, interactions=interactions, catalogue=[TrackInfo(**about) for _ in interactions.tracks])

    assert set(searched(WMF, data)) == needs_nothing | searched_too


def test_a_catalogue_in_which_nothing_goes_together_is_of_no_use_either() -> None:
    alone = [TrackInfo(album_id=str(row), artist=str(row)) for row in range(len(KNOWN.catalogue))]

    assert replace(KNOWN, catalogue=alone).knowledge == set()


def test_the_first_trial_is_the_default(tmp_path: Path) -> None:
    preset = search(1)

    assert preset.parameters == {}
    assert preset.trials == 1


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    search(2, tmp_path / "stopped")
    stopped = search(5, tmp_path / "stopped")

    whole = search(5, tmp_path / "whole")

    assert stopped == whole
    assert trials_in(tmp_path / "stopped") == trials_in(tmp_path / "whole")
    assert len(trials_in(tmp_path / "whole")) == 5


@pytest.mark.parametrize("before", [0, 2])
def test_a_trial_that_was_killed_is_run_again(before: int, tmp_path: Path) -> None:
    search(1 + before, tmp_path / "whole")
    if before:
        search(before, tmp_path / "killed")
    optuna.create_study(
        study_name=study_name("item_knn", ItemKNN, prepared(*checkerboard()), "ndcg@5", seed=0),
        storage=remembered(tmp_path / "killed"),
        direction="maximize",
        load_if_exists=True,
    ).ask()

    preset = search(1 + before, tmp_path / "killed")

    assert preset == search(1 + before, tmp_path / "whole")
    assert trials_in(tmp_path / "killed") == trials_in(tmp_path / "whole")


def test_a_search_ended_by_ctrl_c_says_so_in_one_line(tmp_path: Path) -> None:
    data, journal = write(tmp_path / "data", *checkerboard()), tmp_path / "journal"
    options = ["--data", str(data), "--trials", "1000000", "--storage", str(journal), "--out", str(tmp_path / "x.json")]
    command = [sys.executable, "-m", "training", "tune", "item_knn", *options]

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not journal.is_file():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)

    assert process.returncode == 130
    assert error.endswith("tune: interrupted\n")
    assert "Traceback" not in error


def test_trials_that_are_there_already_are_not_run_again(tmp_path: Path) -> None:
    first = search(3, tmp_path / "journal")
    shown: list[tuple[int, int]] = []

    assert search(2, tmp_path / "journal", progress=lambda done, total, note="": shown.append((done, total))) == first
    assert shown == [(3, 3)]


class OtherDefaults(ItemKNN):
    shrinkage: float = 7.0


class OtherSpace(ItemKNN):
    search: ClassVar[Mapping[str, Range | Choice]] = {"shrinkage": Range(1, 2)}


@pytest.mark.parametrize(
    "other",
    [
        {"data": prepared(TRAIN, HELD_OUT[1:])},
        {"data": replace(KNOWN, catalogue=[TrackInfo(artist="Abba"), *KNOWN.catalogue[1:]])},
        {"data": replace(KNOWN, fingerprint="1" * 64)},
        {"algorithm": OtherDefaults},
        {"algorithm": OtherSpace},
        {"metric": "map@5"},
        {"seed": 1},
    ],
    ids=["validation", "catalogue", "training", "defaults", "space", "metric", "seed"],
)
def test_trials_of_another_search_say_nothing_of_this_one(other: dict[str, Any], tmp_path: Path) -> None:
    search(2, tmp_path / "journal")

    assert search(1, tmp_path / "journal", **other).trials == 1


def test_the_largest_seed_has_room_for_every_trial() -> None:
    assert search(3, seed=2**32 - 1).trials == 3


def test_another_seed_draws_other_trials(tmp_path: Path) -> None:
    search(3, tmp_path / "a", seed=0)
    search(3, tmp_path / "b", seed=1)

    assert trials_in(tmp_path / "a")[1:] != trials_in(tmp_path / "b")[1:]


def test_without_validation_pairs_nothing_is_searched() -> None:
    data = prepared(checkerboard()[0])

    with pytest.raises(DataError, match="no validation pairs"):
        search(1, data=data)


def test_validation_pairs_that_training_has_judge_nothing() -> None:
    train, _ = checkerboard()

    with pytest.raises(DataError, match="no validation pairs of known users and tracks, new to them"):
        search(1, data=prepared(train, train[:3]))


@pytest.mark.parametrize("left", [1, 40])
def test_a_search_whose_last_line_was_cut_goes_on(left: int, tmp_path: Path) -> None:
    search(2, journal := tmp_path / "journal")
    *lines, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines) + last[:left])

    preset = search(4, journal)

    assert preset == search(4, tmp_path / "whole")
    assert trials_in(journal) == trials_in(tmp_path / "whole")
    assert all(json.loads(line) for line in journal.read_text().splitlines())


@pytest.mark.parametrize("room", [1, 500, 900, 1500])  # in whatever event the disk is full
def test_a_full_disk_is_named_and_the_search_goes_on_when_there_is_room(room: int, tmp_path: Path) -> None:
    data, journal = write(tmp_path / "data", *checkerboard()), tmp_path / "journal"
    options = ["tune", "item_knn", "--data", str(data), "--storage", str(journal), "--out", str(tmp_path / "x.json")]

    script = full_disk(room, [*options, "--trials", "5"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.endswith(f"tune: [Errno 27] File too large: '{journal}'\n")
    assert "Traceback" not in done.stderr
    assert journal.read_bytes()[-1:] in (b"", b"\n")
    assert main([*options, "--trials", "2"]) == 0


def test_a_full_disk_leaves_the_preset_of_before(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data", *checkerboard()), tmp_path / "x.json"
    out.write_text("what was found before")
    options = ["tune", "item_knn", "--data", str(data), "--out", str(out), "--trials", "1"]

    script = full_disk(20, options)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.endswith(f"tune: [Errno 27] File too large: '{out}'\n")
    assert out.read_text() == "what was found before"


def test_the_preset_may_not_take_the_place_of_the_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(1, journal := tmp_path / "x.json")
    trials = journal.read_bytes()
    (tmp_path / "link.json").symlink_to(journal)
    options = ["--data", str(tmp_path), "--trials", "1", "--storage", str(journal)]

    for out in (journal, tmp_path / "link.json"):
        assert main(["tune", "item_knn", *options, "--out", str(out)]) == 2
        assert f"--out {out} is the --storage, too" in capsys.readouterr().err
    assert journal.read_bytes() == trials


def full_disk(room: int, command: list[str]) -> str:
    """Return a program that runs a command which can write no file longer than so many bytes."""
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    limit += f"; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    return f"{limit}; from training.__main__ import main; raise SystemExit(main({command}))"


@pytest.mark.parametrize("text", ["one line", '{"op_code": \n{}\n', '{"colour": "red"}\n', "[1, 2]\n", "\xff\n"])
def test_a_file_that_is_no_journal_is_named(text: str, tmp_path: Path) -> None:
    storage = tmp_path / "notes"
    storage.write_bytes(text.encode("latin-1"))

    with pytest.raises(DataError, match=r"notes is not a journal of trials; name another --storage$"):
        search(1, storage)
    assert storage.read_bytes() == text.encode("latin-1")


def test_folders_are_made_before_the_search(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data", *checkerboard()), tmp_path / "presets" / "found.json"
    storage = tmp_path / "trials" / "journal"

    code = main(
        ["tune", "item_knn", "--data", str(data), "--trials", "1", "--out", str(out), "--storage", str(storage)]
    )

    assert code == 0
    assert out.is_file()
    assert storage.is_file()


def test_a_preset_has_to_be_called_a_file_that_train_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["tune", "ease", "--data", str(tmp_path), "--trials", "1", "--out", str(tmp_path / "found")])

    assert code == 2
    assert "found has to end in .json" in capsys.readouterr().err


def test_a_model_is_trained_with_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, models = tmp_path / "my data", tmp_path / "models"
    data, out = write(folder, *checkerboard()), folder / "found.json"

    assert main(["tune", "item_knn", "--data", str(data), "--trials", "3", "--out", str(out)]) == 0
    assert main(["train", "item_knn", "--data", str(data), "--models", str(models), "--preset", str(out)]) == 0

    assert f"python -m training train item_knn --data '{data}' --preset '{out}'" in capsys.readouterr().out
    parameters = ArtifactStore(models).manifest("item_knn").parameters
    found = json.loads(out.read_text())
    assert found["algorithm"] == "item_knn"
    assert parameters == {**parameters, **found["parameters"], "preset": str(out)}


def test_a_preset_of_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "knn.json"
    search(1).write(out)

    code = main(["train", "ease", "--data", str(tmp_path), "--preset", str(out)])

    assert code == 2
    assert f"{out} is a preset of item_knn, not of ease" in capsys.readouterr().err


def test_a_file_that_is_no_preset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["train", "ease", "--data", str(tmp_path), "--preset", str(tmp_path / "nothing.json")])

    assert code == 2
    assert "nothing.json is not a preset: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"algorithm"', "Invalid JSON: "),
        ('{"algorithm": 3}', "algorithm: Input should be a valid string; parameters: "),
    ],
)
def test_what_is_wrong_with_a_preset_is_said_in_a_line(
    text: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(text, encoding="utf-8")

    code = main(["train", "ease", "--data", str(tmp_path), "--preset", str(broken)])

    assert code == 2
    assert f"{broken} is not a preset: {fault}" in (error := capsys.readouterr().err)
    assert "pydantic" not in error


def test_an_unknown_metric_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["tune", "ease", "--data", str(tmp_path), "--trials", "2", "--metric", "accuracy"])

    assert stopped.value.code == 2
    assert "'accuracy' is not one of ndcg, " in capsys.readouterr().err
