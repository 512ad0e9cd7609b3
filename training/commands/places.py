"""Places that a command writes to: one that cannot be is refused before any work."""

import os
from pathlib import Path

from service.core.errors import ConfigurationError


def check_folder(option: str, folder: Path) -> None:
    """Raise unless this is a folder that can be written to, or can become one."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise ConfigurationError(f"{option} {folder} cannot be a folder: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{option} {folder} cannot be written: nothing may be added to {nearest}")


def check_file(option: str, file: Path) -> None:
    """Raise unless this is a file that can be written, or can become one."""
    if file.is_dir():
        raise ConfigurationError(f"{option} {file} is a folder; name a file")
    check_folder(option, file.parent)
