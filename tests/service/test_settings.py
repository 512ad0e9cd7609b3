import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from service.__main__ import main
from service.app import create_app
from service.core.errors import ConfigurationError
from service.experiments.config import load_experiments
from service.settings import Settings
from tests.service.worlds import serving

TWO_VARIANTS = """
[[experiments]]
name = "test"
salt = "salt"
variants = [
  {{name = "a", model = "{model}", strategy = "{strategy}", share = {share}}},
  {{name = "b", model = "basic", strategy = "shared_first", share = 0.5}},
]
"""


def experiments(
    folder: Path, model: str = "wmf", strategy: str = "average", share: float = 0.5, more: str = ""
) -> Path:
    file = folder / "experiments.toml"
    file.write_text(TWO_VARIANTS.format(model=model, strategy=strategy, share=share) + more)
    return file


async def test_a_variable_that_is_almost_a_setting_is_logged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SERVICE_DEFAULT_MODLE", "ease")
    monkeypatch.setenv("SERVICE_DEFAULT_MODEL", "wmf")

    async with serving(settings):
        pass

    assert "SERVICE_DEFAULT_MODLE is not a setting" in caplog.text
    assert "SERVICE_DEFAULT_MODEL is" not in caplog.text


def test_the_environment_sets_names_without_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_REQUIRED_MODELS", "basic, ease")
    monkeypatch.setenv("SERVICE_PORT", "1234")

    settings = Settings()

    assert settings.required_models == ("basic", "ease")
    assert settings.port == 1234


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SERVICE_{name.upper()}", "")

    assert Settings() == Settings.model_construct()


@pytest.mark.parametrize("option", ["models", "host", "port", "workers", "device"])
def test_an_empty_option_is_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main([f"--{option}", ""]) == 2
    assert capsys.readouterr().err == f"--{option}: Input must not be empty\n"


@pytest.mark.parametrize(
    ("variable", "value", "limit"),
    [
        ("WORKERS", "257", "256"),
        ("TORCH_THREADS", "999999", "256"),
        ("QUEUE_CAPACITY", "1000000000", "100000"),
        ("BATCH_LIMIT", "100000", "1024"),
        ("MAX_BODY_BYTES", "99999999999", "67108864"),
        ("DRAIN_SECONDS", "1e300", "3600"),
        ("GRACE_SECONDS", "100000", "3600"),
    ],
)
def test_a_number_beyond_all_use_is_refused_with_the_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, limit: str
) -> None:
    monkeypatch.setenv(f"SERVICE_{variable}", value)

    assert main([]) == 2
    assert capsys.readouterr().err == f"SERVICE_{variable}: Input should be less than or equal to {limit}\n"


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_time_without_an_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("SERVICE_DRAIN_SECONDS", value)

    assert main([]) == 2
    assert capsys.readouterr().err == "SERVICE_DRAIN_SECONDS: Input should be a finite number\n"


@pytest.mark.parametrize(
    "origin",
    ["*", "https://app.example", "http://localhost:3000", "http://[::1]:3000", "https://a.example:80", "capacitor://a"],
)
def test_an_origin_is_a_scheme_a_host_and_perhaps_a_port(origin: str) -> None:
    assert Settings(cors_origins=("https://app.example", origin)).cors_origins == ("https://app.example", origin)


@pytest.mark.parametrize(
    "origin",
    [
        "foo",
        "null",
        "app.example",
        "https://",
        "https://app.example/",
        "https://app.example/path",
        "https://user@app.example",
        "https://*.example",
        "https://App.example",
        "https://app.example:",
        "https://app.example:443",
        "http://app.example:80",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], origin: str
) -> None:
    monkeypatch.setenv("SERVICE_CORS_ORIGINS", f"https://app.example,{origin}")

    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"SERVICE_CORS_ORIGINS: {origin!r} is no origin as browsers send it, which is scheme://host")


def test_settings_cannot_be_changed_later() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


@pytest.mark.parametrize("field", ["default_model", "fallback_model", "similar_model"])
def test_a_model_that_is_not_there_is_named_with_the_choices(settings: Settings, field: str) -> None:
    wrong = settings.model_copy(update={field: "wnf"})

    with pytest.raises(ConfigurationError, match=rf"SERVICE_{field.upper()}: 'wnf' .* basic, softmax, wmf"):
        create_app(wrong)


