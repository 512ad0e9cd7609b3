"""`python -m training publish`: serve another version of a model, an older one for instance."""

import argparse

from service.core.artifacts import ArtifactStore
from training.commands.arguments import add_models


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `publish`."""
    parser.add_argument("name", metavar="NAME", help="the model")
    parser.add_argument("version", metavar="VERSION", help="one of its versions below --models")
    add_models(parser)
    parser.epilog = "example: python -m training publish wmf 20261128T225918Z-52283a"


def run(args: argparse.Namespace) -> int:
    """Switch to the version, unless a file of it is damaged."""
    store = ArtifactStore(args.models)
    if args.version in store.versions(args.name):
        store.load(args.name, args.version)
    store.switch(args.name, args.version)
    print(f"{args.name}: {args.version} is served from the next start on")
    return 0
