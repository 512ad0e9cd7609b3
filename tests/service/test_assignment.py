import json
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from service.experiments.assignment import uniform, unit_of, variant_of
from service.experiments.config import Experiment, Variant

UNITS = [f"group:{number}" for number in range(100_000)]
CASES = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))


def experiment(shares: dict[str, float], salt: str = "salt") -> Experiment:
    variants = tuple(Variant(name=name, model="m", strategy="s", share=share) for name, share in shares.items())
    return Experiment(name="test", salt=salt, variants=variants)


def assigned(shares: dict[str, float], salt: str = "salt", units: list[str] = UNITS) -> list[str]:
    test = experiment(shares, salt)
    return [variant_of(test, unit).name for unit in units]


@pytest.mark.parametrize("case", CASES["uniform"], ids=lambda case: case["unit"])
def test_other_implementations_draw_the_same_number(case: dict) -> None:
    assert uniform(case["salt"], case["unit"], case["variant"]) == case["h"]


@pytest.mark.parametrize("case", CASES["variant"], ids=lambda case: f"{case['unit']} {case['shares']}")
def test_other_implementations_choose_the_same_variant(case: dict) -> None:
    assert variant_of(experiment(case["shares"], case["salt"]), case["unit"]).name == case["variant"]


@pytest.mark.parametrize("shares", [{"a": 0.5, "b": 0.5}, {"a": 0.9, "b": 0.07, "c": 0.03}], ids=str)
def test_shares_hold_over_100_000_units(shares: dict[str, float]) -> None:
    counts = Counter(assigned(shares))

    expected = [share * len(UNITS) for share in shares.values()]
    assert chisquare([counts[name] for name in shares], expected).pvalue > 0.001


def test_two_experiments_on_the_same_groups_are_independent() -> None:
    first, second = assigned({"a": 0.5, "b": 0.5}, "salt-1"), assigned({"a": 0.3, "b": 0.7}, "salt-2")

    table = Counter(zip(first, second, strict=True))
    assert chi2_contingency([[table[one, other] for other in "ab"] for one in "ab"]).pvalue > 0.001


def test_of_two_variants_only_the_difference_moves() -> None:
    moves = Counter(zip(assigned({"a": 0.5, "b": 0.5}), assigned({"a": 0.6, "b": 0.4}), strict=True))

    assert moves["a", "b"] == 0
    assert moves["b", "a"] == pytest.approx(10_000, abs=400)  # four standard errors


def test_a_new_variant_takes_its_share_and_moves_nobody_else() -> None:
    before, after = assigned({"a": 0.5, "b": 0.5}), assigned({"a": 0.4, "b": 0.4, "c": 0.2})

    assert {new for old, new in zip(before, after, strict=True) if new != old} == {"c"}


def test_a_closed_variant_gets_nobody() -> None:
    assert "b" not in assigned({"a": 1.0, "b": 0.0})


def shares_of(weights: list[int]) -> dict[str, float]:
    return {name: weight / sum(weights) for name, weight in zip("abc", weights, strict=True)}


weights = st.lists(st.integers(1, 20), min_size=3, max_size=3)


@given(weights, weights)
def test_a_unit_only_moves_to_a_variant_that_grew_against_its_own(old: list[int], new: list[int]) -> None:
    before, after = shares_of(old), shares_of(new)
    units = UNITS[:200]

    moves = set(zip(assigned(before, units=units), assigned(after, units=units), strict=True))

    for left, joined in product("abc", repeat=2):
        if left != joined and (left, joined) in moves:
            assert after[joined] / after[left] > before[joined] / before[left]


ids = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1)


@given(ids, ids)
def test_different_sets_of_members_are_different_units(some: list[str], others: list[str]) -> None:
    assert (unit_of(None, some, some, [], 0) == unit_of(None, others, others, [], 0)) == (set(some) == set(others))


def test_the_unit_is_the_first_thing_that_says_who_is_there() -> None:
    assert unit_of("trip", ["b", "a"], ["b", "a", "x"], ["t"], 1) == "group:trip"
    assert unit_of(None, ["b", "a"], ["b", "a", "x"], ["t"], 1) == 'members:["a","b"]'
    assert unit_of(None, [], ["x", "w"], ["t"], 1) == 'strangers:["w","x"]'
    assert unit_of(None, [], [], ["t", "s"], 1) == 'tracks:["s","t"]'
    assert unit_of(None, [], [], [], 1) == "seed:1"
