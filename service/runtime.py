"""What is loaded, and its lifetime: models, queues, experiment and exposure log of one process."""

import asyncio
import gc
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import torch

from service.core import compiled
from service.core.artifacts import ArtifactStore
from service.core.errors import ArtifactError, ConfigurationError, ModelUnavailableError, UnknownModelError
from service.core.ids import IdIndex
from service.core.recommender import SimilarTracks
from service.core.recommenders import KINDS
from service.core.rules import Near
from service.core.strategies import STRATEGIES
from service.experiments.assignment import variant_of
from service.experiments.config import Experiment, Variant, load_experiments
from service.experiments.exposure import AssignedBy, ExposureLog, check_target
from service.loading import ServedModel, load, scoring_thread
from service.settings import Settings, mistyped
from service.telemetry import Metrics

_log = logging.getLogger(__name__)

SIMILAR_MODELS: Final = ("similar", "item_knn", "ease", "softmax", "wmf")
"""Who answers similar tracks where the settings leave it open: the first of these that is there, else any that can."""

AUTO: Final = "auto"

_DAMAGED: Final = "its artifact cannot be used; the log says why"
_MISSING: Final = "it was not in the folder of models when the service started; start it again when it is"

_OBJECTS_BEFORE_COLLECTION: Final = 20_000
"""New objects after which the garbage collector looks for cycles among them: those of some hundred requests."""


class Assignment(NamedTuple):
    """On whose word a model answers."""

    experiment: Experiment | None
    variant: Variant | None
    assigned_by: AssignedBy


class Plan(NamedTuple):
    """Who answers a group, and why."""

    model: ServedModel
    strategy: str
    assignment: Assignment
    stands_in_for: str | None = None
    """The model that should have answered, where the fallback does."""

    @property
    def degraded(self) -> bool:
        """Return whether the fallback answers for another model."""
        return self.stands_in_for is not None


_BY_REQUEST: Final = Assignment(None, None, "request")
_BY_DEFAULT: Final = Assignment(None, None, "default")


