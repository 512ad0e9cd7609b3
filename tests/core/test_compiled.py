"""The compiled loops against their slower twins, and against what they must refuse."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.core import compiled
from service.core.calibration import Calibration
from service.core.products import CompiledProducts, TorchProducts
from service.core.race import highest_gain, race
from service.core.ranking import highest, top_k
from tests.core import slow

OFFSET = 1 / 60

pytestmark = pytest.mark.skipif(not compiled.BUILT, reason="NOT TESTED: the compiled loops, which were not built here")


@contextmanager
def plain() -> Iterator[None]:
    """As on a machine without a compiler."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "BUILT", False)
        yield


def factors(seed: int, rows: int, dim: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32))


sizes = {
    "seed": st.integers(0, 10**6),
    "tracks": st.sampled_from([1, 31, 32, 33, 500]),
    "dim": st.sampled_from([1, 7, 32]),
}


@given(**sizes, listeners=st.integers(1, 50))
def test_scores_are_dot_products(seed: int, tracks: int, dim: int, listeners: int) -> None:
    items, vectors = factors(seed, tracks, dim), factors(seed + 1, listeners, dim)

    scores = CompiledProducts(items).scores(vectors)

    assert scores.numpy() == pytest.approx((vectors.double() @ items.double().T).numpy(), abs=1e-4)


@given(**sizes, listeners=st.integers(1, 13))
def test_a_score_is_the_same_number_alone_in_company_and_for_a_track_of_its_own(
    seed: int, tracks: int, dim: int, listeners: int
) -> None:
    items, vectors = factors(seed, tracks, dim), factors(seed + 1, listeners, dim)
    products = CompiledProducts(items)
    rows = torch.from_numpy(np.random.default_rng(seed).integers(0, tracks, (1, 40)))

    together = products.scores(vectors)

    assert torch.equal(together[-1:], products.scores(vectors[-1:]))
    assert torch.equal(together[:, rows[0]], products.scores_of(vectors[None], rows)[0])


@given(**sizes, groups=st.integers(1, 3), members=st.integers(1, 14), power=st.integers(1, 4))
def test_sums_of_powers_are_those_of_torch(
    seed: int, tracks: int, dim: int, groups: int, members: int, power: int
) -> None:
    items, vectors = factors(seed, tracks, dim), factors(seed + 1, groups * members, dim).view(groups, members, dim)
    floors, weights = factors(seed + 2, groups, members), factors(seed + 3, groups, members).abs()

    sums = CompiledProducts(items).sums_of_powers(vectors, floors, weights, power)

    expected = TorchProducts(items.double()).sums_of_powers(vectors.double(), floors.double(), weights.double(), power)
    assert sums.numpy() == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-3)


@given(
    seed=st.integers(0, 10**6),
    columns=st.sampled_from([1, 7, 31, 33, 500, 5000]),
    k=st.integers(1, 120),
    levels=st.sampled_from([1, 3, 50, 10**6]),
    barred=st.sampled_from([0, 0.3, 1]),
)
def test_the_best_are_those_that_sorting_finds(seed: int, columns: int, k: int, levels: int, barred: float) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, (2, columns)).astype(np.float32)
    scores[random.uniform(size=scores.shape) < barred] = -np.inf
    asked = torch.from_numpy(scores)

    values, rows = top_k(asked, k)
    found, least = highest(asked, k)
    with plain():
        plainly, plain_least = highest(asked, k)

    assert rows.tolist() == [slow.best_first(line, k) for line in scores.tolist()]
    assert values.tolist() == np.take_along_axis(scores, rows.numpy(), axis=1).tolist()
    assert found.tolist() == plainly.tolist()
    assert least.tolist() == plain_least.tolist() == values[:, -1].tolist()


@given(
    seed=st.integers(0, 10**6),
    members=st.integers(1, 8),
    tracks=st.integers(1, 60),
    k=st.integers(1, 40),
    weighted=st.booleans(),
    heard=st.booleans(),
)
def test_the_race_ends_as_the_one_that_looks_at_every_track_in_every_step(
    seed: int, members: int, tracks: int, k: int, weighted: bool, heard: bool
) -> None:
    random = np.random.default_rng(seed)
    values = random.uniform(size=(2, members, tracks)) ** 3 / 10
    weights = random.uniform(0.2, 3, (2, members)) if weighted else np.ones((2, members))
    had = random.uniform(size=(2, members)) if heard else np.zeros((2, members))
    closed = random.uniform(size=(2, tracks)) < 0.2

    places, won, shares = race(values, weights, had, closed, k, OFFSET)
    with plain():
        expected = race(values, weights, had, closed, k, OFFSET)

    assert places.tolist() == expected[0].tolist()
    assert won == pytest.approx(expected[1])
    left = np.isfinite(won)  # what follows the end of a list is of no account
    assert shares[left] == pytest.approx(expected[2][left])


def test_of_tracks_that_gain_alike_the_first_wins() -> None:
    values = np.array([[[0.1, 0.3, 0.3, 0.3], [0.3, 0.1, 0.1, 0.1]]])

    for weights in ([[1.0, 1.0]], [[1.0, 1.5]]):
        places, _, _ = race(values, np.array(weights), np.zeros((1, 2)), np.zeros((1, 4), bool), 4, OFFSET)
        assert [place for place in places[0].tolist() if place] == [1, 2, 3]


@given(seed=st.integers(0, 10**6), members=st.integers(1, 8), steps=st.integers(1, 5))
def test_the_bound_is_that_of_numpy(seed: int, members: int, steps: int) -> None:
    random = np.random.default_rng(seed)
    tau, caps, weights = random.uniform(-0.1, 0.5, 2), random.uniform(size=(2, members)), random.uniform(0.1, 3, 2)
    shares = random.uniform(size=(2, steps, members)) ** 4

    bound = highest_gain(tau, caps, np.tile(weights[:, None], members), shares, OFFSET)
    with plain():
        expected = highest_gain(tau, caps, np.tile(weights[:, None], members), shares, OFFSET)

    assert bound == pytest.approx(expected)


@given(seed=st.integers(0, 10**6), tracks=st.sampled_from([1, 2, 40, 3000]), levels=st.sampled_from([1, 3, 10**6]))
def test_percentiles_are_those_of_numpy(seed: int, tracks: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, (3, tracks)).astype(np.float32)
    asked = np.concatenate([scores[:, :20], random.uniform(-1, levels + 1, (3, 20)).astype(np.float32)], axis=1)
    calibration = Calibration.measure(torch.from_numpy(scores))

    percentiles = calibration.percentiles(asked)
    with plain():
        expected = calibration.percentiles(asked)

    assert percentiles.tolist() == expected.tolist()


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    items = compiled.ItemFactors(np.ones((40, 3), dtype=np.float32))

    with pytest.raises(ValueError, match="array 1 has 16 bytes, not 12"):
        items.scores(np.ones((1, 4), dtype=np.float32))
    with pytest.raises(IndexError, match="no track row 40"):
        items.scores_of(np.ones((1, 1, 3), dtype=np.float32), np.array([[39, 40]]))
    with pytest.raises(ValueError, match="array 0 has 16 bytes, not 32"):
        compiled.race(np.ones((1, 1, 4), np.float32), np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 4), bool), 1, 1.0)  # type: ignore[arg-type]  # on purpose
