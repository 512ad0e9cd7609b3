"""Places that a command writes to: one that cannot be is refused before any work, one that fails is named."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.core.errors import ConfigurationError


def check_folder(option: str, folder: Path) -> None:
    """Raise unless this is a folder that can be written to, or can become one."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise ConfigurationError(f"{option} {folder} cannot be a folder: {nearest} is a file")
    try:  # what os.access() would say does not hold for root, nor in /proc
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise ConfigurationError(
            f"{option} {folder} cannot be written: nothing may be added to {nearest} ({error.strerror})"
        ) from error


def check_file(option: str, file: Path) -> None:
    """Raise unless this is a file that can be written, or can become one."""
    if file.is_dir():
        raise ConfigurationError(f"{option} {file} is a folder; name a file")
    check_folder(option, file.parent)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Name the place in an `OSError` that names none: a disk that is full does not say which."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(place)) from error