class Runtime:
    """Loads every configured model and knows which of them answers."""

    def __init__(self, settings: Settings, pinned: Mapping[str, str | None] | None = None) -> None:
        """Check every name that the settings mention; ConfigurationError for one that cannot work.

        `pinned` says which models there are, and in which versions, in place of the folder: a worker that starts
        later must not serve others than those beside it. What cannot be had so, or is None, is read from the folder.
        """
        self.settings = settings
        self.metrics = Metrics()
        self.models: dict[str, ServedModel] = {}
        self.failures: dict[str, str] = {}
        """Name of a model that could not be loaded, to what callers may know of it; the log says it all."""
        self.draining = False
        self.settled = False
        """Whether every model is loaded or has failed."""
        _check_folder(settings.models)
        self._store = ArtifactStore(settings.models)
        self._pinned = {} if pinned is None else _still_there(self._store, pinned)
        self.names = tuple(sorted({*settings.required_models, *(self._store.names() if pinned is None else pinned)}))
        """Of all models that have to be there before the service is ready."""
        self._device = _device(settings.device)
        experiments = () if settings.experiments is None else _experiments(settings.experiments)
        self._check_names(experiments)
        self.experiment = next((experiment for experiment in experiments if experiment.enabled), None)
        self._users: dict[str, IdIndex] = {}
        """Of the models that a group can be routed to; kept apart, so that a unit outlives a model that fails."""
        self._routed = {settings.default_model, settings.fallback_model}
        if self.experiment is not None:
            self._routed = {variant.model for variant in self.experiment.variants}

    async def start(self) -> None:
        """Open the exposure log and begin to load; `readiness` says when that is done."""
        torch.set_num_threads(self.settings.torch_threads)  # torch counts per thread, and the event loop scores too
        self.exposures = ExposureLog(self.settings.exposures, self.metrics.exposures_lost.inc)
        self.metrics.compiled.set(compiled.BUILT)
        if not compiled.BUILT:
            _log.warning("service.core._compiled was not built: ranking a group takes several times the processor time")
        for name in mistyped(os.environ):
            _log.warning("%s is not a setting; docs/operations.md lists them", name)
        self._loading = asyncio.create_task(self._load_all())

    async def loaded(self) -> None:
        """Return when every model is loaded or has failed."""
        await self._loading

    async def stop(self) -> None:
        """Let go of everything; the exposures are written when this returns."""
        self._loading.cancel()
        await asyncio.gather(self._loading, return_exceptions=True)
        for model in self.models.values():
            await asyncio.to_thread(model.executor.shutdown)
        await asyncio.to_thread(self.exposures.close)

    def readiness(self) -> dict[str, str]:
        """Return why the service is not ready, by what it waits for; empty when it is."""
        if self.draining:
            return {"service": "shutting down"}
        return {name: self.failures.get(name, "loading") for name in self.names if name not in self.models}

    def model(self, name: str) -> ServedModel:
        """Return a model by name; ModelUnavailableError while it is not loaded, UnknownModelError for no such name."""
        if name not in self.names:
            raise UnknownModelError(f"there is no model of this name; there are: {', '.join(self.names)}")
        if name not in self.models:
            raise ModelUnavailableError(f"{name}: {self.failures.get(name, 'loading')}")
        return self.models[name]

    def similar_model(self) -> ServedModel:
        """Return who answers similar tracks; ModelUnavailableError where nobody can, or not yet."""
        if not self._similar_models:
            raise ModelUnavailableError("no model here knows similar tracks")
        return self.model(
            next((name for name in self._similar_models if name not in self.failures), self._similar_models[0])
        )

    def stand_in(self, track_id: str, tracks: IdIndex) -> int | None:
        """Return the row, among some tracks, of the one most like a track that is not among them; None for none."""
        similar = self._who_knows_similar()
        return None if similar is None else similar.stand_in(track_id, tracks)

    def near(self, tracks: IdIndex) -> Near | None:
        """Return what finds, among some tracks, those that resemble one of them; None where nobody can."""
        similar = self._who_knows_similar()
        return None if similar is None else similar.near(tracks)

    def _who_knows_similar(self) -> ServedModel | None:
        """Return who answers similar tracks of those that are loaded."""
        return next((self.models[name] for name in self._similar_models if name in self.models), None)

    def known_users(self, user_ids: Iterable[str]) -> set[str]:
        """Return those known to any model that a group can be routed to, whether it can score or not."""
        return {user_id for users in self._users.values() for user_id in user_ids if user_id in users}

    def roles(self, name: str) -> list[str]:
        """Return what the settings and the experiment use a model for."""
        settings = self.settings
        roles = {
            "default": settings.default_model,
            "fallback": settings.fallback_model,
            "similar": next(iter(self._similar_models), None),
        }
        if self.experiment is not None:
            roles |= {f"variant:{variant.name}": variant.model for variant in self.experiment.variants}
        return [role for role, model in roles.items() if model == name]

    def plan(self, model: str | None, strategy: str | None, unit: str) -> Plan:
        """Decide who answers: whom the request names, else the unit's variant, else the default model.

        The fallback stands in for a model that is not loaded, unless the request itself named that model.
        """
        if model is not None:
            served = self.model(model)
            return Plan(served, strategy or served.recommender.default_strategy, _BY_REQUEST)
        if strategy is not None:
            return self._plan(self.settings.default_model, strategy, _BY_REQUEST)
        if self.experiment is None:
            return self._plan(self.settings.default_model, None, _BY_DEFAULT)
        variant = variant_of(self.experiment, unit)
        return self._plan(variant.model, variant.strategy, Assignment(self.experiment, variant, "experiment"))

    def _plan(self, name: str, strategy: str | None, assignment: Assignment) -> Plan:
        served = self.models.get(name)
        if served is None:
            return self.fallback(name, strategy if assignment.variant is None else None, assignment)
        return Plan(served, strategy or served.recommender.default_strategy, assignment)

    def fallback(self, stands_in_for: str, strategy: str | None, assignment: Assignment) -> Plan:
        """Return a plan in which the fallback answers for another model, with its own strategy unless one is given.

        ModelUnavailableError when the fallback is not there either.
        """
        served = self.model(self.settings.fallback_model)
        return Plan(served, strategy or served.recommender.default_strategy, assignment, stands_in_for)

    def _check_names(self, experiments: Sequence[Experiment]) -> None:
        """Refuse a name of a model or a strategy that is nowhere to be found."""
        settings = self.settings
        for name in settings.required_models:
            _check_model_name(self._store, name)
        if not self._store.names():  # they are looked for at the start alone: this process would never be ready
            raise ConfigurationError(
                f"SERVICE_MODELS: there are no models in {settings.models}; "
                f"`python -m training train MODEL --data DIR --models {settings.models}` makes one"
            )
        _check(settings.default_model, self.names, "SERVICE_DEFAULT_MODEL", "models")
        _check(settings.fallback_model, self.names, "SERVICE_FALLBACK_MODEL", "models")
        for experiment in experiments:
            for variant in experiment.variants:
                place = f"SERVICE_EXPERIMENTS: {settings.experiments}: variant {variant.name!r} of {experiment.name!r}"
                _check(variant.model, self.names, place, "models")
                _check(variant.strategy, sorted(STRATEGIES), place, "strategies")
        self._similar_models = self._find_similar_models()
        """By preference; the first that has not failed answers."""
        check_target(settings.exposures)

    def _find_similar_models(self) -> tuple[str, ...]:
        """Return who can answer similar tracks, best first.

        ConfigurationError for a chosen model whose kind has no such notion; one that cannot be read fails later.
        """
        kinds = {}
        for name in self.names:
            with suppress(ArtifactError):
                kinds[name] = self._store.manifest(name, self._pinned.get(name)).kind
        able = [name for name, kind in kinds.items() if kind in KINDS and issubclass(KINDS[kind], SimilarTracks)]
        chosen = self.settings.similar_model
        if chosen == AUTO:
            return tuple(dict.fromkeys([name for name in SIMILAR_MODELS if name in able] + able))
        _check(chosen, self.names, "SERVICE_SIMILAR_MODEL", "models")
        if chosen in kinds and chosen not in able:
            raise ConfigurationError(
                f"SERVICE_SIMILAR_MODEL: {chosen!r} is of kind {kinds[chosen]!r}, which knows no similar tracks; "
                f"these models do: {', '.join(able)}"
            )
        return (chosen,)

    async def _load_all(self) -> None:
        """Load one model after another; one that fails leaves the others to answer."""
        for name in self._routed:
            with suppress(ArtifactError):  # the model itself fails below, and says why
                self._users[name] = await asyncio.to_thread(self._store.users, name, self._pinned.get(name))
        there = self._store.names()
        for name in self.names:
            try:
                model = await self._load(name)
            except ArtifactError as error:
                self.failures[name] = _DAMAGED if name in there else _MISSING
                _log.error("%s cannot be served: %s", name, error)
            except Exception:  # noqa: BLE001 - whatever is wrong with one model, the process stays up for the others
                self.failures[name] = "it cannot be loaded; the log says why"
                _log.exception("%s cannot be served", name)
            else:
                self.models[name] = model
                manifest = model.manifest
                self.metrics.models.labels(name, manifest.version, manifest.algorithm, manifest.kind).set(1)
                _log.info("%s %s is ready on %s", name, manifest.version, self._device)
        # Models stay for good. Without this the garbage collector goes through torch and all of them again and again:
        # at 64 requests at a time it took half of the CPU outside of scoring. What a request leaves is little and
        # nearly all of it goes by its reference counts: looking for the rest every 700 objects took a tenth of the CPU.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
        self.metrics.workers.set(1)
        self.settled = True

    async def _load(self, name: str) -> ServedModel:
        executor = scoring_thread(name, self.settings.torch_threads)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            executor,
            load,
            self._store,
            name,
            self._pinned.get(name),
            self._device,
            executor,
            self.settings,
            self.metrics,
        )


