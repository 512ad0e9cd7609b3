import argparse
import json
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from service.core.artifacts import ArtifactStore
from service.core.errors import ConfigurationError
from tests.training.worlds import checkerboard, write
from training.__main__ import COMMANDS, main, parser, unwound_ctrl_c
from training.models import ALGORITHMS


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "data", *checkerboard())


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


def train(data, models, *arguments):
    return main(["train", *arguments, "--data", str(data), "--models", str(models)])


def test_training_publishes_and_says_how_good_the_model_is(data, models, capsys):
    code = train(data, models, "basic")

    assert code == 0
    version = ArtifactStore(models).current("basic")
    out = capsys.readouterr().out
    assert str(models / "basic" / version) in out
    assert "recall@10 0.9091" in out  # 11 unheard tracks score 0 alike, 10 of them are shown


def test_parameters_come_from_the_preset_unless_they_are_given(data, models):
    code = train(data, models, "softmax", "--preset", "original", "--dim", "3", "--set", "epochs=2", "--seed", "5")

    assert code == 0
    parameters = ArtifactStore(models).load("softmax").manifest.parameters
    assert (parameters["dim"], parameters["epochs"], parameters["seed"]) == (3, 2, 5)
    assert (parameters["preset"], parameters["learning_rate"]) == ("original", 100.0)


def test_the_curve_is_in_the_manifest_one_entry_an_epoch(data, models):
    train(data, models, "softmax", "--epochs", "2")

    curve = ArtifactStore(models).load("softmax").manifest.curve
    assert [entry["epoch"] for entry in curve] == [1, 2]
    assert curve[0].keys() == {"epoch", "train_loss", "validation_loss", "validation_accuracy", "seconds"}


def test_a_model_may_be_served_under_another_name(data, models):
    train(data, models, "basic", "--name", "control")

    manifest = ArtifactStore(models).load("control").manifest
    assert (manifest.name, manifest.algorithm) == ("control", "basic")


def test_all_models_are_trained_with_one_command(data, models):
    code = train(data, models, "all")

    assert code == 0
    assert ArtifactStore(models).names() == sorted(ALGORITHMS)


def test_titles_reach_the_artifact(tmp_path, models):
    folder = write(tmp_path / "data", [("u", "x", 1.0), ("u", "y", 1.0)], titles={"y": "Yesterday"})

    train(folder, models, "basic")

    assert ArtifactStore(models).load("basic").catalogue.titles == [None, "Yesterday"]


