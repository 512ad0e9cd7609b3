"""The headers of answers."""

from typing import Final

from service.loading import ServedModel

EXPOSED: Final = ("X-Request-Id", "X-Model-Version", "X-Experiment", "Server-Timing", "Retry-After", "ETag")
"""What scripts of another origin may read."""


def answer_headers(model: ServedModel, queue_seconds: float, score_seconds: float) -> dict[str, str]:
    """Return the headers that every scored answer has; Server-Timing is in milliseconds."""
    return {
        "X-Model-Version": model.manifest.version,
        "Server-Timing": f"queue;dur={queue_seconds * 1000:.3f}, score;dur={score_seconds * 1000:.3f}",
    }
