"""The search for parameters on validation data: tree-structured Parzen estimators (Bergstra et al. 2011), by Optuna."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState
from pydantic import JsonValue

from service.core.errors import ConfigurationError, DataError, TrainingError
from training.data import PreparedData
from training.metrics import Truth, validation_metrics
from training.models.algorithm import Algorithm, Choice, Fitted, Progress, Range, silent
from training.presets import PresetFile
from training.served import served

JOURNAL: Final = b'{"op_code":'
"""What every journal of trials begins with."""

SEEDS: Final = 2**32
"""A sampler's seed is below this."""

AT_MOST_USERS: Final = 5_000
"""Validation users that a trial is judged on; the same for all trials."""


def tune(
    name: str,
    algorithm: type[Algorithm],
    data: PreparedData,
    *,
    trials: int,
    metric: str,
    storage: Path | str | None,
    seed: int,
    device: str,
    progress: Progress,
) -> PresetFile:
    """Return the best parameters of so many trials, those that `storage` remembers of this very search included.

    The first trial is the preset `default`. Each is drawn from the seed and the number of trials before it, so a
    search that was stopped, a trial half done, goes on as if it had not been.
    """
    storage = None if storage is None else Path(storage)
    if not algorithm.search:
        raise ConfigurationError(f"{name} has no parameters to search")
    heard = data.interactions.matrix
    if not Truth.of(data.validation, heard.shape, excluded=heard).relevant.nnz:
        raise DataError("there are no validation pairs of known users and tracks, new to them, to judge a trial on")
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # of a stopped trial it would show the traceback
    with _readable(storage), _writable(storage):
        study = optuna.create_study(
            study_name=study_name(name, algorithm, data, metric, seed),
            storage=remembered(storage),
            direction="maximize",
            load_if_exists=True,
        )
    there = len(finished(study))
    if there:
        progress(there, max(there, trials), note(study))
    for done in range(there, trials):
        study.sampler = optuna.samplers.TPESampler(seed=(seed + done) % SEEDS)
        with _writable(storage):
            study.optimize(lambda trial: judged(trial, algorithm, data, metric, seed, device), n_trials=1)
        progress(done + 1, trials, note(study))
    return found(study, name, metric, data)


def study_name(name: str, algorithm: type[Algorithm], data: PreparedData, metric: str, seed: int) -> str:
    """Return what a search is remembered as: another where its figures or its trials would not be the same."""
    digest = hashlib.sha256(data.fingerprint.encode())
    for column in data.validation:
        digest.update(column.tobytes())
    for track in data.catalogue:
        digest.update(track.model_dump_json().encode())
    digest.update(repr((algorithm.preset(), searched(algorithm, data))).encode())
    return f"{name} {metric} seed {seed} {digest.hexdigest()[:16]}"


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that came to an end, by a figure or because they diverged; a stopped one did not."""
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


@contextmanager
def _readable(storage: Path | None) -> Iterator[None]:
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:  # whatever other JSON lines hold
        raise DataError(f"{storage} is not a journal of trials; name another --storage") from error


@contextmanager
def _writable(storage: Path | None) -> Iterator[None]:
    """Name the journal where it cannot be written: Optuna stumbles over what it could not write, and names nothing."""
    try:
        yield
    except (AssertionError, OSError) as error:
        cause = _full_disk(error)
        if storage is None or cause is None:
            raise
        raise OSError(cause.errno, cause.strerror, str(storage)) from error


def _full_disk(error: BaseException | None) -> OSError | None:
    """Return the `OSError` without a file's name that an error came up from, None where there is none."""
    while error is not None and not (isinstance(error, OSError) and error.filename is None):
        error = error.__context__
    return error


def remembered(storage: Path | None) -> BaseStorage:
    """Return where trials are kept: a journal, one line an event, that a killed search leaves readable."""
    if storage is None:
        return InMemoryStorage()
    return JournalStorage(Journal(storage))


