"""Small worlds are solved by one thread: waking a second costs more than they do."""

from collections.abc import Iterator

import numba
import pytest


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[int]:
    """Limit a test to one thread; the value is how many there were."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield threads
    numba.set_num_threads(threads)
