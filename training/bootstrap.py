"""How sure a mean is, and a difference of two: percentile bootstrap (Efron 1979) over users or groups.

Everything drawn with the same seed over the same users or groups is resampled alike, so comparisons are paired.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import t as student

from training.metrics import Column

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95

ACCIDENT: Final = 0.05
"""A difference is clear only where so large a t is less likely than this where there is none."""

_TAILS: Final = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)

_DRAWS_AT_ONCE: Final = 4_000_000

_ROUNDING: Final = 1e-12
"""A spread so much smaller than the mean is that of rounding, and so is a difference so small."""


class Interval(BaseModel):
    """A figure of users or groups and how far it may be off."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float | None
    """Lower end of the 95 % interval of the mean; None for a single user or group, which says nothing of others."""
    high: float | None

    @property
    def half(self) -> float | None:
        """Return half of what the interval measures, None where there is none."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def ends(self) -> tuple[float, float]:
        """Return both ends of the interval, the mean itself where there is none: how far a figure is drawn."""
        return (self.mean, self.mean) if self.low is None or self.high is None else (self.low, self.high)


class Estimate(Interval):
    """A mean over users or groups."""

    sd: float | None
    """Sample standard deviation of the users or groups themselves, None for a single one."""
    n: int
    """Users or groups that the figure applies to."""


class Difference(Interval):
    """A mean minus another over the same users or groups."""

    better: int
    """Users or groups with the higher figure on the first side."""
    worse: int
    n: int
    t: float | None
    """Of the paired t test, mean over its standard error; None where the gaps are all alike and it says nothing."""
    p: float | None
    """Two-sided, how likely so large a t is by accident (Student 1908)."""

    @property
    def clear(self) -> bool:
        """Return whether the interval leaves no doubt about the sign, and neither does the t test.

        The interval alone would be sure of two or three differences of one sign: all resamples of them have it, too.
        """
        low, high = self.ends
        return self.p is not None and self.p < ACCIDENT and (low > 0 or high < 0)


class Share(Interval):
    """A mean as a share of another over the same users or groups."""


def estimates(columns: Mapping[str, Column], seed: int) -> dict[str, Estimate]:
    """Return the estimate of every column that applies to anybody; all columns have one entry a user or group."""
    tables = {name: column for name, column in columns.items() if not np.isnan(column).all()}
    if not tables:
        return {}
    values = np.stack(list(tables.values()), axis=1)
    low, high = mean_intervals(values, seed)
    return {
        name: _estimate(column[~np.isnan(column)], (float(low[place]), float(high[place])))
        for place, (name, column) in enumerate(tables.items())
    }


def _estimate(column: Column, interval: tuple[float, float]) -> Estimate:
    low, high = _interval(interval, len(column))
    sd = float(column.std(ddof=1)) if len(column) > 1 else None
    return Estimate(mean=float(column.mean()), low=low, high=high, sd=sd, n=len(column))


def _interval(interval: tuple[float, float], n: int) -> tuple[float, float] | tuple[None, None]:
    """Return an interval over n users or groups; of a single one all resamples are alike, which is no certainty."""
    return interval if n > 1 else (None, None)


def differences(first: Mapping[str, Column], second: Mapping[str, Column], seed: int) -> dict[str, Difference]:
    """Return first minus second for every column that both have and that applies to anybody on both sides."""
    gaps = {name: column - second[name] for name, column in first.items() if name in second}
    gaps = {name: gap for name, gap in gaps.items() if not np.isnan(gap).all()}
    if not gaps:
        return {}
    ends = mean_intervals(np.stack(list(gaps.values()), axis=1), seed)
    # Many resamples of small groups come to 0 but for rounding, whose sign must not make a difference clear.
    low, high = (np.where(np.abs(end) < _ROUNDING, 0, end) for end in ends)
    return {
        name: _difference(gap[~np.isnan(gap)], (float(low[place]), float(high[place])))
        for place, (name, gap) in enumerate(gaps.items())
    }


def _difference(gap: Column, interval: tuple[float, float]) -> Difference:
    low, high = _interval(interval, len(gap))
    better, worse = int((gap > 0).sum()), int((gap < 0).sum())
    t, p = paired_t(gap)
    return Difference(mean=float(gap.mean()), low=low, high=high, better=better, worse=worse, n=len(gap), t=t, p=p)


def paired_t(gap: Column) -> tuple[float | None, float | None]:
    """Return t and its two-sided p value for differences (n,), None where they do not vary."""
    mean, spread = float(gap.mean()), float(gap.std(ddof=1)) if len(gap) > 1 else 0.0
    if spread <= _ROUNDING * abs(mean):
        return None, None
    t = mean / (spread / sqrt(len(gap)))
    return t, float(2 * student.sf(abs(t), len(gap) - 1))


def share_of(part: Column, whole: Column, seed: int) -> Share:
    """Return the mean of `part` over the mean of `whole`, (n,) each without NaN, the whole above 0."""
    means = _resampled_means(np.stack([part, whole], axis=1), seed)
    shares = np.divide(means[:, 0], means[:, 1], out=np.full(len(means), np.nan), where=means[:, 1] > 0)
    first, last = np.nanquantile(shares, _TAILS)
    low, high = _interval((float(first), float(last)), len(part))
    return Share(mean=float(part.mean() / whole.mean()), low=low, high=high)


def mean_intervals(values: NDArray[np.float64], seed: int) -> tuple[Column, Column]:
    """Return both ends (columns,) of the interval of each column's mean; values (n, columns), NaN left out."""
    low, high = np.nanquantile(_resampled_means(values, seed), _TAILS, axis=0)
    return low, high


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the means (resamples, columns) of values (n, columns), NaN left out, NaN where nothing is drawn."""
    rng = np.random.default_rng(seed)
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    n = len(values)
    at_once = max(1, _DRAWS_AT_ONCE // n)
    parts = []
    for start in range(0, RESAMPLES, at_once):
        times = _times_drawn(rng, min(at_once, RESAMPLES - start), n)
        counts = np.full((len(times), values.shape[1]), float(n)) if present.all() else times @ present
        parts.append(np.divide(times @ filled, counts, out=np.full(counts.shape, np.nan), where=counts > 0))
    return np.concatenate(parts)


def _times_drawn(rng: np.random.Generator, resamples: int, n: int) -> NDArray[np.float64]:
    """Return how often each of n entries comes up when n are drawn with replacement, (resamples, n)."""
    drawn = rng.integers(n, size=(resamples, n)) + np.arange(resamples)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)
