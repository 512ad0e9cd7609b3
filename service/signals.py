"""What SIGTERM and Ctrl-C do while nothing is served, and who hears what a terminal sends."""

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


@contextmanager
def terminal_held_back() -> Iterator[None]:
    """Have Ctrl-C and SIGHUP wait until this is over; a process that is started meanwhile never hears of them.

    A terminal sends them to all processes of a command. One that has only begun to import would end with a traceback,
    and SIGHUP would kill it. The parent hears them, and ends or renews the others in order.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
