"""A database in memory that moves to disk what goes beyond its limit, and that stops when it is told to.

DuckDB looks for Ctrl-C only between the tasks of the main thread, which in a long log are ten seconds apart. So another
thread does the work, and the main thread waits for Ctrl-C.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from service.core.errors import ConfigurationError, DataError

Result = TypeVar("Result")


class Database:
    """Connections to one database; a thread at work beside others takes a cursor of its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._cursors = [connection]

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return another connection to the database."""
        self._cursors.append(self.connection.cursor())
        return self._cursors[-1]

    def interrupt(self) -> None:
        """Stop the queries that run: each raises InterruptException."""
        for cursor in self._cursors:
            cursor.interrupt()

    def run(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns; on Ctrl-C stop its queries, and raise KeyboardInterrupt when it has ended."""
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(work)
            try:
                return running.result()
            except BaseException:
                while not running.done():  # again and again, for it may have been between two queries
                    self.interrupt()
                    wait([running], timeout=0.1)
                raise


@contextmanager
def in_order(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Have tables keep the order of what is inserted, and be read in it: a setting of the whole database."""
    connection.execute("SET preserve_insertion_order = true")
    yield
    connection.execute("SET preserve_insertion_order = false")


@contextmanager
def open_database(memory_limit: str, threads: int | None, work: Path) -> Iterator[Database]:
    """Open a database that spills below the folder `work`; `threads` None: one for each core."""
    try:
        connection = duckdb.connect(
            config={
                "memory_limit": memory_limit,
                "threads": threads or os.cpu_count() or 1,
                "temp_directory": str(work / "spilled"),
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
            }
        )
    except (duckdb.ParserException, duckdb.InvalidInputException) as error:
        raise ConfigurationError(f"memory limit {memory_limit!r}, threads {threads}: {error}") from error
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield Database(connection)
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            f"{memory_limit} of memory are too few, or {work} has no room for the rest; raise --memory-limit, "
            "lower --threads, or make room"
        ) from error
    except duckdb.IOException as error:  # files that cannot be read are named where they are read
        what = "no space left on the disk" if "No space left" in str(error) else str(error)
        raise DataError(f"{work.parent.parent} cannot be written: {what}") from error
    finally:
        connection.close()
