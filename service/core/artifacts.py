"""Trained models as files: a public format that anybody may read, and a store that never shows half of one.

model_files/<name>/CURRENT                      the version that is served, one line
model_files/<name>/<version>/manifest.json      what it is, how it was made, the sha256 of every other file
                             arrays.safetensors  named arrays
                             users.txt           one id a line, in row order
                             tracks.txt          likewise
                             tracks.jsonl        titles, artists, … of the tracks, one object a line, in row order
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor

from service.core import calibration as calibration_module
from service.core import history as history_module
from service.core.calibration import Calibration
from service.core.catalogue import Catalogue, TrackInfo
from service.core.errors import ArtifactError, DataError
from service.core.faults import said
from service.core.history import History
from service.core.ids import IdIndex

FORMAT: Final = 1
"""Version of the layout; a reader refuses any other."""

CURRENT: Final = "CURRENT"
MANIFEST: Final = "manifest.json"
ARRAYS: Final = "arrays.safetensors"
USERS: Final = "users.txt"
TRACKS: Final = "tracks.txt"
CATALOGUE: Final = "tracks.jsonl"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODE: Final = 0o644
"""safetensors writes its file with mode 0600; another user must be able to serve it."""

Settings = TypeVar("Settings", bound=BaseModel)
Content = TypeVar("Content")


class DataFingerprint(BaseModel):
    """Which data a model was trained on."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    """Of train.parquet, followed by group_train.parquet where there is one."""
    users: int
    groups: int = 0
    """With listening of their own: rows like those of users, and not among them."""
    tracks: int
    pairs: int


class Manifest(BaseModel):
    """What an artifact is and how it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    name: str
    """What it is served as."""
    version: str
    algorithm: str
    """What it was trained with: wmf, softmax, …"""
    kind: str
    """How it scores: a key of `KINDS`."""
    created_at: datetime
    data: DataFingerprint
    scoring: dict[str, JsonValue] = Field(default_factory=dict)
    """What its kind needs to know beside the arrays."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Everything the training was given, the seed included."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Measured on validation data, with seconds and embedding norms."""
    curve: list[dict[str, float]] = Field(default_factory=list)
    """One entry an epoch."""
    sha256: dict[str, str]
    """Digest of every other file of the artifact."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A loaded artifact: every digest checked, every number finite."""

    path: Path
    manifest: Manifest
    arrays: Mapping[str, NDArray[np.generic]]
    users: IdIndex
    tracks: IdIndex
    catalogue: Catalogue
    device: torch.device

    def __repr__(self) -> str:
        name, users, tracks = self.manifest.name, len(self.users), len(self.tracks)
        return f"Artifact({name} {self.manifest.version}, {self.manifest.kind}, {users:,} users, {tracks:,} tracks)"

    def error(self, problem: str) -> ArtifactError:
        """Return the error that names this artifact's arrays and their digest."""
        return _intact(f"{self.path / ARRAYS}: {problem}", self.manifest.sha256.get(ARRAYS))

    def array(self, name: str, *, rows: int, dimensions: int) -> Tensor:
        """Return an array as a tensor on the device, its first axis and number of axes checked."""
        array = self._numpy(name)
        if array.ndim != dimensions or array.shape[0] != rows:
            raise self.error(f"{name} is {array.shape}, expected {rows} rows and {dimensions} dimensions")
        return torch.from_numpy(array).to(self.device)

    def scoring(self, settings: type[Settings]) -> Settings:
        """Return the manifest's `scoring` as its kind understands it."""
        try:
            return settings.model_validate(self.manifest.scoring)
        except ValidationError as error:
            raise ArtifactError(f"{self.path / MANIFEST}: scoring is not valid: {said(error)}") from error

    @cached_property
    def history(self) -> History:
        """Return who heard what in training."""
        indptr, rows, scores = (self._numpy(name) for name in history_module.ARRAYS)
        if len(indptr) != len(self.users) + 1:
            raise self.error(f"history_indptr has {len(indptr)} entries for {len(self.users)} users")
        try:
            return History(
                indptr.astype(np.int64, copy=False),
                rows.astype(np.int32, copy=False),
                scores.astype(np.float32, copy=False),
                len(self.tracks),
            )
        except DataError as error:
            raise self.error(str(error)) from error

    @cached_property
    def calibration(self) -> Calibration:
        """Return what each user's scores are worth."""
        ranks, scores = (self._numpy(name) for name in calibration_module.ARRAYS)
        calibration = Calibration(ranks.astype(np.int32, copy=False), scores.astype(np.float32, copy=False))
        try:
            calibration.check(len(self.users), len(self.tracks))
        except DataError as error:
            raise self.error(str(error)) from error
        return calibration

    def _numpy(self, name: str) -> NDArray[np.generic]:
        if name not in self.arrays:
            raise self.error(f"has no array {name!r}, only {sorted(self.arrays)}")
        return self.arrays[name]