def test_the_help_of_train_names_every_preset(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])

    said = " ".join(capsys.readouterr().out.split())
    assert "--preset PRESET default, original, large (of wmf) or a file that `tune` wrote (default: default)" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help_that_says_its_default(command):
    for action in parser()._subparsers._group_actions[0].choices[command]._actions:
        assert action.help, action.dest
        if not action.required and action.default not in (None, [], False, argparse.SUPPRESS):
            assert re.search(r"\(default: .+\)", action.help), action.dest


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_ends_with_examples_that_are_understood(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])

    examples = re.findall(r"python -m training (.*)", capsys.readouterr().out.split("example", maxsplit=1)[1])
    assert examples
    for example in examples:
        with suppress(SystemExit) as stopped:
            parser().parse_args(shlex.split(example))
        assert stopped is None or "--parameters" in example


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_parameters_of_a_model_are_shown_with_defaults_and_presets(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--parameters", name])

    shown = capsys.readouterr().out
    defaults = dict(re.findall(r"^(\w+)=(.*)$", shown, re.MULTILINE))
    parameters = ALGORITHMS[name].model_fields
    assert list(defaults) == list(parameters)
    assert all(len(description.split()) > 0 for description in re.findall(r"^\w+=.*\n    (.*)", shown, re.MULTILINE))
    assert re.findall(r"^--preset (\w+):", shown, re.MULTILINE) == ["default", *ALGORITHMS[name].presets]
    typed = ALGORITHMS[name].preset(overrides={key: None if text == "None" else text for key, text in defaults.items()})
    assert typed == ALGORITHMS[name].preset()


def test_a_parameter_that_is_left_to_the_data_may_be_typed_as_it_is_shown(data, models):
    assert train(data, models, "wmf", "--preset", "original", "--dim", "4", "--set", "guest_length=None") == 0

    assert ArtifactStore(models).manifest("wmf").parameters["guest_length"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["softmax", "--set", "dims=3"], "Softmax: no parameter 'dims', known: ['batch_size', "),
        (["softmax", "--dim", "many"], "dim = 'many': Input should be a valid integer"),
        (["softmax", "--dim", "0"], "dim = '0': Input should be greater than or equal to 1"),
        (["softmax", "--set", "dim"], "--set 'dim' is not KEY=VALUE"),
        (["softmax", "--set", "learning_rate=nan"], "Input should be a finite number"),
        (["basic", "--preset", "modern"], "Basic has no preset 'modern', known: ['default', 'original']"),
        (["all", "--dim", "3"], "all trains every model with its own parameters: leave --dim out"),
        (["all", "--name", "x", "--set", "a=b"], "parameters: leave --name, --set out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_said_before_any_work(tmp_path, models, capsys, arguments, message):
    code = train(tmp_path / "nothing", models, *arguments)

    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


PLACES = [
    ("train basic --data nothing", "--models"),
    ("evaluate --data nothing --models nothing", "--out"),
    ("evaluate --data nothing --models nothing --out x", "--rankings"),
    ("tune ease --data nothing --trials 1", "--out"),
    ("tune ease --data nothing --trials 1", "--storage"),
    ("sample", "--out"),
]


@pytest.mark.parametrize(("command", "option"), PLACES, ids=lambda value: value.split()[0])
def test_a_place_below_a_file_is_refused_before_any_work(tmp_path, capsys, command, option):
    file = tmp_path / "notes"
    file.touch()

    code = main([*command.split(), option, str(file / "deeper" / "x.json")])

    assert code == 2
    assert f"{option} {file}/deeper" in (error := capsys.readouterr().err)
    assert f"cannot be a folder: {file} is a file" in error


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system has no /proc")
@pytest.mark.parametrize(("command", "option"), PLACES, ids=lambda value: value.split()[0])
def test_a_place_where_nothing_can_be_made_is_refused_before_any_work(capsys, command, option):
    code = main([*command.split(), option, "/proc/nope/x.json"])  # where os.access() says yes to root

    assert code == 2
    error = capsys.readouterr().err
    assert f"{option} /proc/nope" in error
    assert "cannot be written: nothing may be added to /proc (" in error


@pytest.mark.parametrize("name", ["../control", "_x", "x" * 101])
def test_a_name_that_no_model_can_have_is_refused_before_any_work(tmp_path, models, capsys, name):
    code = train(tmp_path / "nothing", models, "basic", "--name", name)

    assert code == 1
    assert (
        f"model name '{name}' must be letters, digits, '.', '_' or '-', at most 100, and start with a letter or a digit"
        in capsys.readouterr().err
    )


def test_data_that_are_a_file_are_no_folder(data, models, capsys):
    code = train(data / "train.parquet", models, "basic")

    assert code == 1
    assert f"{data / 'train.parquet'} is a file; prepared data are a folder" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["wmf", "softmax"])  # numba and torch say so each in its own way
def test_more_than_the_memory_holds_is_one_line(data, models, capsys, model):
    code = train(data, models, model, "--dim", "500000", "--epochs", "1")

    assert code == 1
    assert "train: this needs more memory than there is" in capsys.readouterr().err


COUNTS = [
    (name, field)
    for name, algorithm in ALGORITHMS.items()
    for field, schema in algorithm.model_json_schema()["properties"].items()
    if any(choice.get("type") == "integer" for choice in [schema, *schema.get("anyOf", [])])
]


@pytest.mark.parametrize(("name", "field"), COUNTS)
def test_a_parameter_that_counts_has_an_upper_bound(name, field):
    with pytest.raises(ConfigurationError, match=f"{field} = '9{{20}}': Input should be less than or equal to 1000000"):
        ALGORITHMS[name].preset(overrides={field: "9" * 20})


@pytest.mark.parametrize(
    "command",
    [
        "evaluate --data nothing --out nothing --k",
        "evaluate --data nothing --out nothing --n-groups",
        "sample --out nothing --users",
        "sample --out nothing --events",
        "tune ease --data nothing --trials",
    ],
)
def test_a_number_that_nothing_can_have_is_wrong_usage(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "9" * 20])

    assert stopped.value.code == 2
    assert "is not a whole number from 1 to 1,000,000,000" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "sample --out nothing",
        "prepare --events nothing --out nothing",
        "train wmf --data nothing",
        "tune ease --data nothing --trials 1",
        "evaluate --data nothing --out nothing",
    ],
    ids=lambda command: command.split()[0],
)
@pytest.mark.parametrize("seed", ["4294967296", "-1", "9" * 23])
def test_a_seed_that_no_generator_takes_is_wrong_usage(capsys, command, seed):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--seed", seed])

    assert stopped.value.code == 2
    assert f"'{seed}' is not a whole number from 0 to 4,294,967,295" in capsys.readouterr().err


