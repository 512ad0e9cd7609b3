"""What routes ask of a request."""

from collections.abc import Callable

from fastapi import Request
from starlette.types import Receive

from service.runtime import Runtime


def runtime_of(request: Request) -> Runtime:
    """Return the runtime of the application that answers."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def gone(receive: Receive) -> Callable[[], bool]:
    """Return a function that says whether the client has hung up, once the body was read.

    `receive` then either has a disconnect to give at once or would wait for one: a single step tells which,
    without a task a request that waits beside it.
    """

    def client_is_gone() -> bool:
        step = receive().__await__()
        try:
            next(step)
        except StopIteration as stop:
            return bool(stop.value["type"] == "http.disconnect")
        step.close()
        return False

    return client_is_gone
