"""Every error that Tutti raises on purpose, in one tree.

    TuttiError                    status 500, code internal_error
    ├── NotFoundError             404: something named by the caller does not exist
    │   ├── UnknownTrackError     404, unknown_track
    │   └── UnknownModelError     422, unknown_model
    ├── ArtifactError             503: a file below model_files is missing, damaged or not understood
    ├── ConfigurationError        503: a setting that cannot work, found at start
    ├── OverloadedError           503, overloaded: the queue is full; try again
    ├── ModelUnavailableError     503, model_unavailable: no loaded model can answer
    │   └── ScoringError          a model failed while it answered
    ├── RequestError              400, unreadable_body: a body that is not JSON, or not read to its end
    │   ├── BodyTooLargeError     413, body_too_large
    │   └── MediaTypeError        415, unsupported_media_type: the body does not say that it is JSON
    ├── ClientGoneError           never sent: the caller hung up before the answer
    ├── DataError                 a log or a prepared data set that cannot be used
    └── TrainingError             training could not produce a model worth keeping

A message names what is wrong, where, and what would be right.
"""

from typing import ClassVar


class TuttiError(Exception):
    """Root of the tree; `status` and `code` are what HTTP answers with."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"


class NotFoundError(TuttiError):
    """Something named by the caller does not exist."""

    status = 404
    code = "not_found"


class UnknownTrackError(NotFoundError):
    """A track id that the model has never seen."""

    code = "unknown_track"


class UnknownModelError(NotFoundError):
    """A model name that is not loaded."""

    status = 422
    code = "unknown_model"


class ArtifactError(TuttiError):
    """A file below model_files is missing, damaged or not understood."""

    status = 503
    code = "model_unavailable"


class ConfigurationError(TuttiError):
    """A setting that cannot work, found at start."""

    status = 503
    code = "misconfigured"


class OverloadedError(TuttiError):
    """The queue is full; the caller should wait and try again."""

    status = 503
    code = "overloaded"


class ModelUnavailableError(TuttiError):
    """No loaded model can answer."""

    status = 503
    code = "model_unavailable"


class ScoringError(ModelUnavailableError):
    """A model failed while it answered; the cause is chained."""


class RequestError(TuttiError):
    """A body that is not JSON, or not read to its end."""

    status = 400
    code = "unreadable_body"


class BodyTooLargeError(RequestError):
    """A body longer than the service reads."""

    status = 413
    code = "body_too_large"


class MediaTypeError(RequestError):
    """A body that does not say that it is JSON."""

    status = 415
    code = "unsupported_media_type"


class ClientGoneError(TuttiError):
    """The caller hung up, so nobody would read an answer."""


class DataError(TuttiError):
    """A log or a prepared data set that cannot be used."""


class TrainingError(TuttiError):
    """Training could not produce a model worth keeping."""
