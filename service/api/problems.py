"""Errors as RFC 9457 problems: a closed list of codes, each with a page, and never a word of what was sent."""

import json
import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum
from html import escape
from typing import Any, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from service.api.headers import documented
from service.core.errors import NotFoundError, TuttiError
from service.core.faults import faults

MEDIA_TYPE: Final = "application/problem+json"

_ERRORS_AT_MOST: Final = 20
_POINTER_AT_MOST: Final = 200
"""Characters: a field's name is the caller's to choose."""

_log = logging.getLogger(__name__)


class ProblemCode(StrEnum):
    """What can go wrong; `KINDS` says what each means."""

    UNREADABLE_BODY = "unreadable_body"
    NOT_FOUND = "not_found"
    UNKNOWN_TRACK = "unknown_track"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    VALIDATION_FAILED = "validation_failed"
    UNKNOWN_MODEL = "unknown_model"
    OVERLOADED = "overloaded"
    MODEL_UNAVAILABLE = "model_unavailable"
    NOT_READY = "not_ready"
    INTERNAL_ERROR = "internal_error"


class Kind(NamedTuple):
    """What a code means."""

    status: int
    title: str
    help: str


KINDS: Final = {
    ProblemCode.UNREADABLE_BODY: Kind(
        400, "The body is not JSON", "Send one JSON object in UTF-8. A lone surrogate such as \\ud800 is no character."
    ),
    ProblemCode.NOT_FOUND: Kind(404, "There is nothing here", "See /docs for what there is."),
    ProblemCode.UNKNOWN_TRACK: Kind(
        404,
        "The track is not known",
        "The model of similar tracks was trained without it. Ids are case-sensitive; slashes are sent as %2F.",
    ),
    ProblemCode.METHOD_NOT_ALLOWED: Kind(
        405, "The method is not allowed here", "The Allow header names those that are."
    ),
    ProblemCode.BODY_TOO_LARGE: Kind(
        413, "The body is too large", "At most 1 MiB is read, unless the operator says else."
    ),
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: Kind(
        415, "The body is not declared as JSON", "Send the header Content-Type: application/json."
    ),
    ProblemCode.VALIDATION_FAILED: Kind(
        422,
        "The request does not say what is expected",
        "`errors` points at each field that is wrong and says what would be right. Unknown fields are wrong, too.",
    ),
    ProblemCode.UNKNOWN_MODEL: Kind(422, "There is no such model", "GET /models lists them."),
    ProblemCode.OVERLOADED: Kind(
        503,
        "Too many requests are waiting",
        "Nothing is wrong with the request; send it again after Retry-After seconds.",
    ),
    ProblemCode.MODEL_UNAVAILABLE: Kind(
        503, "No model can answer now", "The model is loading, or could not be loaded; GET /health/ready says which."
    ),
    ProblemCode.NOT_READY: Kind(
        503, "The service is not ready", "`errors` names what it waits for; the service's log says why."
    ),
    ProblemCode.INTERNAL_ERROR: Kind(
        500, "Something went wrong on our side", "The log has more under the request id; please report it."
    ),
}

_OF_STATUS: Final = {404: ProblemCode.NOT_FOUND, 405: ProblemCode.METHOD_NOT_ALLOWED}
_RETRY_AFTER: Final = {"Retry-After": "1"}


class FieldProblem(BaseModel):
    """What is wrong with one part of the request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pointer: str = Field(examples=["/members/1/weight"])
    """JSON pointer (RFC 6901) to it; empty for the request as a whole."""
    detail: str
    """What would be right, in words."""
    code: str
    """What kind of mistake it is."""


class Problem(BaseModel):
    """An error as of RFC 9457."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str = Field(examples=["/problems/validation-failed"])
    """Address of a page about `code`."""
    title: str
    """What `code` means, in words; the same for every occurrence."""
    status: int
    """The status of the answer."""
    detail: str
    """What happened this time, in words."""
    instance: str
    """Names this very occurrence."""
    code: ProblemCode
    """What happened: decide by this."""
    request_id: str
    """To be quoted to those who run the service; also the header `X-Request-Id`."""
    errors: list[FieldProblem]
    """What is wrong with each part of the request, the first 20."""