@dataclass(frozen=True)
class ArtifactStore:
    """All models and all their versions below one folder."""

    root: Path

    def __post_init__(self) -> None:
        """Take the name of a folder for it, as notebooks write it."""
        object.__setattr__(self, "root", Path(self.root))

    def names(self) -> list[str]:
        """Return the names of all models that have a current version."""
        if not self.root.is_dir():
            return []
        return sorted(folder.name for folder in self.root.iterdir() if _is_there(folder / CURRENT))

    def folder(self, name: str) -> Path:
        """Return where the versions of a model lie, or will; `ArtifactError` for what cannot be its name."""
        return self.root / _checked(name, "model name")

    def versions(self, name: str) -> list[str]:
        """Return all complete versions of a model, oldest first."""
        folder = self.root / name
        if not folder.is_dir():
            return []
        return sorted(path.parent.name for path in folder.glob(f"[!.]*/{MANIFEST}"))

    def current(self, name: str) -> str:
        """Return the version that is served."""
        pointer = self.folder(name) / CURRENT
        try:
            return _checked(pointer.read_text(encoding="utf-8").strip(), f"version in {pointer}")
        except FileNotFoundError as error:
            raise ArtifactError(
                f"there is no model {name!r}, as {pointer} is missing; models here: {', '.join(self.names()) or 'none'}"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{pointer}: cannot be read ({error}); models here: {self.names()}") from error

    def current_versions(self) -> dict[str, str | None]:
        """Return the version of each model that is served, None where its pointer cannot be read."""
        versions: dict[str, str | None] = dict.fromkeys(self.names())
        for name in versions:
            with suppress(ArtifactError):  # whoever loads the model says why
                versions[name] = self.current(name)
        return versions

    def manifest(self, name: str, version: str | None = None) -> Manifest:
        """Return what a version (the current one by default) says of itself, its files unread."""
        version = self.current(name) if version is None else _checked(version, "version")
        path = self.folder(name) / version
        manifest = _read_manifest(path)
        if (manifest.name, manifest.version) != (name, version):
            raise ArtifactError(f"{path / MANIFEST}: is of {manifest.name} {manifest.version}, not of its folder")
        return manifest

    def users(self, name: str, version: str | None = None) -> IdIndex:
        """Return the users of a version (the current one by default), whatever is wrong with its other files."""
        manifest = self.manifest(name, version)
        path = self.root / name / manifest.version / USERS
        return _read(_read_ids, path, manifest.sha256.get(USERS))

    def switch(self, name: str, version: str) -> None:
        """Serve another version from the next start on; the pointer is replaced in one step."""
        pointer = self.folder(name) / CURRENT
        versions = self.versions(name)
        if not versions:
            raise ArtifactError(f"{self.root} has no model {name!r}; models here: {', '.join(self.names()) or 'none'}")
        if version not in versions:
            raise ArtifactError(f"{name!r} has no version {version!r}, there are: {', '.join(versions)}")
        _replace_file(pointer, version + "\n")

    def publish(
        self,
        manifest: Manifest,
        arrays: Mapping[str, NDArray[np.generic]],
        users: Sequence[str],
        tracks: Sequence[str],
        catalogue: Sequence[TrackInfo],
    ) -> Manifest:
        """Write a version, make it current and return its manifest with the digests filled in.

        All or nothing: whatever fails or whenever the power goes, readers see the old version or the new one.
        ArtifactError for numbers that are not finite and ids that do not fit on one line.
        """
        folder = self.folder(manifest.name)
        _checked(manifest.version, "version")
        _check_finite(arrays, manifest.name)
        _make_folder(folder)
        target = folder / manifest.version
        if target.exists():
            raise ArtifactError(f"{target} is there already; versions are never overwritten")
        with _staging(folder) as staging:
            _write(staging / USERS, _lines(users, USERS))
            _write(staging / TRACKS, _lines(tracks, TRACKS))
            _write(staging / CATALOGUE, _catalogue_lines(catalogue, len(tracks)))
            plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            _write(staging / ARRAYS, safetensors.numpy.save(plain))
            digests = {name: _sha256(staging / name) for name in (ARRAYS, USERS, TRACKS, CATALOGUE)}
            manifest = manifest.model_copy(update={"sha256": digests})
            _write(staging / MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")
            _read_manifest(staging)  # a figure that is NaN is written as null, and would be refused by whoever reads it
            _sync_folder(staging)
            staging.rename(target)
        _sync_folder(folder)
        self.switch(manifest.name, manifest.version)
        return manifest

    def load(self, name: str, version: str | None = None, device: torch.device | None = None) -> Artifact:
        """Return a version (the current one by default), every digest checked.

        ArtifactError names the file, its digest in the manifest and what is wrong with it.
        """
        manifest = self.manifest(name, version)
        path, digests = self.root / name / manifest.version, manifest.sha256
        arrays = _read(_read_arrays, path / ARRAYS, digests.get(ARRAYS))
        tracks = _read(_read_ids, path / TRACKS, digests.get(TRACKS))
        read_catalogue = partial(_read_catalogue, tracks=len(tracks))
        return Artifact(
            path=path,
            manifest=manifest,
            arrays=arrays,
            users=_read(_read_ids, path / USERS, digests.get(USERS)),
            tracks=tracks,
            catalogue=_read(read_catalogue, path / CATALOGUE, digests.get(CATALOGUE)),
            device=device or torch.device("cpu"),
        )


def _is_there(path: Path) -> bool:
    """Return whether a file is there, readable or not: what cannot be read is reported when it is loaded."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    """Make a model's folder, for others to read whatever the umask, and have it on the disk."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    _sync_folder(folder.parent)


def new_version(now: datetime | None = None) -> str:
    """Return a version name that sorts by time and that no other publisher draws."""
    return f"{(now or datetime.now(UTC)):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _checked(name: str, what: str) -> str:
    """Return a name that is safe as a folder name."""
    if not _NAME.fullmatch(name):
        raise ArtifactError(
            f"{what} {name!r} must be letters, digits, '.', '_' or '-', at most 100, and start with a letter or a digit"
        )
    return name


def _check_finite(arrays: Mapping[str, NDArray[np.generic]], where: str) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(f"{where}: array {name!r} has numbers that are not finite (NaN or infinity)")


def _lines(ids: Sequence[str], where: str) -> bytes:
    for public_id in ids:
        if not public_id or "\n" in public_id or "\r" in public_id:
            raise ArtifactError(f"{where}: id {public_id!r} is empty or has a line break; ids are one a line")
    return "".join(f"{public_id}\n" for public_id in ids).encode()


def _catalogue_lines(catalogue: Sequence[TrackInfo], tracks: int) -> bytes:
    if len(catalogue) != tracks:
        raise ArtifactError(f"{CATALOGUE}: {len(catalogue)} entries for {tracks} tracks")
    return "".join(f"{info.model_dump_json(exclude_none=True)}\n" for info in catalogue).encode()


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside the versions that goes away if it was not renamed into one of them."""
    staging = folder / f".staging-{secrets.token_hex(6)}"
    staging.mkdir()
    staging.chmod(0o755)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    """Write a file that others may read, and have it on the disk before returning."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(_MODE)


def _replace_file(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    _write(temporary, text.encode())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Have a folder's entries on the disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(read: Callable[[Path], Content], path: Path, digest: str | None) -> Content:
    """Return what a file holds, its digest checked; ArtifactError names both, whatever is wrong."""
    _check_digest(path, digest)
    try:
        return read(path)
    except ArtifactError as error:
        raise _intact(str(error), digest) from error


def _intact(problem: str, digest: str | None) -> ArtifactError:
    """Return the error for a file that is as it was written, and was written wrong."""
    return ArtifactError(problem if digest is None else f"{problem}; its sha256 is {digest}, as the manifest says")


def _check_digest(path: Path, expected: str | None) -> None:
    try:
        found = _sha256(path)
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); the manifest says that its sha256 is {expected}"
        ) from error
    if found != expected:
        raise ArtifactError(f"{path}: sha256 is {found}, the manifest says {expected}; the file is damaged")


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ArtifactError(f"{file}: is not a manifest of format {FORMAT}: {said(error)}") from error


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        arrays = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ArtifactError(f"{path}: is not a safetensors file ({error})") from error
    _check_finite(arrays, str(path))
    return arrays


def _read_ids(path: Path) -> IdIndex:
    try:
        *lines, end = path.read_bytes().decode().split("\n")
        index = IdIndex(lines)
    except (UnicodeDecodeError, DataError) as error:
        raise ArtifactError(f"{path}: {error}") from error
    if end:
        raise ArtifactError(f"{path}: the last line has no end, so ids may be missing")
    return index


def _read_catalogue(path: Path, tracks: int) -> Catalogue:
    try:
        lines = path.read_bytes().decode().split("\n")[:-1]
        catalogue = Catalogue.from_objects(json.loads(line) for line in lines)
    except (ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: is not one JSON object a line ({error})") from error
    if len(catalogue) != tracks:
        raise ArtifactError(f"{path}: has {len(catalogue)} lines for {tracks} tracks")
    return catalogue
