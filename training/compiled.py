"""How every kernel of training is compiled: once for a machine, in parallel, and without hiding NaN."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import numba
import scipy.linalg.cython_blas  # noqa: F401, numba's np.dot calls it; loaded before its threads are limited
from threadpoolctl import ThreadpoolController

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

ONE_BLAS_THREAD: Final = ThreadpoolController()
"""`with ONE_BLAS_THREAD.limit(limits=1)`: kernels call BLAS from all their threads, each call stays in its own."""

_FAST: Final = {"arcp", "contract", "nsz", "reassoc"}
"""What lets sums use the vector units. `nnan` and `ninf` stay out: a NaN has to reach the loss to be seen."""


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function that other kernels call."""
    return numba.njit(cache=True, fastmath=_FAST, error_model="numpy")(function)


def compiled_parallel(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile with `numba.prange` over blocks; a block does the same sums whatever the number of threads."""
    return numba.njit(cache=True, fastmath=_FAST, error_model="numpy", parallel=True)(function)
