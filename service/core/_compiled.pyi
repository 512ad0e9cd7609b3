from numpy import bool_, float32, float64, int32, int64
from numpy.typing import NDArray

def scores(
    blocks: NDArray[float32], vectors: NDArray[float32], out: NDArray[float32], tracks: int, dim: int, rows: int, /
) -> None: ...
def sums_of_powers(
    blocks: NDArray[float32],
    vectors: NDArray[float32],
    floors: NDArray[float32],
    factors: NDArray[float32],
    out: NDArray[float32],
    tracks: int,
    dim: int,
    groups: int,
    members: int,
    power: int,
    /,
) -> None: ...
def scores_of(
    items: NDArray[float32],
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
def race(
    values: NDArray[float64],
    weights: NDArray[float64],
    had: NDArray[float64],
    closed: NDArray[bool_],
    places: NDArray[int64],
    won: NDArray[float64],
    shares: NDArray[float64],
    groups: int,
    members: int,
    tracks: int,
    k: int,
    offset: float,
    /,
) -> None: ...
def highest_gain(
    tau: NDArray[float64],
    caps: NDArray[float64],
    weights: NDArray[float64],
    shares: NDArray[float64],
    levels: NDArray[float64],
    bound: NDArray[float64],
    groups: int,
    steps: int,
    members: int,
    count: int,
    offset: float,
    /,
) -> None: ...
def percentiles(
    table: NDArray[float32],
    ranks: NDArray[int32],
    asked: NDArray[float32],
    out: NDArray[float32],
    users: int,
    kept: int,
    n: int,
    /,
) -> None: ...
