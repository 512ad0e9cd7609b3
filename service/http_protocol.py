"""HTTP/1.1 as uvicorn reads it, with bounds: a request's head has a greatest length, and a request a time to arrive.

httptools keeps a header until all of it is there, however long, and uvicorn waits for the rest without an end.
"""

import asyncio
import re
from itertools import chain
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_BYTES: Final = 1 << 16
"""Longest head of a request, its address and headers together; several times what browsers and gateways send."""

_AROUND_HEADER: Final = len(": \r\n")

_MARGIN: Final = 0.5
"""Seconds by which a request has to be there before uvicorn gives up what is in flight, and says so at length."""

_UPGRADE: Final = re.compile(rb"(?<=\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)

_HEAD_END: Final = b"\r\n\r\n"


def _without_upgrade(data: bytes) -> bytes:
    """Return the beginning of a request with no word of another protocol, which a server may ignore (RFC 9110, 7.8).

    httptools takes what follows for that protocol, and so loses the body of a request that would be answered: Java's
    HttpClient offers HTTP/2 with the first on every connection.
    """
    end = data.find(_HEAD_END)
    found = _UPGRADE.search(data, 0, end if end >= 0 else len(data))
    return data if found is None else b"".join([data[: found.start()], b"x-upgrade", data[found.end() :]])


class HttpProtocol(HttpToolsProtocol):
    """One connection; it ends where a request comes too slowly, or goes on and on without coming to a body."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # uvicorn's own type
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        request_seconds: float,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._request_seconds = request_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._arriving = True
        """Whether a request has begun, or may begin, whose end is not there."""
        self._loose = 0
        """Bytes since the last head was complete or the last piece of a body came: of a head, or of trailers."""
        self._head_too_long = False
        self._in_body = False
        """Whether what comes next is of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait(self._request_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a request that is there with its first bytes, as nearly all are, needs no timer."""
        self._loose += len(data)
        self._arriving = True
        super().data_received(data if self._in_body else _without_upgrade(data))
        if not self._arriving:
            self._stop_waiting()
        elif self._loose > HEAD_BYTES:
            self._refuse_head()
        elif self._timer is None:
            self._wait(self._request_seconds)

    def on_message_begin(self) -> None:
        """Begin a request, perhaps right behind another."""
        self._arriving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is too long: one may come as a whole, with the body behind it."""
        if self._head_bytes() > HEAD_BYTES:
            self._head_too_long = True
            raise ValueError("the head is too long")  # the parser stops, and uvicorn refuses
        self._loose = 0
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, whose length is for the application to judge."""
        self._loose = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._arriving = self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser has refused."""
        if self._head_too_long:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def shutdown(self) -> None:
        """Finish what has begun, and have the rest of a request come in time to be answered."""
        super().shutdown()
        grace = self.config.timeout_graceful_shutdown
        if self._arriving and grace is not None:
            self._wait(grace - _MARGIN)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(map(len, chain.from_iterable(self.headers))) + _AROUND_HEADER * len(self.headers)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._refuse_slow)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_head(self) -> None:
        self._hang_up(431, f"The head of the request is longer than {HEAD_BYTES} bytes.")

    def _refuse_slow(self) -> None:
        """End a request that has not come in time, unless it is this side that has others wait."""
        if self.flow.read_paused or self._is_answering():
            self._wait(self._request_seconds)
        else:
            self._hang_up(408, "The request did not arrive in time.")

    def _is_answering(self) -> bool:
        """Return whether there is a whole request without a whole answer."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _hang_up(self, status: int, text: str) -> None:
        if self.transport.is_closing():
            return
        if self._may_answer():
            self.transport.write(self._answer(status, text.encode()))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # at once: it would answer, too, before the connection is lost
            self.cycle.message_event.set()
        self.transport.close()

    def _may_answer(self) -> bool:
        """Return whether the next answer on this connection is that to the request that is arriving."""
        if self.cycle is None:
            return self.scope is not None  # else nothing has come that could be answered
        if self.cycle.scope is self.scope:  # its head is complete
            return not self.cycle.response_started and not self.pipeline
        return self.cycle.response_complete

    def _answer(self, status: int, text: bytes) -> bytes:
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(text)),
            (b"connection", b"close"),
        ]
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", text])
