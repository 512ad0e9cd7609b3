"""Workers looked after: the dead replaced, all renewed, more or fewer of them, and none waited for meanwhile."""

import asyncio
import logging
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from multiprocessing import resource_tracker
from socket import socket
from typing import Final

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Process

from service.core.errors import TuttiError
from service.signals import terminal_held_back
from service.telemetry import worker_deaths

_log = logging.getLogger(__name__)

_INTERVAL: Final = 0.2
"""Seconds between two looks at the workers."""

_LONGEST_PAUSE: Final = 30.0

LEAVE: Final = signal.SIGUSR1
"""Tells one worker to end while others go on: it is as SIGTERM, but without a word to load balancers."""

_MARGIN: Final = 5.0
"""Seconds beyond what it is given in which a worker that was told to end is expected to, before it is killed."""

_REQUEST_ARRIVES: Final = 0.5
"""Seconds in which the first request follows a connection."""


class Server(uvicorn.Server):
    """uvicorn's, but one that closes the door first: it hung up on connections whose request was still to come."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Accept nothing more, answer what comes over new connections, and end."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        await asyncio.sleep(_REQUEST_ARRIVES)
        await super().shutdown(sockets)


class Worker(Process):
    """uvicorn's, but one that is asked how it is without waiting for its answer.

    While a worker loads torch from a slow disk it cannot answer, and signals would wait as long.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.serves = False
        """Whether it accepts connections."""
        self._asked: float | None = None
        self.ends_by = math.inf
        """When it is killed, if it was told to end."""

    @cached_property
    def server(self) -> uvicorn.Server:
        """Return what serves, in the process of the worker."""
        return Server(self.config)

    def leave(self) -> None:
        """Have it end while others go on."""
        if self.process.is_alive() and self.pid is not None:
            os.kill(self.pid, LEAVE)

    def hangs(self) -> bool:
        """Take its last answer and ask anew; return True where it has owed one for too long."""
        if self.parent_conn.poll():
            self.serves = self.parent_conn.recv()
            self._asked = None
        if self._asked is None:
            self.parent_conn.send(b"ping")
            self._asked = time.monotonic()
        return time.monotonic() - self._asked > self.config.timeout_worker_healthcheck


