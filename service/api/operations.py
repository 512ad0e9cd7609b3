"""For those who run the service: health, models, metrics."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field, with_config
from typing_extensions import TypedDict

from service.api.dependencies import runtime_of
from service.api.problems import FieldProblem, ProblemCode, problem, responses
from service.api.schemas import DOCUMENTED, StrategyName


@with_config(DOCUMENTED)
class Health(TypedDict):
    """Whether the service lives, or is ready."""

    status: Literal["live", "ready"]
    """What was asked for."""


@with_config(DOCUMENTED)
class ModelDescription(TypedDict):
    """A loaded model."""

    name: str
    """What requests and answers call it."""
    version: str
    """Of this training."""
    algorithm: str
    """What it was trained with: wmf, softmax, …"""
    kind: str
    """How it scores, whatever it was trained with."""
    trained_at: datetime
    """When its training ended."""
    users: int
    """Listeners of the training data."""
    groups: int
    """With listening of their own, which users do not count."""
    tracks: int
    """Those that it can recommend."""
    default_strategy: StrategyName
    """How tastes become one list where a request does not say."""
    similar_tracks: bool
    """Whether it can be the model of similar tracks."""
    roles: list[Annotated[str, Field(pattern="^(default|fallback|similar|variant:.+)$")]]
    """What the settings and the experiment use it for: `default`, `fallback`, `similar`, `variant:` and its name."""
    metrics: dict[str, float]
    """Measured on validation data when it was trained."""


@with_config(DOCUMENTED)
class Models(TypedDict):
    """All loaded models."""

    models: list[ModelDescription]
    """By name."""


_TAGS: Final[list[str | Enum]] = ["Operations"]
"""Where the pages of the API list these."""


def add_routes(router: APIRouter) -> None:
    """Add the routes."""
    router.add_api_route("/health/live", live, response_model=Health, summary="The process runs", tags=_TAGS)
    router.add_api_route(
        "/health/ready",
        ready,
        response_model=Health,
        tags=_TAGS,
        summary="Every configured model is loaded and has answered its self-test",
        responses=responses(ProblemCode.NOT_READY),
    )
    router.add_api_route("/models", models, response_model=Models, summary="The loaded models", tags=_TAGS)
    router.add_api_route(
        "/metrics",
        metrics,
        response_class=PlainTextResponse,
        summary="Metrics in Prometheus' text format",
        tags=_TAGS,
    )


async def live() -> Health:
    """Answer as long as the process can."""
    return {"status": "live"}


async def ready(request: Request) -> Health | Response:
    """Answer 200 when all models can be asked and the service is not about to stop."""
    waiting = runtime_of(request).readiness()
    if not waiting:
        return {"status": "ready"}
    errors = [FieldProblem(pointer=f"/{name}", detail=why, code="not_ready") for name, why in waiting.items()]
    detail = "; ".join(f"{name}: {why}" for name, why in waiting.items())
    return problem(request, ProblemCode.NOT_READY, detail, errors)


async def models(request: Request) -> Models:
    """Describe the loaded models."""
    runtime = runtime_of(request)
    described: list[ModelDescription] = [
        {
            "name": name,
            "version": model.manifest.version,
            "algorithm": model.manifest.algorithm,
            "kind": model.manifest.kind,
            "trained_at": model.manifest.created_at,
            "users": model.manifest.data.users,
            "groups": model.manifest.data.groups,
            "tracks": len(model.recommender.tracks),
            "default_strategy": model.recommender.default_strategy,
            "similar_tracks": model.similar is not None,
            "roles": runtime.roles(name),
            "metrics": model.manifest.metrics,
        }
        for name, model in sorted(runtime.models.items())
    ]
    return {"models": described}


async def metrics(request: Request) -> Response:
    """Return what Prometheus scrapes."""
    return Response(runtime_of(request).metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
