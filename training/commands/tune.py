"""`python -m training tune`: search the parameters of a model on validation data and write them as a preset."""

import argparse
import re
import shlex
from pathlib import Path
from typing import Final

from service.core.errors import ConfigurationError
from training.commands.arguments import add_device, add_seed, positive
from training.commands.places import check_file, writing
from training.commands.train import device, progress_bar
from training.data import load
from training.metrics import RANK_METRICS
from training.models import ALGORITHMS
from training.presets import SUFFIX
from training.tuning import tune

METRIC: Final = "ndcg@10"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tune`."""
    searched = [name for name, algorithm in ALGORITHMS.items() if algorithm.search]
    parser.add_argument("model", metavar="MODEL", choices=searched, help=", ".join(searched))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what `prepare` wrote")
    parser.add_argument(
        "--trials", type=positive, required=True, metavar="N", help="how many, those of an earlier run included"
    )
    parser.add_argument(
        "--storage",
        type=Path,
        metavar="FILE",
        help="journal of trials, to go on with after a stop (default: none is kept)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the preset (default: MODEL{SUFFIX})")
    parser.add_argument("--metric", type=metric, default=METRIC, help="of the validation users (default: %(default)s)")
    add_device(parser)
    add_seed(parser, "same seed, same trials")
    parser.epilog = "example: python -m training tune ease --data data/prepared --trials 30 --storage ease.journal"


def metric(text: str) -> str:
    """Return a metric at a cut-off, as in map@10."""
    if not re.fullmatch(rf"({'|'.join(RANK_METRICS)})@[1-9][0-9]{{0,3}}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(RANK_METRICS)} at a length, as in map@10")
    return text


def run(args: argparse.Namespace) -> int:
    """Search, write the preset and say how to train with it."""
    out: Path = args.out or Path(f"{args.model}{SUFFIX}")
    if out.suffix != SUFFIX:
        raise ConfigurationError(f"--out {out} has to end in {SUFFIX}, for `train --preset` to take it as a file")
    if args.storage is not None and args.storage.resolve() == out.resolve():
        raise ConfigurationError(f"--out {out} is the --storage, too: the preset would take the place of the trials")
    for option, file in (("--out", out), ("--storage", args.storage or out)):
        check_file(option, file)
        file.parent.mkdir(parents=True, exist_ok=True)
    data = load(args.data)
    with progress_bar(f"{args.model}, {args.metric}") as progress:
        preset = tune(
            args.model,
            ALGORITHMS[args.model],
            data,
            trials=args.trials,
            metric=args.metric,
            storage=args.storage,
            seed=args.seed,
            device=device(args.device),
            progress=progress,
        )
    with writing(out):
        preset.write(out)
    command = shlex.join(["train", args.model, "--data", str(args.data), "--preset", str(out)])
    print(f"{out}: {args.metric} {preset.value:.4f} on validation; python -m training {command}")
    return 0
