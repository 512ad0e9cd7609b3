"""The application: settings in, ASGI out."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import docs_page, operations, problems, recommendations, similar_tracks
from service.api.get_route import GetRoute
from service.api.headers import EXPOSED, SENT, documented
from service.api.json_route import JsonRoutes
from service.api.middleware import RequestMiddleware
from service.runtime import Runtime
from service.settings import Settings


def create_app(settings: Settings, pinned: Mapping[str, str | None] | None = None) -> FastAPI:
    """Return an application that loads its models when its lifespan begins.

    `pinned` is as in `Runtime`.
    ConfigurationError when the settings name a model, strategy or experiment that cannot be.
    """
    runtime = Runtime(settings, pinned)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await runtime.start()
        if settings.workers > 1:  # until this returns nothing is accepted: the other workers answer meanwhile
            await runtime.loaded()
        yield
        await runtime.stop()

    app = _Tutti(
        title="Tutti",
        summary="Group playlists in which every listener has a fair share",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.runtime = runtime
    framework_routes = list(app.router.routes)
    app.router.route_class = GetRoute
    for part in (recommendations, similar_tracks, operations, docs_page):
        part.add_routes(app.router)
    # Routes are tried in order, and FastAPI's own come first: begin with those that are asked for most.
    app.router.routes.sort(key=lambda route: route in framework_routes)
    problems.add_problems(app)
    app.add_middleware(RequestMiddleware, metrics=runtime.metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=SENT,
            expose_headers=EXPOSED,
        )
    return app


def _operation_id(route: APIRoute) -> str:
    """Return what the method of a generated client is called; FastAPI would add path and method to it."""
    return route.name


class _Tutti(FastAPI):
    """FastAPI with a way of its own to JSON routes, whose OpenAPI says what only the running service knows."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        scope["app"] = self
        await self._front(scope, receive, send)

    @cached_property
    def _front(self) -> ASGIApp:
        return JsonRoutes(super().__call__, self.router.routes, self.user_middleware)

    def openapi(self) -> dict[str, Any]:  # FastAPI's own type
        """Return the schema with the shape of problems, the id that every answer has, and the names of the models."""
        if not self.openapi_schema:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    for response in operation["responses"].values():
                        response.setdefault("headers", {}).update(documented("X-Request-Id"))
            schemas = document["components"]["schemas"]
            schemas |= problems.schemas()
            runtime: Runtime = self.state.runtime
            for choice in schemas["GroupRequest"]["properties"]["model"]["anyOf"]:
                if choice["type"] == "string":
                    choice["enum"] = runtime.names
        return super().openapi()