def test_an_unknown_model_is_wrong_usage_and_the_known_ones_are_named(data, models, capsys):
    with pytest.raises(SystemExit) as stopped:
        train(data, models, "bsic")

    assert stopped.value.code == 2
    assert "'basic'" in capsys.readouterr().err


def test_a_failure_is_one_line_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "training", "train", "basic", "--data", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"train: {tmp_path / 'train.parquet'} is missing")
    assert done.stderr.count("\n") == 1


def test_a_disk_that_is_full_is_named(data, models, capfd):
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    limit += "; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))"
    options = ["train", "basic", "--data", str(data), "--models", str(models)]
    script = f"{limit}; from training.__main__ import main; raise SystemExit(main({options}))"

    done = subprocess.run([sys.executable, "-c", script], check=False)

    assert done.returncode == 1
    assert f"train: [Errno 27] File too large: '{models / 'basic'}'\n" in capfd.readouterr().err
    assert not models.exists()  # no folder stays that says there is a model


def test_publish_switches_back_to_an_older_version(data, models):
    train(data, models, "basic")
    first = ArtifactStore(models).current("basic")
    train(data, models, "basic")
    assert ArtifactStore(models).current("basic") != first

    code = main(["publish", "basic", first, "--models", str(models)])

    assert code == 0
    assert ArtifactStore(models).current("basic") == first


def test_publish_names_the_versions_there_are(data, models, capsys):
    train(data, models, "basic")
    version = ArtifactStore(models).current("basic")

    code = main(["publish", "basic", "yesterday", "--models", str(models)])

    assert code == 1
    assert f"'basic' has no version 'yesterday', there are: {version}" in capsys.readouterr().err
    assert ArtifactStore(models).current("basic") == version


def test_publish_names_the_models_there_are(data, models, capsys):
    train(data, models, "basic")

    code = main(["publish", "bsic", "yesterday", "--models", str(models)])

    assert code == 1
    assert f"{models} has no model 'bsic'; models here: basic" in capsys.readouterr().err


def test_publish_refuses_a_damaged_version(data, models, capsys):
    train(data, models, "basic")
    damaged = ArtifactStore(models).current("basic")
    train(data, models, "basic")
    current = ArtifactStore(models).current("basic")
    tracks = models / "basic" / damaged / "tracks.txt"
    tracks.write_text(tracks.read_text().replace("t1", "t9", 1))

    code = main(["publish", "basic", damaged, "--models", str(models)])

    assert code == 1
    assert "tracks.txt: sha256 is" in capsys.readouterr().err
    assert ArtifactStore(models).current("basic") == current


def test_a_manifest_is_plain_json(data, models):
    train(data, models, "basic")

    path = models / "basic" / ArtifactStore(models).current("basic") / "manifest.json"
    assert json.loads(path.read_text())["algorithm"] == "basic"


def test_what_fails_while_ctrl_c_is_on_its_way_out_is_an_interruption() -> None:
    def given_back_twice() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            Path("/nowhere/lock").unlink()

    with pytest.raises(FileNotFoundError) as failure:
        given_back_twice()

    assert unwound_ctrl_c(failure.value)
    assert not unwound_ctrl_c(FileNotFoundError("a file"))


def test_an_interruption_is_told_whatever_a_library_makes_of_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("not associated with a value")  # as Optuna's own clean-up ends

    monkeypatch.setattr("training.commands.tune.tune", interrupted)

    code = main(["tune", "item_knn", "--data", str(data), "--trials", "1", "--out", str(tmp_path / "found.json")])

    assert code == 130
    assert capsys.readouterr().err.endswith("tune: interrupted\n")
