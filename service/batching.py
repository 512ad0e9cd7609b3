"""Requests that arrive while a batch is being scored form the next one.

There is no timer: a lone request is scored at once, and a busy model finds its next batch waiting. So batches grow
with the load and only with it.

A batch that takes a moment is scored in the event loop itself, since handing it to a thread and back costs more than
that; one that would hold the loop up is scored by the thread. What queries take is measured all the time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import Final, Generic, NamedTuple, TypeVar

from service.core.errors import ClientGoneError, OverloadedError, ScoringError

Query = TypeVar("Query")
Answer = TypeVar("Answer")

MOMENT: Final = 0.02
"""Seconds for which scoring may hold up the event loop, and with it health checks and refusals."""

_FORGETTING: Final = 0.9
"""How fast a slow query is forgotten: what it took counts for so much less after each batch."""

_log = logging.getLogger(__name__)


class Scored(NamedTuple, Generic[Answer]):
    """An answer and what it took."""

    answer: Answer
    queue_seconds: float
    score_seconds: float


Report = Callable[[Sequence[float], float], None]
"""Is told after each batch how long each request waited, and how long scoring took, in seconds."""

TellLength = Callable[[int], object]
"""Is told how many requests wait, whenever that changes."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Query, Answer]):
    """A request in the queue."""

    query: Query
    future: asyncio.Future[Scored[Answer]]
    arrived: float
    gone: Callable[[], bool]


class BatchingScorer(Generic[Query, Answer]):
    """A bounded queue in front of a function that scores many queries at once.

    All its state belongs to the event loop. Batches are scored one at a time, by the loop where `moment` seconds are
    expected to suffice, else on the executor.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Query]], Sequence[Answer]],
        executor: Executor,
        *,
        capacity: int,
        batch_limit: int,
        report: Report,
        tell_length: TellLength = lambda _: None,
        moment: float = MOMENT,
        effort: Callable[[Query], float] = lambda _: 1,
    ) -> None:
        """`effort` says how much more work a query is than another, roughly."""
        self._score = score
        self._executor = executor
        self._capacity = capacity
        self._batch_limit = batch_limit
        self._report = report
        self._tell_length = tell_length
        self._queue: deque[_Waiting[Query, Answer]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._moment = moment
        self._effort = effort
        self._effort_seconds = moment
        """What a query is expected to take at most for each unit of effort; nothing is known of the first."""

    @property
    def waiting(self) -> int:
        """Return how many requests are in the queue, those being scored not counted."""
        return len(self._queue)

    async def submit(self, query: Query, gone: Callable[[], bool]) -> Scored[Answer]:
        """Return the answer to a query.

        `gone` says whether the caller has hung up; it is asked once, just before scoring. OverloadedError when the
        queue is full, ClientGoneError when the caller has gone, ScoringError when this very query cannot be scored.
        """
        if len(self._queue) >= self._capacity:
            raise OverloadedError(f"{self._capacity} requests are waiting already; try again")
        waiting = _Waiting(query, asyncio.get_running_loop().create_future(), perf_counter(), gone)
        self._queue.append(waiting)
        self._tell_length(len(self._queue))
        if self._worker is None:
            # The task begins in the loop's next turn, so requests that were read in this one join the batch.
            self._worker = asyncio.create_task(self._work())
        return await waiting.future

    async def _work(self) -> None:
        """Score batch after batch until nobody waits."""
        try:
            while batch := self._next_batch():
                try:
                    await self._answer(batch)
                except Exception as cause:  # noqa: BLE001 - whatever went wrong, nobody must wait for ever
                    _log.exception("a batch was not answered")
                    _fail(batch, cause)
                if self._queue:
                    await asyncio.sleep(0)  # whoever else needs the loop comes first
        finally:
            self._worker = None

    def _next_batch(self) -> list[_Waiting[Query, Answer]]:
        """Take from the queue those who still want an answer."""
        batch: list[_Waiting[Query, Answer]] = []
        while self._queue and len(batch) < self._batch_limit:
            waiting = self._queue.popleft()
            if waiting.future.done():
                continue
            if self._has_gone(waiting):
                waiting.future.set_exception(ClientGoneError("the caller hung up"))
            else:
                batch.append(waiting)
        self._tell_length(len(self._queue))
        return batch

    def _has_gone(self, waiting: _Waiting[Query, Answer]) -> bool:
        try:
            return waiting.gone()
        except Exception:  # noqa: BLE001 - one odd request must not take its neighbours down
            _log.exception("a request does not say whether its caller is there; it is answered")
            return False

    async def _answer(self, batch: list[_Waiting[Query, Answer]]) -> None:
        begun = perf_counter()
        queries = [waiting.query for waiting in batch]
        effort = sum(map(self._effort, queries))
        if effort * self._effort_seconds < self._moment:
            outcomes, busy = self._timed_outcomes(queries)
        else:
            loop = asyncio.get_running_loop()
            outcomes, busy = await loop.run_in_executor(self._executor, self._timed_outcomes, queries)
        self._effort_seconds = max(busy / effort, self._effort_seconds * _FORGETTING)
        seconds = perf_counter() - begun
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.future.done():
                continue
            if isinstance(outcome, ScoringError):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(Scored(outcome, begun - waiting.arrived, seconds))
        self._report([begun - waiting.arrived for waiting in batch], seconds)

    def _timed_outcomes(self, queries: Sequence[Query]) -> tuple[Sequence[Answer | ScoringError], float]:
        """Return the outcomes and the seconds that this thread worked on them; waiting for its turn does not count."""
        begun = thread_time()
        outcomes = self._outcomes(queries)
        return outcomes, thread_time() - begun

    def _outcomes(self, queries: Sequence[Query]) -> Sequence[Answer | ScoringError]:
        """Return an answer or an error a query; one that fails a batch fails alone."""
        try:
            return self._score(queries)
        except Exception as cause:  # noqa: BLE001 - whatever a model raises must reach its own caller and no other
            if len(queries) > 1:
                return [outcome for query in queries for outcome in self._outcomes([query])]
            _log.exception("a query could not be scored")
            error = ScoringError("the model failed to score this request")
            error.__cause__ = cause
            return [error]


def _fail(batch: Sequence[_Waiting[Query, Answer]], cause: Exception) -> None:
    """Give an error to every request of a batch that has no answer yet: none waits for ever."""
    for waiting in batch:
        if not waiting.future.done():
            error = ScoringError("the request could not be scored")
            error.__cause__ = cause
            waiting.future.set_exception(error)
