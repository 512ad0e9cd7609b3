"""A route that answers HEAD wherever it answers GET, as RFC 9110 section 9.1 asks of every server."""

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Receive, Scope, Send


class GetRoute(APIRoute):
    """Answers both alike, and the server leaves out the body; OpenAPI lists GET alone."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether this is the route of a request, HEAD being as good as GET."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            return super().matches({**scope, "method": "GET"})
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse other methods."""
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        await self.app(scope, receive, send)