def problem(
    request: Request,
    code: ProblemCode,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer for an error."""
    kind = KINDS[code]
    request_id: str = request.state.request_id
    content = Problem(
        type=_address(code),
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=f"/requests/{request_id}",
        code=code,
        request_id=request_id,
        errors=list(errors),
    )
    headers = {**_headers_of(kind.status), **(headers or {})}
    # ASCII, so that not even a lone surrogate in the name of a field can break it
    body = json.dumps(content.model_dump(mode="json"))
    return Response(body, kind.status, headers, media_type=MEDIA_TYPE)


def _headers_of(status: int) -> dict[str, str]:
    """Return the headers that a problem has for its status."""
    return _RETRY_AFTER if status == 503 else {}


def responses(*codes: ProblemCode) -> dict[int | str, dict[str, Any]]:  # FastAPI's own type
    """Return the OpenAPI entries of a route that can answer with these codes, beside an internal error."""
    by_status: dict[int, list[ProblemCode]] = {}
    for code in (*codes, ProblemCode.INTERNAL_ERROR):
        by_status.setdefault(KINDS[code].status, []).append(code)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {
            "description": ", ".join(f"`{code}`" for code in group),
            "content": content,
            "headers": documented(*_headers_of(status)),
        }
        for status, group in by_status.items()
    }


def field_problems(errors: Sequence[ErrorDetails]) -> list[FieldProblem]:
    """Return pydantic's errors as JSON pointers and texts without any value."""
    return [
        FieldProblem(pointer=_pointer(error["loc"])[:_POINTER_AT_MOST], detail=error["msg"], code=error["type"])
        for error in faults(errors[:_ERRORS_AT_MOST])
    ]


def add_problems(app: FastAPI) -> None:
    """Answer errors with problems, and serve a page about each code."""
    app.exception_handler(TuttiError)(_error)
    app.exception_handler(RequestValidationError)(_error)
    app.exception_handler(HTTPException)(_http_error)
    app.router.add_api_route("/problems/{slug}", _page, response_class=HTMLResponse, include_in_schema=False)


def problem_of(request: Request, error: TuttiError | RequestValidationError) -> Response:
    """Return the answer for what a route raised; it is raised again where it says nothing to a caller."""
    if isinstance(error, RequestValidationError):
        found = field_problems(error.errors())
        detail = "; ".join(f"{each.pointer}: {each.detail}" if each.pointer else each.detail for each in found[:3])
        return problem(request, ProblemCode.VALIDATION_FAILED, detail, found)
    code = ProblemCode(error.code)
    if code is ProblemCode.INTERNAL_ERROR:
        raise error
    found = [FieldProblem(pointer="/model", detail=str(error), code=code)] if code is ProblemCode.UNKNOWN_MODEL else []
    return problem(request, code, str(error), found)


async def _error(request: Request, error: TuttiError | RequestValidationError) -> Response:
    return problem_of(request, error)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Answer what the router refuses."""
    code = _OF_STATUS[error.status_code]
    return problem(request, code, KINDS[code].help, headers=error.headers)


def _pointer(place: Sequence[str | int]) -> str:
    """Return a JSON pointer; a body needs no word in front, a query parameter does."""
    parts = place[1:] if place[:1] == ("body",) else place
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _address(code: ProblemCode) -> str:
    return f"/problems/{code.replace('_', '-')}"


async def _page(slug: str) -> HTMLResponse:
    """Return what a code means, for people."""
    code = next((code for code in ProblemCode if _address(code) == f"/problems/{slug}"), None)
    if code is None:
        raise NotFoundError("there is no such problem")
    kind = KINDS[code]
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{code}</title>"
        f"<h1>{kind.status} {escape(kind.title)}</h1><p><code>{code}</code><p>{escape(kind.help)}"
    )


def schemas() -> dict[str, Any]:
    """Return the OpenAPI components of problems; they are no route's response model, so FastAPI does not know them."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}
