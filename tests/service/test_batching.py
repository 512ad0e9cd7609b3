import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.batching import BatchingScorer, Scored
from service.core.errors import ClientGoneError, OverloadedError, ScoringError


class Doubler:
    """A model that doubles numbers, one batch each time it is let through; a 13 breaks it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.reports: list[int] = []
        self._through = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)

    def __call__(self, queries: Sequence[int]) -> list[int]:
        self.batches.append(list(queries))
        self.entered.release()
        self._through.acquire()
        if 13 in queries:
            raise ZeroDivisionError
        return [2 * query for query in queries]

    def let_through(self, batches: int = 100) -> None:
        self._through.release(batches)

    async def is_scoring(self) -> None:
        await asyncio.to_thread(self.entered.acquire)


def present() -> bool:
    return False


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
async def model() -> AsyncIterator[Doubler]:
    model = Doubler()
    yield model
    model.let_through()


@pytest.fixture
def scorer(model: Doubler, executor: ThreadPoolExecutor) -> BatchingScorer[int, int]:
    def report(queue_seconds: Sequence[float], score_seconds: float) -> None:
        model.reports.append(len(queue_seconds))

    return BatchingScorer(model, executor, capacity=4, batch_limit=3, report=report)


def ask(scorer: BatchingScorer[int, int], *queries: int) -> list[asyncio.Task[Scored[int]]]:
    return [asyncio.create_task(scorer.submit(query, present)) for query in queries]


async def test_a_lone_request_is_scored_alone_and_at_once(model: Doubler, scorer: BatchingScorer[int, int]) -> None:
    model.let_through()

    assert (await scorer.submit(4, present)).answer == 8
    assert model.batches == [[4]]


async def test_who_arrives_meanwhile_forms_the_next_batch(model: Doubler, scorer: BatchingScorer[int, int]) -> None:
    first = ask(scorer, 1)
    await model.is_scoring()
    later = ask(scorer, 2, 3)
    await asyncio.sleep(0)
    model.let_through()

    answers = await asyncio.gather(*first, *later)

    assert [each.answer for each in answers] == [2, 4, 6]
    assert model.batches == [[1], [2, 3]]
    assert answers[1].queue_seconds > answers[0].queue_seconds


async def test_who_arrives_in_the_same_turn_of_the_loop_is_scored_together(
    model: Doubler, scorer: BatchingScorer[int, int]
) -> None:
    model.let_through()

    await asyncio.gather(*ask(scorer, 1, 2, 3))

    assert model.batches == [[1, 2, 3]]
    assert model.reports == [3]


async def test_no_batch_is_larger_than_the_limit(model: Doubler, scorer: BatchingScorer[int, int]) -> None:
    model.let_through()

    await asyncio.gather(*ask(scorer, 1, 2, 3, 4))

    assert model.batches == [[1, 2, 3], [4]]


async def test_a_full_queue_refuses_and_recovers(model: Doubler, scorer: BatchingScorer[int, int]) -> None:
    scored = ask(scorer, 1)
    await model.is_scoring()
    waiting = ask(scorer, 2, 3, 4, 5)
    await asyncio.sleep(0)

    with pytest.raises(OverloadedError):
        await scorer.submit(6, present)

    model.let_through()
    await asyncio.gather(*scored, *waiting)
    assert (await scorer.submit(7, present)).answer == 14


async def test_a_client_that_has_gone_is_not_scored(model: Doubler, scorer: BatchingScorer[int, int]) -> None:
    first = ask(scorer, 1)
    await model.is_scoring()
    left = asyncio.create_task(scorer.submit(2, lambda: True))
    stayed = ask(scorer, 3)
    await asyncio.sleep(0)
    model.let_through()

    with pytest.raises(ClientGoneError):
        await left
    await asyncio.gather(*first, *stayed)
    assert model.batches == [[1], [3]]


async def test_a_cancelled_request_is_not_scored(model: Doubler, scorer: BatchingScorer[int, int]) -> None:
    first = ask(scorer, 1)
    await model.is_scoring()
    cancelled, stayed = ask(scorer, 2, 3)
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    model.let_through()

    await asyncio.gather(*first, stayed)
    assert model.batches == [[1], [3]]


async def test_a_request_cancelled_while_it_is_scored_harms_nobody(
    model: Doubler, scorer: BatchingScorer[int, int]
) -> None:
    cancelled, stayed = ask(scorer, 1, 2)
    await model.is_scoring()
    cancelled.cancel()
    model.let_through()

    assert (await stayed).answer == 4


async def test_a_query_that_breaks_the_model_fails_alone(model: Doubler, scorer: BatchingScorer[int, int]) -> None:
    model.let_through()

    good, poison, fine = await asyncio.gather(*ask(scorer, 1, 13, 2), return_exceptions=True)

    assert isinstance(good, Scored)
    assert isinstance(fine, Scored)
    assert (good.answer, fine.answer) == (2, 4)
    assert isinstance(poison, ScoringError)
    assert isinstance(poison.__cause__, ZeroDivisionError)
    assert (await scorer.submit(5, present)).answer == 10


async def test_a_report_that_fails_leaves_nobody_waiting(executor: ThreadPoolExecutor) -> None:
    def report(queue_seconds: Sequence[float], score_seconds: float) -> None:
        raise OSError("disk full")

    scorer = BatchingScorer(lambda queries: list(queries), executor, capacity=9, batch_limit=1, report=report)

    answers = await asyncio.wait_for(asyncio.gather(*(scorer.submit(n, present) for n in range(3))), 10)

    assert [each.answer for each in answers] == [0, 1, 2]


async def test_a_caller_who_does_not_say_whether_they_are_there_is_answered(executor: ThreadPoolExecutor) -> None:
    def broken() -> bool:
        raise RuntimeError

    scorer = BatchingScorer(lambda queries: list(queries), executor, capacity=9, batch_limit=9, report=lambda *_: None)

    answers = await asyncio.wait_for(
        asyncio.gather(scorer.submit(1, present), scorer.submit(2, broken), scorer.submit(3, present)), 10
    )

    assert [each.answer for each in answers] == [1, 2, 3]


async def test_an_executor_that_is_gone_is_an_error_and_not_a_wait(executor: ThreadPoolExecutor) -> None:
    scorer = BatchingScorer(lambda queries: list(queries), executor, capacity=9, batch_limit=9, report=lambda *_: None)
    executor.shutdown()

    with pytest.raises(ScoringError):
        await asyncio.wait_for(scorer.submit(1, present), 10)


async def test_what_takes_a_moment_is_scored_in_the_loop_once_that_is_known(executor: ThreadPoolExecutor) -> None:
    threads: list[int] = []

    def score(queries: Sequence[int]) -> Sequence[int]:
        threads.append(threading.get_ident())
        return queries

    scorer = BatchingScorer(score, executor, capacity=9, batch_limit=9, report=lambda *_: None)
    for query in range(3):
        await scorer.submit(query, present)

    first, second, third = threads
    assert first != threading.get_ident() == second == third


async def test_a_queue_without_a_moment_leaves_the_loop_alone(executor: ThreadPoolExecutor) -> None:
    threads: list[int] = []

    def score(queries: Sequence[int]) -> Sequence[int]:
        threads.append(threading.get_ident())
        return queries

    scorer = BatchingScorer(score, executor, capacity=9, batch_limit=9, report=lambda *_: None, moment=0)
    for query in range(3):
        await scorer.submit(query, present)

    assert threading.get_ident() not in threads


async def test_what_takes_long_never_holds_up_the_loop(executor: ThreadPoolExecutor) -> None:
    threads: list[int] = []

    def score(queries: Sequence[int]) -> Sequence[int]:
        threads.append(threading.get_ident())
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05:
            pass
        return queries

    scorer = BatchingScorer(score, executor, capacity=9, batch_limit=9, report=lambda *_: None)
    for query in range(3):
        await scorer.submit(query, present)

    assert threading.get_ident() not in threads


async def test_a_query_of_more_effort_than_those_before_is_scored_by_the_thread(executor: ThreadPoolExecutor) -> None:
    threads: list[str] = []

    def score(queries: Sequence[int]) -> list[int]:
        threads.append(threading.current_thread().name)
        return [0] * len(queries)

    scorer = BatchingScorer(
        score, executor, capacity=9, batch_limit=9, report=lambda *_: None, effort=lambda query: query
    )
    for query in (1, 1, 1_000_000):
        await scorer.submit(query, present)

    thread, loop, again = threads
    assert loop == threading.current_thread().name
    assert thread == again != loop


async def test_others_have_their_turn_between_two_batches(executor: ThreadPoolExecutor) -> None:
    scorer = BatchingScorer(lambda queries: queries, executor, capacity=9, batch_limit=1, report=lambda *_: None)
    await scorer.submit(0, present)  # it is known to be quick
    done: list[str] = []
    tasks = ask(scorer, 1, 2)
    for number, task in enumerate(tasks):
        task.add_done_callback(lambda _, number=number: done.append(f"answer {number}"))

    async def health_check() -> None:
        done.append("healthy")

    await asyncio.sleep(0)
    checks = asyncio.create_task(health_check())
    await asyncio.gather(*tasks, checks)

    assert done.index("healthy") < done.index("answer 1")
