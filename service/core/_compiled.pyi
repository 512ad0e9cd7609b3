from collections.abc import Callable

from numpy import bool_, float32, float64, int32, int64
from numpy.typing import NDArray

def scores(
    blocks: NDArray[float32], vectors: NDArray[float32], out: NDArray[float32], tracks: int, dim: int, rows: int, /
) -> None: ...
def scores_of(
    items: NDArray[float32],
    low: NDArray[float32],
    scale: NDArray[float32],
    vectors: NDArray[float32],
    rows: NDArray[int64],
    out: NDArray[float32],
    tracks: int,
    dim: int,
    groups: int,
    members: int,
    count: int,
    /,
) -> None: ...
def highest(
    scores: NDArray[float32],
    columns: NDArray[int64],
    values: NDArray[float32],
    rows: int,
    n: int,
    k: int,
    best_first: bool,
    /,
) -> None: ...
def contenders(
    items: NDArray[float32],
    blocks: NDArray[float32],
    vectors: NDArray[float32],
    low: NDArray[float32],
    scale: NDArray[float32],
    factors: NDArray[float64],
    allowed: NDArray[bool_] | NDArray[float32],
    rows: NDArray[int64],
    votes: NDArray[float32],
    tau: NDArray[float64],
    tracks: int,
    dim: int,
    groups: int,
    members: int,
    count: int,
    power: int,
    /,
) -> None: ...
def race(
    rows: NDArray[int64],
    votes: NDArray[float32],
    tau: NDArray[float64],
    weights: NDArray[float64],
    worth: NDArray[float64],
    had: NDArray[float64],
    levels: NDArray[float64],
    picks: NDArray[int64],
    in_doubt: NDArray[bool_],
    shut: NDArray[bool_] | NDArray[float32],
    take: Callable[[int, int], None] | None,
    groups: int,
    members: int,
    tracks: int,
    count: int,
    k: int,
    power: int,
    offset: float,
    rounding: float,
    /,
) -> None: ...
def ideals(
    table: NDArray[float32],
    low: NDArray[float32],
    scale: NDArray[float32],
    sums: NDArray[float64],
    users: int,
    kept: int,
    best: int,
    power: int,
    /,
) -> None: ...
def percentiles(
    table: NDArray[float32],
    ranks: NDArray[int32],
    low: NDArray[float32],
    scale: NDArray[float32],
    asked: NDArray[float32],
    out: NDArray[float32],
    users: int,
    kept: int,
    n: int,
    /,
) -> None: ...
