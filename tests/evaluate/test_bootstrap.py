"""Intervals that hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from training.bootstrap import differences, estimates, share_of


def test_the_interval_is_that_of_theory_where_there_is_a_theory() -> None:
    column = np.random.default_rng(3).normal(5, 2, size=400)

    estimate = estimates({"figure": column}, seed=0)["figure"]

    low, high = stats.t.interval(0.95, 399, loc=column.mean(), scale=stats.sem(column))
    assert estimate.mean == pytest.approx(column.mean())
    assert estimate.sd == pytest.approx(column.std(ddof=1))
    assert [estimate.low, estimate.high] == pytest.approx([low, high], abs=0.03)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    samples = np.random.default_rng(0).exponential(1.0, size=(60, 500))

    found = estimates({str(place): column for place, column in enumerate(samples.T)}, seed=1)

    assert 0.90 < np.mean([estimate.low <= 1.0 <= estimate.high for estimate in found.values()]) < 0.98


def test_the_same_seed_gives_the_same_interval_and_another_does_not() -> None:
    columns = {"figure": np.random.default_rng(0).random(30)}

    assert estimates(columns, seed=1) == estimates(columns, seed=1)
    assert estimates(columns, seed=1) != estimates(columns, seed=2)


def test_entries_that_do_not_apply_count_for_nothing() -> None:
    column = np.array([1.0, np.nan, 3.0])

    estimate = estimates({"figure": column, "nothing": np.full(3, np.nan)}, seed=0)

    assert list(estimate) == ["figure"]
    assert (estimate["figure"].mean, estimate["figure"].n) == (2.0, 2)


def test_a_single_group_has_neither_a_spread_nor_an_interval() -> None:
    one, none = np.array([0.4]), np.array([0.1])

    estimate = estimates({"figure": one}, seed=0)["figure"]
    gap = differences({"figure": one}, {"figure": none}, seed=0)["figure"]
    share = share_of(none, one, seed=0)

    assert (estimate.mean, estimate.sd, estimate.low, estimate.high, estimate.half) == (0.4, None, None, None, None)
    assert (gap.mean, gap.low, gap.high, gap.t) == (pytest.approx(0.3), None, None, None)
    assert (share.mean, share.low, share.high) == (pytest.approx(0.25), None, None)
    assert estimate.ends == (0.4, 0.4)


@pytest.mark.parametrize(
    ("gaps", "clear"),
    [
        ([0.3], False),  # no t
        ([0.1, 0.3], False),  # t = .2 / .1 = 2, p = .30, though every resample is above 0
        ([0.1, 0.2, 0.3], False),  # t = .2 / .058 = 3.5, p = .074
        ([0.2, 0.2, 0.2], False),  # no t, as nothing varies
        ([0.1, 0.2, 0.3, 0.4, 0.5], True),  # t = .3 / .071 = 4.2, p = .013
    ],
)
def test_a_few_differences_of_one_sign_are_no_clear_lead(gaps: list[float], clear: bool) -> None:
    ours = {"figure": np.array(gaps)}

    assert differences(ours, {"figure": np.zeros(len(gaps))}, seed=0)["figure"].clear is clear


def test_a_small_steady_lead_is_seen_because_the_comparison_is_paired() -> None:
    hard_or_easy = np.random.default_rng(0).random(200)
    lead = np.tile([0.009, 0.011], 100)
    ours, theirs = {"ndcg@10": hard_or_easy + lead}, {"ndcg@10": hard_or_easy}

    apart = [estimates(side, seed=0)["ndcg@10"] for side in (ours, theirs)]
    gap = differences(ours, theirs, seed=0)["ndcg@10"]

    assert apart[0].low < apart[1].high  # side by side nobody would see it
    assert gap.clear
    assert (gap.mean, gap.better, gap.worse) == (pytest.approx(0.01), 200, 0)


def test_a_model_against_itself_is_no_difference() -> None:
    side = {"ndcg@10": np.random.default_rng(0).random(20)}

    gap = differences(side, side, seed=0)["ndcg@10"]

    assert not gap.clear
    assert (gap.mean, gap.low, gap.high) == (0.0, 0.0, 0.0)


def test_an_interval_that_ends_at_0_but_for_rounding_is_not_clear() -> None:
    rng = np.random.default_rng(291)
    ours, theirs = rng.integers(0, 4, 20) / 10, rng.integers(0, 3, 20) / 10  # the low end is 1e-18

    gap = differences({"precision@10": ours}, {"precision@10": theirs}, seed=0)["precision@10"]

    assert gap.low == 0
    assert not gap.clear


def test_t_is_that_of_the_paired_test_and_missing_where_nothing_varies() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(30), rng.random(30)
    theory = stats.ttest_rel(ours, theirs)

    gap = differences({"ndcg@10": ours}, {"ndcg@10": theirs}, seed=0)["ndcg@10"]
    steady = differences({"ndcg@10": ours + 0.1}, {"ndcg@10": ours}, seed=0)["ndcg@10"]

    assert (gap.t, gap.p) == (pytest.approx(theory.statistic), pytest.approx(theory.pvalue))
    assert (steady.t, steady.p) == (None, None)


def test_a_share_is_that_of_the_means_and_its_interval_is_paired() -> None:
    whole = np.random.default_rng(0).random(200)

    half = share_of(whole / 2, whole, seed=0)
    noisy = share_of(np.random.default_rng(1).permutation(whole) / 2, whole, seed=0)

    assert (half.mean, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))  # everybody gets exactly half
    assert noisy.mean == pytest.approx(0.5)
    assert noisy.low < 0.48 < 0.52 < noisy.high
