"""The headers of answers."""

from typing import Final

from service.loading import ServedModel

EXPOSED: Final = ("X-Request-Id", "X-Model-Version", "X-Experiment", "Server-Timing", "Retry-After", "ETag")
"""What scripts of another origin may read."""


def answer_headers(
    model: ServedModel, queue_seconds: float, score_seconds: float, explain_seconds: float | None = None
) -> dict[str, str]:
    """Return the headers that every scored answer has; Server-Timing is in milliseconds."""
    took = {"queue": queue_seconds, "score": score_seconds, "explain": explain_seconds}
    timing = [f"{what};dur={seconds * 1000:.3f}" for what, seconds in took.items() if seconds is not None]
    return {"X-Model-Version": model.manifest.version, "Server-Timing": ", ".join(timing)}
