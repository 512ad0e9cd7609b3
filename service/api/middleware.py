"""What happens around every request: an id, a measurement, and an answer whatever happens."""

import logging
import random
import re
from time import perf_counter
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import KINDS, ProblemCode, problem
from service.core.errors import ClientGoneError
from service.telemetry import Metrics

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""What is taken over from a caller: fit for a header, a log and a URL."""

_CLIENT_GONE: Final = 499
"""nginx's status for a client that closed the connection; only the metrics see it."""

_log = logging.getLogger(__name__)


class RequestMiddleware:
    """Plain ASGI: starlette's BaseHTTPMiddleware costs a task and two queues a request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back, with its id in `request.state` and in X-Request-Id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        header = (b"x-request-id", request_id.encode())
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientGoneError:
            status = _CLIENT_GONE
        except Exception:
            _log.exception("request %s failed", request_id)
            if status:
                raise
            answer = problem(Request(scope), ProblemCode.INTERNAL_ERROR, KINDS[ProblemCode.INTERNAL_ERROR].help)
            await answer(scope, receive, send_with_id)
        finally:
            self._measure(scope, status, perf_counter() - begun)

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")  # what starlette puts there is untyped
        self._metrics.answered(route, scope["method"], status, seconds)


def _request_id(scope: Scope) -> str:
    """Return the caller's id where it is fit to be passed on, else a fresh one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given: str = value.decode()
            return given
    return f"{random.getrandbits(128):032x}"