def test_a_service_without_any_model_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"--models: there are no models in {tmp_path}; "
        f"`python -m training train MODEL --data DIR --models {tmp_path}` makes one\n"
    )


def test_the_model_of_similar_tracks_must_know_some(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"'basic' is of kind 'top_tracks'.* softmax, wmf"):
        create_app(settings.model_copy(update={"similar_model": "basic"}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "wnf"}, r"variant 'a' of 'test': 'wnf' .* basic, softmax, wmf"),
        ({"strategy": "dictatorship"}, r"variant 'a' of 'test': 'dictatorship' .* approval_voting, average"),
        ({"share": 0.4}, r"shares of 'test' add up to 0\.9, they must add up to 1"),
        ({"share": 0.500001}, r"add up to 1\.000001"),
        ({"share": -0.5}, r"experiments\.0\.variants\.0\.share: .*greater than or equal to 0"),
        ({"more": "[[experiments]]\nname = 'test'\n"}, r"experiments\.1\.salt"),
        ({"more": "[["}, r"cannot be read as TOML"),
        ({"more": f"n = {'9' * 5000}"}, r"cannot be read as TOML"),
        ({"more": f"n = {'[' * 2000}"}, r"cannot be read as TOML"),
        ({"more": "[experiment]"}, r"experiment: Extra inputs"),
    ],
    ids=str,
)
def test_an_experiment_that_cannot_be_is_refused_at_start(
    settings: Settings, tmp_path: Path, wrong: dict, message: str
) -> None:
    file = experiments(tmp_path, **wrong)

    with pytest.raises(ConfigurationError, match=message) as caught:
        create_app(settings.model_copy(update={"experiments": file}))
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (
            "[{name = 'a', model = 'm', strategy = 's', share = -1}]",
            "experiments.0.variants.0.share: Input should be greater than or equal to 0",
        ),
        ("[]", "experiments.0.variants: Input must not be empty"),
    ],
)
def test_only_what_is_wrong_with_variants_is_told(tmp_path: Path, variants: str, message: str) -> None:
    file = tmp_path / "e.toml"
    file.write_text(f"[[experiments]]\nname = 'test'\nsalt = 's'\nvariants = {variants}")

    with pytest.raises(ConfigurationError) as caught:
        load_experiments(file)

    assert str(caught.value) == f"{file}: {message}"


def test_shares_of_a_third_add_up(tmp_path: Path) -> None:
    third = "{{name = '{}', model = 'm', strategy = 's', share = 0.3333333333}}"
    variants = ", ".join(third.format(name) for name in "abc")
    (tmp_path / "e.toml").write_text(f"[[experiments]]\nname = 'test'\nsalt = 's'\nvariants = [{variants}]")

    assert len(load_experiments(tmp_path / "e.toml")[0].variants) == 3


def test_two_experiments_cannot_both_route(tmp_path: Path) -> None:
    second = TWO_VARIANTS.format(model="wmf", strategy="average", share=0.5).replace('"test"', '"other"')
    second = second.replace('"salt"', '"other salt"')

    with pytest.raises(ConfigurationError, match=r"at most one .* \['test', 'other'\]"):
        load_experiments(experiments(tmp_path, more=second))

    paused = second.replace("salt", "enabled = false\nsalt", 1)
    assert [each.enabled for each in load_experiments(experiments(tmp_path, more=paused))] == [True, False]


def test_experiments_with_one_salt_would_not_be_independent(tmp_path: Path) -> None:
    second = TWO_VARIANTS.format(model="wmf", strategy="average", share=0.5).replace('"test"', '"other"')

    with pytest.raises(ConfigurationError, match=r"salts of experiments must differ"):
        load_experiments(experiments(tmp_path, more=second.replace("salt", "enabled = false\nsalt", 1)))


