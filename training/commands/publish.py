"""`python -m training publish`: serve another version of a model, an older one for instance."""

import argparse
from pathlib import Path

from service.core.artifacts import ArtifactStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `publish`."""
    parser.add_argument("name", metavar="NAME", help="the model")
    parser.add_argument("version", metavar="VERSION", help="one of its versions below --models")
    parser.add_argument("--models", type=Path, default=Path("model_files"), metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Switch to the version, unless a file of it is damaged."""
    store = ArtifactStore(args.models)
    if args.version in store.versions(args.name):
        store.load(args.name, args.version)
    store.switch(args.name, args.version)
    print(f"{args.name}: {args.version} is served from the next start on")
    return 0
