"""`python -m training train`: fit a model to prepared data and publish it."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from service.core.artifacts import ArtifactStore, Manifest
from service.core.errors import ConfigurationError
from training.cold_tracks import with_cold_tracks
from training.commands.arguments import add_device, add_models, add_seed
from training.commands.parameters import ShowParameters
from training.commands.places import check_folder, writing
from training.data import PreparedData, load
from training.models import ALGORITHMS
from training.models.algorithm import DEFAULT_PRESET, Algorithm, Fitted, Progress
from training.output import gone_if_empty
from training.presets import SUFFIX, PresetFile
from training.publishing import Training, publish

ALL: Final = "all"
SHORTCUTS: Final = ("dim", "epochs", "solver")
"""Parameters with an option of their own beside `--set`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    parser.add_argument("model", metavar="MODEL", choices=[*ALGORITHMS, ALL], help=f"{', '.join(ALGORITHMS)} or {ALL}")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what `prepare` wrote")
    add_models(parser)
    parser.add_argument("--name", help="what the model is served as (default: MODEL)")
    parser.add_argument(
        "--preset", default=DEFAULT_PRESET, help=f"{_presets()} or a file that `tune` wrote (default: %(default)s)"
    )
    for shortcut in SHORTCUTS:
        parser.add_argument(f"--{shortcut}", help=f"the same as --set {shortcut}=…")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one parameter of the preset; None leaves it to the data",
    )
    parser.add_argument(
        "--parameters", action=ShowParameters, choices=[*ALGORITHMS], metavar="MODEL",
        help="show what --set takes for a model, with defaults, and its presets, and end",
    )  # fmt: skip
    add_device(parser)
    add_seed(parser, "same seed, same model")
    parser.epilog = (
        "examples:\n"
        "  python -m training train wmf --data data/prepared --set dim=64 --set alpha=2\n"
        "  python -m training train all --data data/prepared\n"
        "  python -m training train --parameters wmf"
    )


def _presets() -> str:
    """Return the presets by name, those of some models alone with these."""
    names = dict.fromkeys(preset for algorithm in ALGORITHMS.values() for preset in algorithm.presets)
    having = {preset: [name for name in ALGORITHMS if preset in ALGORITHMS[name].presets] for preset in names}
    own = [preset if len(of) == len(ALGORITHMS) else f"{preset} (of {', '.join(of)})" for preset, of in having.items()]
    return ", ".join([DEFAULT_PRESET, *own])


def run(args: argparse.Namespace) -> int:
    """Train one model, or each with its own defaults, and say how good it became."""
    trainings = planned(args)
    store = ArtifactStore(args.models)
    names = [args.name or training.algorithm_name for training in trainings]
    for name in names:
        check_folder("--models", store.folder(name))
    data = load(args.data)
    for name, training in zip(names, trainings, strict=True):
        known = with_cold_tracks(data, args.data) if training.algorithm.whole_catalogue else data
        fitted, seconds = fit(training, store, known)
        with writing(store.folder(name)), gone_if_empty(store.folder(name)):
            manifest = publish(store, name, fitted, training, seconds, known)
        print(summary(manifest, store))
    return 0


def planned(args: argparse.Namespace) -> list[Training]:
    """Return what the options ask for; whatever is wrong with them is found before any work."""
    overrides = overrides_of(args)
    given = [f"--{option}" for option in ("name", *SHORTCUTS, "set") if getattr(args, option)]
    if args.model == ALL and given:
        raise ConfigurationError(f"{ALL} trains every model with its own parameters: leave {', '.join(given)} out")
    return [
        Training(
            algorithm_name=name,
            algorithm=chosen(name, args.preset, overrides),
            preset=args.preset,
            seed=args.seed,
            device=device(args.device),
        )
        for name in (ALGORITHMS if args.model == ALL else [args.model])
    ]


def chosen(name: str, preset: str, overrides: Mapping[str, str | None]) -> Algorithm:
    """Return an algorithm with the parameters of a preset or of a preset file, single ones replaced."""
    algorithm = ALGORITHMS[name]
    if not preset.endswith(SUFFIX):
        return algorithm.preset(preset, overrides)
    return algorithm.preset(overrides={**PresetFile.read(Path(preset), name).parameters, **overrides})


def overrides_of(args: argparse.Namespace) -> dict[str, str | None]:
    """Return the parameters given one by one, as text; "None", as `--parameters` writes it, as None."""
    overrides = {name: text for name in SHORTCUTS if (text := getattr(args, name)) is not None}
    for assignment in args.set:
        key, equals, text = assignment.partition("=")
        if not (key and equals):
            raise ConfigurationError(f"--set {assignment!r} is not KEY=VALUE, as in --set dim=128")
        overrides[key] = text
    return {name: None if text == "None" else text for name, text in overrides.items()}


def device(name: str) -> str:
    """Return the device to train on; `auto` takes CUDA where it is there."""
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise ConfigurationError("--device cuda: this torch finds no CUDA device; use --device cpu or auto")
    if name == "auto":
        return "cuda" if has_cuda else "cpu"
    return name


def fit(training: Training, store: ArtifactStore, data: PreparedData) -> tuple[Fitted, float]:
    """Return the fitted model and the seconds it took."""
    started = perf_counter()
    with progress_bar(training.algorithm_name) as progress:
        fitted = training.algorithm.over(store, data).fit(
            data, seed=training.seed, device=training.device, progress=progress
        )
    return fitted, perf_counter() - started


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Yield what draws a bar on stderr, so that stdout stays clean."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with ProgressBar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, note="")

        def show(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield show


def summary(manifest: Manifest, store: ArtifactStore) -> str:
    """Return one line: what was published, where, and its figures on validation data."""
    metrics = manifest.metrics
    figures = [
        f"{name} {metrics[key]:.4f}"
        for name in ("ndcg@10", "recall@10", "map@10")
        if (key := f"validation_{name}") in metrics
    ]
    judged = ", ".join(figures) or "no validation pairs to judge it on"
    if figures and manifest.kind == "blend" and manifest.parameters["weights"] is None:
        judged += " on the validation pairs that chose its weights"
    path = store.root / manifest.name / manifest.version
    return f"{path}: {metrics['training_seconds']:.1f} s, {judged}"