def test_the_example_file_suits_the_default_settings(settings: Settings) -> None:
    example = Path(__file__).parents[2] / "experiments.toml"

    app = create_app(settings.model_copy(update={"experiments": example}))

    assert app.state.runtime.experiment.name == "basic-vs-wmf"


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["--port", "http"], {}, 2, "--port: Input should be a valid integer"),
        ([], {"SERVICE_DEVICE": "tpu"}, 2, "SERVICE_DEVICE: Input should be 'auto', 'cpu' or 'cuda'"),
        ([], {"SERVICE_SIMILAR_MODEL": "wnf"}, 1, "SERVICE_SIMILAR_MODEL: 'wnf' is not among the models"),
        (
            [],
            {"SERVICE_EXPERIMENTS": "/nowhere.toml"},
            1,
            "SERVICE_EXPERIMENTS: /nowhere.toml: cannot be read (No such",
        ),
        ([], {"SERVICE_EXPERIMENTS": "/"}, 1, "SERVICE_EXPERIMENTS: /: cannot be read (Is a directory); name a TOML"),
        ([], {"SERVICE_EXPERIMENTS": "/dev/null/x"}, 1, "SERVICE_EXPERIMENTS: /dev/null/x: cannot be read (Not a dir"),
        (["--models", "/nowhere"], {}, 1, "--models: '/nowhere' is no folder that can be read (No such file"),
        (["--models", "/dev/null"], {}, 1, "--models: '/dev/null' is no folder that can be read (Not a directory)"),
        ([], {"SERVICE_REQUIRED_MODELS": "wmf,../x"}, 1, "SERVICE_REQUIRED_MODELS: model name '../x' must be letters"),
        ([], {"SERVICE_REQUIRED_MODELS": ","}, 2, "SERVICE_REQUIRED_MODELS: Input must not be empty"),
        ([], {"SERVICE_DEVICE": "cuda"}, 1, "SERVICE_DEVICE: 'cuda' is wanted, but "),
        (["--device", "cuda"], {}, 1, "--device: 'cuda' is wanted, but "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_served_ends_with_one_line_and_a_code(
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main(["--models", str(published), *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_a_folder_of_models_that_is_not_there_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVICE_MODELS", "/nowhere")

    assert main([]) == 1
    assert capsys.readouterr().err == (
        "SERVICE_MODELS: '/nowhere' is no folder that can be read (No such file or directory); "
        "name the folder of the trained models\n"
    )


@pytest.mark.parametrize(
    ("cuda", "reason"), [(None, "this build of PyTorch has none"), ("13.0", "PyTorch finds no GPU that it can use")]
)
def test_why_there_is_no_cuda_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cuda: str | None, reason: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)

    with pytest.raises(ConfigurationError, match=f"SERVICE_DEVICE: 'cuda' is wanted, but {reason}; choices are "):
        create_app(settings.model_copy(update={"device": "cuda"}))


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--colour", "red"])
    assert "--colour" in capsys.readouterr().err


_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system has no /proc")
_not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere/log", "there is no folder '.*nowhere'"),
        ("folder", "'.*folder' is a folder, not a file"),
        ("n" * 300, "'.*n' cannot be written: File name too long"),
        pytest.param("locked", "'.*locked' cannot be written: Permission denied", marks=_not_root),
        pytest.param(
            "locked-folder/log", "'.*locked-folder/log' cannot be written: Permission denied", marks=_not_root
        ),
        pytest.param("locked-pipe", "'.*locked-pipe' cannot be written: Permission denied", marks=_not_root),
        ("a-socket", "'.*a-socket' cannot be written: "),
        pytest.param("/proc/log", "'/proc/log' cannot be written: ", marks=_proc),  # access() says yes to root
    ],
)
def test_exposures_that_cannot_be_written_are_refused_at_start(
    settings: Settings, tmp_path: Path, target: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked").touch(0o444)
    os.mkfifo(tmp_path / "locked-pipe", 0o444)
    (tmp_path / "locked-folder").mkdir(0o555)
    with socket.socket(socket.AF_UNIX) as somebody_elses:
        somebody_elses.bind(str(tmp_path / "a-socket"))

    with pytest.raises(ConfigurationError, match=f"SERVICE_EXPOSURES: {message}"):
        create_app(settings.model_copy(update={"exposures": str(tmp_path / target)}))


def test_exposures_may_go_to_a_pipe_that_nobody_reads_yet(settings: Settings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    create_app(settings.model_copy(update={"exposures": str(tmp_path / "pipe")}))


def test_checking_exposures_leaves_the_reader_of_a_pipe_waiting(settings: Settings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"])
    try:
        time.sleep(0.2)  # until it has begun to open the pipe

        create_app(settings.model_copy(update={"exposures": str(tmp_path / "pipe")}))

        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(0.3)
    finally:
        reader.kill()
        reader.wait()


def test_checking_exposures_makes_no_file(settings: Settings) -> None:
    create_app(settings)

    assert not Path(settings.exposures).exists()