def _check_folder(models: Path) -> None:
    try:
        os.scandir(models).close()
    except OSError as error:
        raise ConfigurationError(
            f"SERVICE_MODELS: {str(models)!r} is no folder that can be read ({error.strerror}); "
            "name the folder of the trained models"
        ) from error


def _check_model_name(store: ArtifactStore, name: str) -> None:
    """Refuse a name that no model can ever have; one that is not there may come, for the next start."""
    try:
        store.folder(name)
    except ArtifactError as error:
        raise ConfigurationError(f"SERVICE_REQUIRED_MODELS: {error}") from error


def _experiments(path: Path) -> tuple[Experiment, ...]:
    try:
        return load_experiments(path)
    except ConfigurationError as error:
        raise ConfigurationError(f"SERVICE_EXPERIMENTS: {error}") from error


def _still_there(store: ArtifactStore, pinned: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return those of some versions that can be loaded; the log names the others."""
    there = {}
    for name, version in pinned.items():
        if version is None or version in store.versions(name):
            there[name] = version
        else:
            _log.warning("%s %s is gone from %s: what is current there is served instead", name, version, store.root)
    return there


def _check(name: str, choices: Sequence[str], place: str, what: str) -> None:
    if name not in choices:
        raise ConfigurationError(f"{place}: {name!r} is not among the {what}, which are {', '.join(choices)}")


def _device(wanted: str) -> torch.device:
    """Return the device to score on."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        why = "this build of PyTorch has none" if torch.version.cuda is None else "PyTorch finds no GPU that it can use"
        raise ConfigurationError(f"SERVICE_DEVICE: 'cuda' is wanted, but {why}; choices are 'auto' and 'cpu'")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")
