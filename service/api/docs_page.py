"""/docs: the OpenAPI document in Swagger UI, whose files are installed with the service.

FastAPI's own page fetches them from a CDN: without internet access it stays blank.
"""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_FILES: Final = StaticFiles(packages=[("fastapi_offline", "static")])
"""Of that package nothing but these is used: its own application is no router."""


def add_routes(router: APIRouter) -> None:
    """Add the page and what it loads."""
    router.add_api_route("/docs", page, response_class=HTMLResponse, include_in_schema=False)
    router.add_api_route("/docs/{name}", file, include_in_schema=False)


async def page() -> HTMLResponse:
    """Return the page; its addresses are relative, so that it also works below a path of something else."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Tutti",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )


async def file(name: str, request: Request) -> Response:
    """Return a file of Swagger UI."""
    return await _FILES.get_response(name, request.scope)
