"""What SIGTERM and Ctrl-C do while nothing is served: end the process at once, with 0."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Have SIGTERM and Ctrl-C end the process here, without another word.

    Left to the system they are lost where the process is the first of a container. An exception would not do: torch
    takes seconds to import and may swallow it.
    """
    before = {number: signal.signal(number, lambda *_: os._exit(0)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
