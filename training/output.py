"""What commands write: it appears whole or not at all, whatever happens to the process or the machine."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

PREPARED, REPLACED = "prepared", "replaced"


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside `out`, which goes away with all that is in it.

    What a process that was killed left there goes too; if that was between the two renames of `publish`, `out` gets
    back what it held before.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out.name}.preparing-"
    with _locked(out.parent):  # so that nobody takes a folder that is not locked yet for one that was left behind
        for left in out.parent.glob(prefix.replace("[", "[[]") + "*"):
            _recover(left, out)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
        held = _lock(folder)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def publish(folder: Path, out: Path) -> None:
    """Put PREPARED, a finished folder in `folder`, in the place of `out`."""
    prepared, replaced = folder / PREPARED, folder / REPLACED
    _sync_all(prepared.iterdir())
    _sync(prepared)
    with _locked(out.parent):  # two at once take turns, and the later one stays
        if out.exists():
            out.rename(replaced)
            _sync(folder)
        try:
            prepared.rename(out)
        except OSError:
            if replaced.exists():
                replaced.rename(out)
            raise
    _sync(out.parent)


@contextmanager
def replacing_files(out: Path) -> Iterator[Path]:
    """Yield a new hidden folder in `out`; what is in it at the end takes its place in `out`, beside what else is there.

    Each file is there whole or not at all. If they cannot all be written, or one has no place to take, none takes its.
    """
    with gone_if_empty(out), working_folder(out / "files") as folder:
        yield folder
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        _sync_all(files)
        places = [out / file.relative_to(folder) for file in files]
        if taken := [place for place in places if place.is_dir()]:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(taken[0]))
        for file, place in zip(files, places, strict=True):
            place.parent.mkdir(exist_ok=True)
            file.rename(place)
    _sync(out)


@contextmanager
def gone_if_empty(out: Path) -> Iterator[None]:
    """Take away the folders that were made for what then failed, or was interrupted."""
    made = [place for place in (out, *out.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):  # one that is not empty by now stays, and so do those above it
            for place in made:
                place.rmdir()
        raise


def _recover(left: Path, out: Path) -> None:
    """Clean up what a process left, unless it is still at work."""
    try:
        held = _lock(left)
    except BlockingIOError:
        return
    if not out.exists() and (left / REPLACED).exists():
        (left / REPLACED).rename(out)
    shutil.rmtree(left, ignore_errors=True)
    os.close(held)


def _lock(folder: Path, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> int:
    """Lock a folder until the descriptor that is returned is closed, by us or by the end of the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = _lock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _sync_all(paths: Iterable[Path]) -> None:
    with ThreadPoolExecutor() as pool:  # the disk takes many files in the time of one
        list(pool.map(_sync, paths))


def _sync(path: Path) -> None:
    """Have a file, or the entries of a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
