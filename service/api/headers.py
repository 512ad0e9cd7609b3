"""The headers of answers."""

from typing import Any, Final

from service.loading import ServedModel

EXPOSED: Final = ("X-Request-Id", "X-Model-Version", "X-Experiment", "Server-Timing", "Retry-After", "ETag")
"""What scripts of another origin may read."""

SENT: Final = ("Authorization", "Content-Type", "If-None-Match", "X-Request-Id")
"""What they may send; the first is for a gateway before the service."""

_MEANINGS: Final = {
    "X-Request-Id": "Names the request: the caller's own id where it is fit to be passed on, else a fresh one.",
    "X-Model-Version": "The version of the model that answered.",
    "X-Experiment": "`name; variant=name`, where an experiment decided.",
    "Server-Timing": "`queue`, `score` and, for who asked, `explain` in milliseconds.",
    "ETag": "Names these very bytes: send it as If-None-Match.",
    "Cache-Control": "How long the answer may be kept.",
    "Retry-After": "Seconds to wait before the request is sent again.",
}
_NOT_ALWAYS: Final = {"X-Experiment"}


def documented(*names: str) -> dict[str, Any]:  # FastAPI's own type
    """Return the OpenAPI entries of headers."""
    return {
        name: {"description": _MEANINGS[name], "required": name not in _NOT_ALWAYS, "schema": {"type": "string"}}
        for name in names
    }


def answer_headers(
    model: ServedModel, queue_seconds: float, score_seconds: float, explain_seconds: float | None = None
) -> dict[str, str]:
    """Return the headers that every scored answer has; Server-Timing is in milliseconds."""
    took = {"queue": queue_seconds, "score": score_seconds, "explain": explain_seconds}
    timing = [f"{what};dur={seconds * 1000:.3f}" for what, seconds in took.items() if seconds is not None]
    return {"X-Model-Version": model.manifest.version, "Server-Timing": ", ".join(timing)}
