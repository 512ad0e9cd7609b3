"""The compiled loops against their slower twins, and against what they must refuse."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.core import compiled
from service.core.calibration import Calibration, calibration_ranks
from service.core.products import CompiledProducts, TorchProducts
from service.core.quota import Quota
from service.core.race import Voters, race
from service.core.ranking import NONE, Contenders, highest, top_k
from service.core.rules import Diversity, Novelty, Rules
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


@given(
    **sizes,
    groups=st.integers(1, 3),
    members=st.integers(1, 14),
    power=st.integers(1, 4),
    count=st.integers(1, 120),
    barred=st.sampled_from([0, 0.3, 1]),
)
def test_contenders_have_the_highest_sums_of_torch(
    seed: int, tracks: int, dim: int, groups: int, members: int, power: int, count: int, barred: float
) -> None:
    items, vectors = factors(seed, tracks, dim), factors(seed + 1, groups * members, dim).view(groups, members, dim)
    random, ranks = np.random.default_rng(seed), calibration_ranks(tracks)
    falling = np.linspace(2, -1, len(ranks)) * random.uniform(0.5, 2, (groups * members, 1))
    of, by_member = Calibration(ranks, falling.astype(np.float32)), random.uniform(0.1, 2, (groups, members))
    allowed = factors(seed + 2, groups, tracks) > barred if barred else None

    rows, _, tau = CompiledProducts(items).contenders(vectors, of, by_member, power, allowed, count)

    plainly = TorchProducts(items.double())
    low, scale = (torch.from_numpy(part).double().view(groups, members) for part in (of.low, of.scale))
    sums = plainly.sums_of_powers(
        vectors.double() * scale[..., None], low * scale, torch.from_numpy(by_member), power
    ).numpy()
    if allowed is not None:
        sums[~allowed.numpy()] = -np.inf
    expected = np.sort(sums, axis=1)[:, ::-1][:, : rows.shape[1]]  # near ties may be swapped, but not their sums
    found = np.where(rows < 0, -np.inf, np.take_along_axis(sums, rows.clip(min=0), axis=1))
    assert np.sort(found, axis=1)[:, ::-1] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert tau == pytest.approx(expected[:, -1], rel=1e-3, abs=1e-3)


@given(**sizes, members=st.integers(1, 14), count=st.integers(1, 120))
def test_votes_of_contenders_are_the_relevance_of_their_scores(
    seed: int, tracks: int, dim: int, members: int, count: int
) -> None:
    items, vectors = factors(seed, tracks, dim), factors(seed + 1, members, dim)
    products = CompiledProducts(items)
    scores = products.scores(vectors)
    of = Calibration.measure(scores)

    rows, votes, _ = products.contenders(vectors[None], of, np.ones((1, members)), 3, None, count)

    assert votes[0].tolist() == of.relevance(scores.clone())[:, rows[0]].tolist()
    assert products.votes_of(vectors[None], of, rows).tolist() == votes.tolist()
    assert TorchProducts(items).votes_of(vectors[None], of, rows) == pytest.approx(votes, rel=1e-2, abs=1e-2)


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
    assert [line[line != NONE].tolist() for line in found] == [line[line != NONE].tolist() for line in plainly]
    assert least.tolist() == plain_least.tolist() == values[:, -1].tolist()


@given(
    seed=st.integers(0, 10**6),
    members=st.integers(1, 8),
    tracks=st.integers(1, 60),
    k=st.integers(1, 40),
    power=st.integers(1, 4),
    weighted=st.booleans(),
    heard=st.booleans(),
    rounding=st.floats(0, 1),
)
def test_the_race_ends_as_the_one_that_looks_at_every_track_in_every_step(
    seed: int, members: int, tracks: int, k: int, power: int, weighted: bool, heard: bool, rounding: float
) -> None:
    random = np.random.default_rng(seed)
    rows = np.where(random.uniform(size=(8, tracks)) < 0.2, -1, np.arange(1000, 1000 + tracks))
    votes = random.uniform(size=(8, members, tracks)).astype(np.float32)
    tau = random.uniform(0.5, 1, 8) * np.linspace(-0.1, 1, 8)  # from no doubt at all to no winner that is sure
    voters = Voters(
        weights=random.uniform(0.2, 3, (8, members)) if weighted else np.ones((8, members)),
        worth=random.uniform(0.01, 0.2, (8, members)),
        had=random.uniform(size=(8, members)) if heard else np.zeros((8, members)),
    )

    picks, in_doubt = race(Contenders(rows, votes, tau), voters, power, k, OFFSET, rounding)
    with plain():
        expected = race(Contenders(rows, votes, tau), voters, power, k, OFFSET, rounding)

    assert picks.tolist() == expected[0].tolist()
    assert in_doubt.tolist() == expected[1].tolist()


@given(
    seed=st.integers(0, 10**6),
    members=st.integers(1, 4),
    k=st.integers(1, 30),
    weighted=st.booleans(),
    most=st.sampled_from([None, 1, 3]),
    novelty=st.sampled_from([0.0, 0.3, 1.0]),
    diversity=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_the_race_keeps_to_rules_as_its_twin_does(
    seed: int, members: int, k: int, weighted: bool, most: int | None, novelty: float, diversity: float
) -> None:
    random, tracks = np.random.default_rng(seed), 40
    artists, heard = random.integers(-1, 6, 100).astype(np.int32), random.uniform(size=100) < 0.5
    alike = random.integers(0, 100, (100, 4))
    begun = tuple(random.choice(100, 3, replace=False).tolist())
    rules = Rules(
        None if most is None else Quota(artists, most),
        Novelty(novelty, heard) if novelty else None,
        Diversity(diversity, lambda row: alike[row], most_near=4) if diversity else None,
        begun,
    )
    rows = np.sort([random.choice(100, tracks, replace=False) for _ in range(5)])
    rows[4, 30:] = -1
    votes = (random.uniform(size=(5, members, tracks)) * (random.uniform(size=(5, 1, tracks)) < 0.8)).astype(np.float32)
    weights = random.uniform(0.2, 3, (5, members)) if weighted else np.ones((5, members))
    voters = Voters(weights, worth=np.full((5, members), 0.1), had=np.zeros((5, members)))
    contenders = Contenders(rows, votes, np.zeros(5))

    picks, in_doubt = race(contenders, voters, 3, k, OFFSET, 0.0, [rules] * 5)
    with plain():
        expected = race(contenders, voters, 3, k, OFFSET, 0.0, [rules] * 5)

    assert picks.tolist() == expected[0].tolist()
    assert in_doubt.tolist() == expected[1].tolist()


def test_what_a_rule_raises_comes_through() -> None:
    contenders, each = (
        Contenders(np.arange(2)[None], np.ones((1, 1, 2), dtype=np.float32), np.zeros(1)),
        np.ones((1, 1)),
    )

    def near(row: int) -> np.ndarray:
        raise LookupError(f"nothing is known of track {row}")

    with pytest.raises(LookupError, match="of track 0"):
        race(
            contenders,
            Voters(each, each, 0 * each),
            1,
            2,
            OFFSET,
            0.0,
            [Rules(diversity=Diversity(1.0, near, most_near=1))],
        )


def test_of_tracks_that_gain_alike_the_first_wins() -> None:
    votes = np.array([[[0.1, 0.3, 0.3, 0.3], [0.3, 0.1, 0.1, 0.1]]], dtype=np.float32)
    contenders, each = Contenders(np.arange(4)[None], votes, np.zeros(1)), np.ones((1, 2))

    for weights in ([[1.0, 1.0]], [[1.0, 1.5]]):
        picks, _ = race(contenders, Voters(np.array(weights), each, 0 * each), 1, 4, OFFSET, 0.0)
        assert [row for row in picks[0].tolist() if row] == [1, 2, 3]


@given(seed=st.integers(0, 10**6), tracks=st.sampled_from([1, 2, 40, 3000]), levels=st.sampled_from([1, 3, 10**6]))
def test_percentiles_are_those_of_numpy(seed: int, tracks: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, (3, tracks)).astype(np.float32)
    asked = np.concatenate([scores[:, :20], random.uniform(-1, levels + 1, (3, 20)).astype(np.float32)], axis=1)
    calibration = Calibration.measure(torch.from_numpy(scores))

    percentiles = calibration.percentiles(asked)
    with plain():
        expected = calibration.percentiles(asked)

    assert percentiles == pytest.approx(expected, abs=1e-6)
    order = np.argsort(asked, axis=1)  # who is liked more never stands lower
    assert (np.diff(np.take_along_axis(percentiles, order, axis=1)) >= 0).all()


@given(seed=st.integers(0, 10**6), tracks=st.sampled_from([1, 2, 40, 3000]), power=st.integers(1, 10))
def test_ideals_are_those_of_numpy(seed: int, tracks: int, power: int) -> None:
    calibration = Calibration.measure(factors(seed, 3, tracks))

    ideals = calibration.ideals(30, power)
    with plain():
        expected = calibration.ideals(30, power)

    assert ideals == pytest.approx(expected)


@given(seed=st.integers(0, 10**6), tracks=st.sampled_from([1, 2, 40, 3000]), levels=st.sampled_from([1, 3, 10**6]))
def test_percentiles_of_relevance_are_those_of_numpy(seed: int, tracks: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    calibration = Calibration.measure(torch.from_numpy(random.integers(0, levels, (3, tracks)).astype(np.float32)))
    relevance = calibration.relevance_of_some(random.integers(0, levels, (3, 40)).astype(np.float32))

    percentiles = calibration.percentiles_of_relevance(relevance)
    with plain():
        expected = calibration.percentiles_of_relevance(relevance)

    assert percentiles == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("columns", [1, 31, 500])
def test_scores_that_are_no_numbers_are_refused(columns: int) -> None:
    scores = np.full((2, columns), np.nan, dtype=np.float32)

    for select in (compiled.best, compiled.highest):
        with pytest.raises(ValueError, match="NaN"):
            select(scores, 1)


@pytest.mark.parametrize("rows", [1 << 62, -1], ids=["overflow", "negative"])
def test_sizes_that_no_array_has_are_refused(rows: int) -> None:
    nothing = np.empty(0, dtype=np.float32)  # and 2^62 rows of 4 bytes are no bytes in 64 bits

    with pytest.raises(ValueError, match="array 1 has 0 bytes, not -1"):
        compiled._compiled.scores(nothing, nothing, nothing, 0, 1, rows)


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    items = compiled.ItemFactors(np.ones((40, 3), dtype=np.float32))

    with pytest.raises(ValueError, match="array 1 has 16 bytes, not 12"):
        items.scores(np.ones((1, 4), dtype=np.float32))
    with pytest.raises(IndexError, match="no track row 40"):
        items.scores_of(np.ones((1, 1, 3), dtype=np.float32), np.array([[39, 40]]))
    rows, votes, each = np.arange(2)[None], np.ones((1, 1, 2)), np.ones((1, 1))
    with pytest.raises(ValueError, match="array 1 has 16 bytes, not 8"):
        compiled.race(rows, votes, each[0], each, each, each, each[0], 3, 1, OFFSET, 0.0)  # type: ignore[arg-type]  # on purpose
