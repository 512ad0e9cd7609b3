"""What the service tells those who run it: Prometheus metrics, and log lines as JSON on standard error."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue

MULTIPROCESS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable by which prometheus_client knows that several processes count together."""

WORKER_DEATHS: Final = "tutti_worker_deaths_total"

Metric = TypeVar("Metric", Counter, Histogram)

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._children: dict[tuple[object, ...], Any] = {}
        self.requests = Counter("tutti_requests", "Answers.", ["route", "method", "status"], registry=self._registry)
        self.request_seconds = self._histogram("tutti_request_seconds", "Time to answer.", ["route"], _SECONDS)
        self.batch_size = self._histogram("tutti_batch_size", "Requests scored together.", ["queue"], _BATCH_SIZES)
        self.queue_seconds = self._histogram("tutti_queue_seconds", "Wait for scoring.", ["queue"], _SECONDS)
        self.score_seconds = self._histogram("tutti_score_seconds", "Time to score a batch.", ["queue"], _SECONDS)
        self.queue_length = Gauge(
            "tutti_queue_length",
            "Requests waiting for scoring.",
            ["queue"],
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.exposures = Counter(
            "tutti_exposures", "Playlists shown.", ["experiment", "variant", "model"], registry=self._registry
        )
        self.exposures_lost = Counter("tutti_exposures_lost", "Exposures not written.", registry=self._registry)
        self.degraded = Counter(
            "tutti_degraded", "Playlists by the fallback in place of a model.", ["model"], registry=self._registry
        )
        self.models = Gauge(
            "tutti_model_info",
            "1 for each loaded model.",
            ["name", "version", "algorithm", "kind"],
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self.compiled = Gauge(
            "tutti_compiled",
            "1 where groups are ranked by compiled code.",
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self.workers = Gauge(
            "tutti_workers",
            "Processes that have loaded their models.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def _histogram(self, name: str, text: str, labels: list[str], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._of(self.requests, route, method, status).inc()
        self._of(self.request_seconds, route).observe(seconds)

    def exposed(self, experiment: str, variant: str, model: str) -> None:
        """Count a playlist."""
        self._of(self.exposures, experiment, variant, model).inc()

    def _of(self, metric: Metric, *labels: str | int) -> Metric:
        """Return the child of a metric; `labels` takes longer than counting."""
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def batches(self, queue: str) -> Callable[[Sequence[float], float], None]:
        """Return whom to tell of the batches of a queue."""
        size, waited, scored = (
            histogram.labels(queue) for histogram in (self.batch_size, self.queue_seconds, self.score_seconds)
        )

        def report(queue_seconds: Sequence[float], score_seconds: float) -> None:
            size.observe(len(queue_seconds))
            scored.observe(score_seconds)
            for seconds in queue_seconds:
                waited.observe(seconds)

        return report

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format, those of all workers together."""
        if not os.path.isdir(os.environ.get(MULTIPROCESS_FOLDER, "")):  # it goes when the supervisor is killed
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it declares no types
        return generate_latest(registry)


def worker_deaths() -> Callable[[], None]:
    """Return what counts a dead worker, in the supervisor, beside what its workers count.

    A Counter would not do there: prometheus_client was imported before MULTIPROCESS_FOLDER was set, and counts in
    memory alone.
    """
    counting = MultiProcessValue()  # type: ignore[no-untyped-call]  # it declares no types
    name, text = WORKER_DEATHS.removesuffix("_total"), "Workers that ended unasked."
    return partial(counting("counter", name, WORKER_DEATHS, (), (), text).inc, 1)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger, message and, where there was one, the traceback."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


LOGGING: Final = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
}
"""For `logging.config.dictConfig`, in the process that serves."""