class Pause:
    """Between starts of workers that die before they serve: 1, 2, 4, … 30 seconds."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = 0.0

    @property
    def left(self) -> float:
        """Return the seconds that it still lasts."""
        return max(0.0, self._until - time.monotonic())

    def begin(self) -> None:
        """Pause for twice as long as the last time; several that die in one pause do not lengthen it."""
        if not self.left:
            self._seconds = min(max(1.0, 2 * self._seconds), _LONGEST_PAUSE)
            self._until = time.monotonic() + self._seconds

    def forget(self) -> None:
        """Begin with the shortest again."""
        self._seconds = self._until = 0.0


class Supervisor:
    """Keeps as many workers as are wanted, all of them as it was last configured.

    SIGTERM and Ctrl-C end them; SIGHUP configures anew; SIGTTIN and SIGTTOU want one more and one fewer.
    """

    def __init__(self, configure: Callable[[], Config], sockets: list[socket], seconds_to_end: float) -> None:
        """`seconds_to_end` is what a worker may take for what it has in hand."""
        self._configure = configure
        self._seconds_to_end = seconds_to_end
        self._config = configure()
        """Of the workers that are started from now on; one that has another is outdated."""
        self._wanted = self._config.workers
        self._sockets = sockets
        self._workers: list[Worker] = []
        self._leaving: list[Worker] = []
        """Told to end."""
        self._pause = Pause()
        self._count_death = worker_deaths()
        self._proved = False
        """Whether any worker ever served."""
        self._signals: deque[int] = deque()
        self._orders: dict[int, Callable[[], None]] = {
            signal.SIGINT: self._end,
            signal.SIGTERM: self._end,
            signal.SIGHUP: self._renew,
            signal.SIGTTIN: self._want_more,
            signal.SIGTTOU: self._want_fewer,
        }
        self._ending = False
        self._failed = False

    def run(self) -> bool:
        """Look after workers until a signal ends them; return False where none could ever serve."""
        for number in self._orders:
            signal.signal(number, lambda number, _: self._signals.append(number))
        _log.info("Started parent process [%d]", os.getpid())
        resource_tracker.ensure_running()  # to start that with the first of them would let Ctrl-C through again
        try:
            self._adjust()
            while not self._ending:
                time.sleep(_INTERVAL)
                while self._signals:
                    number = signal.Signals(self._signals.popleft())
                    _log.info("Received %s", number.name)
                    self._orders[number]()
                self._look()
                if not self._ending:
                    self._adjust()
        finally:  # whatever went wrong here, workers that nobody looks after would stay
            self._end_all()
        return not self._failed

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.terminate()
            worker.ends_by = self._deadline()
        for each in self._sockets:  # still open here they would take connections that nobody answers
            each.close()
        self._leaving += self._workers
        self._workers = []
        while self._leaving:
            time.sleep(_INTERVAL)
            self._look_after_leaving()

    def _deadline(self) -> float:
        return time.monotonic() + self._seconds_to_end + _MARGIN

    def _end(self) -> None:
        self._ending = True

    def _renew(self) -> None:
        try:
            self._config = self._configure()
        except (TuttiError, OSError) as error:
            _log.error("the workers stay as they are: %s", error)
        except Exception:  # noqa: BLE001 - those that are there serve, whatever is wrong with what is new
            _log.exception("the workers stay as they are")
        else:
            self._pause.forget()

    def _want_more(self) -> None:
        self._wanted += 1

    def _want_fewer(self) -> None:
        if self._wanted == 1:
            _log.warning("one worker stays; SIGTERM ends it")
        else:
            self._wanted -= 1

    def _look(self) -> None:
        """Notice who has ended, and who has come to serve."""
        self._look_after_leaving()
        for worker in self._workers.copy():
            new = not worker.serves
            if not worker.process.is_alive():
                self._died(worker)
            elif worker.hangs():
                _log.error("worker %d has not answered for %d s", worker.pid, self._config.timeout_worker_healthcheck)
                self._died(worker)
            elif new and worker.serves:
                self._proved = True
                self._pause.forget()

    def _look_after_leaving(self) -> None:
        for worker in self._leaving.copy():
            if worker.process.is_alive() and time.monotonic() > worker.ends_by:
                _log.error("worker %d did not end in time and is killed", worker.pid)
                worker.kill()
            elif not worker.process.is_alive():
                self._forget(worker, self._leaving)

    def _died(self, worker: Worker) -> None:
        worker.kill()
        self._forget(worker, self._workers)
        self._count_death()
        ended = _how_it_ended(worker.exitcode)
        if worker.serves:
            _log.error("worker %d %s", worker.pid, ended)
        elif worker.exitcode == STARTUP_FAILURE and not self._proved:
            _log.error("worker %d %s, and no other ever served", worker.pid, ended)
            self._ending = self._failed = True
        else:
            self._pause.begin()
            _log.error("worker %d %s before it served; next start in %.0f s", worker.pid, ended, self._pause.left)

    def _adjust(self) -> None:
        """Start or end workers, towards as many as are wanted, all as last configured.

        The outdated are replaced one by one, each by a successor that serves before it goes.
        """
        outdated = [worker for worker in self._workers if worker.config is not self._config]
        settled = all(worker.serves for worker in self._workers)
        too_many = len(self._workers) - self._wanted
        if too_many > (1 if outdated and not settled else 0):
            self._retire((outdated or self._workers[::-1])[0])
        elif self._pause.left:
            return
        elif too_many < 0:
            self._start(-too_many)
        elif too_many == 0 and outdated and settled and not self._leaving:
            self._start(1)

    def _start(self, number: int) -> None:
        with terminal_held_back():
            for _ in range(number):
                worker = Worker(self._config, self._sockets)
                try:
                    worker.start()
                except OSError as error:
                    self._pause.begin()
                    _log.error("no worker can be started (%s); next start in %.0f s", error, self._pause.left)
                    return
                self._workers.append(worker)

    def _retire(self, worker: Worker) -> None:
        worker.leave()
        worker.ends_by = self._deadline()
        self._workers.remove(worker)
        self._leaving.append(worker)

    def _forget(self, worker: Worker, workers: list[Worker]) -> None:
        worker.join()
        workers.remove(worker)
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it declares no types


def _how_it_ended(exit_code: int | None) -> str:
    """Return how a process ended."""
    if exit_code is not None and exit_code < 0:
        named = {number.value: number.name for number in signal.Signals}  # not those of real time
        return f"died of {named.get(-exit_code, f'signal {-exit_code}')}"
    return f"ended with {exit_code}"