class Journal(JournalFileBackend):
    """A file of events, one a line; a line that was cut, by a disk that is full or a kill, goes before the next one."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, JournalFileSymlinkLock(str(path))
        if path.is_file() and (begins := path.read_bytes()[: len(JOURNAL)]) != JOURNAL[: len(begins)]:
            raise DataError(f"{path} is not a journal of trials; name another --storage")
        super().__init__(str(path), self.lock)
        self.mend()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write events, all of them or none of the last one."""
        try:
            super().append_logs(logs)
        except OSError:
            self.mend()
            raise

    def mend(self) -> None:
        """Cut the file back to its last whole line: Optuna writes on behind half a one, and can read neither then."""
        if not self.path.read_bytes() or self.path.read_bytes().endswith(b"\n"):
            return
        self.lock.acquire()
        try:
            os.truncate(self.path, self.path.read_bytes().rfind(b"\n") + 1)
        finally:
            self.lock.release()


def judged(
    trial: optuna.Trial, algorithm: type[Algorithm], data: PreparedData, metric: str, seed: int, device: str
) -> float:
    """Return the metric of one trial; parameters that diverge are given up."""
    overrides = drawn(trial, searched(algorithm, data)) if finished(trial.study) else {}
    chosen = algorithm.preset(overrides=overrides)
    trial.set_user_attr("parameters", overrides)
    try:
        fitted = chosen.fit(data, seed=seed, device=device, progress=silent)
    except TrainingError as error:
        raise optuna.TrialPruned(str(error)) from error
    return figure(chosen, fitted, data, metric)


def searched(algorithm: type[Algorithm], data: PreparedData) -> dict[str, Range | Choice]:
    """Return what an algorithm searches but for what these data have no use for: such numbers mislead the search."""
    known = data.knowledge
    return {
        name: where
        for name, where in algorithm.search.items()
        if isinstance(where, Choice) or not where.needs or known.intersection(where.needs)
    }


def drawn(trial: optuna.Trial, search: Mapping[str, Range | Choice]) -> dict[str, JsonValue]:
    """Return a value for every parameter that is searched."""
    return {name: _drawn(trial, name, where) for name, where in search.items()}


def _drawn(trial: optuna.Trial, name: str, where: Range | Choice) -> JsonValue:
    if isinstance(where, Choice):
        return trial.suggest_categorical(name, where.values)
    if where.whole:
        return trial.suggest_int(name, int(where.low), int(where.high), log=where.logarithmic)
    return trial.suggest_float(name, where.low, where.high, log=where.logarithmic)


def figure(algorithm: Algorithm, fitted: Fitted, data: PreparedData, metric: str) -> float:
    """Return a metric of the validation users as the fitted model would be served."""
    model = served(algorithm.kind, fitted.scoring, fitted.arrays, data.interactions)
    cutoff = int(metric.partition("@")[2])
    figures = validation_metrics(
        lambda rows: model.score(model.user_vectors(rows)), data, cutoffs=(cutoff,), at_most=AT_MOST_USERS
    )
    return figures[f"validation_{metric}"]


def note(study: optuna.Study) -> str:
    """Return the best figure so far."""
    complete = [trial.value for trial in study.trials if trial.value is not None]
    return f"best {max(complete):.4f}" if complete else "nothing that trains"


def found(study: optuna.Study, name: str, metric: str, data: PreparedData) -> PresetFile:
    """Return the parameters of the best trial; `TrainingError` if every single one diverged."""
    trials = finished(study)
    if not any(trial.state == TrialState.COMPLETE for trial in trials):
        raise TrainingError(f"none of {len(trials)} trials of {name} trains")
    best = study.best_trial
    return PresetFile(
        algorithm=name,
        parameters=best.user_attrs["parameters"],
        metric=metric,
        value=study.best_value,
        trials=len(trials),
        data=data.fingerprint,
    )
