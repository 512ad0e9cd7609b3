import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.core.half import HalfFactors, half_if_faster


@given(
    seed=st.integers(0, 10**6),
    dim=st.sampled_from([1, 8, 64]),
    spread=st.sampled_from([0.0, 1.0, 3.0]),
)
def test_no_score_is_further_off_than_is_said(seed: int, dim: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    items = torch.from_numpy(
        (random.normal(size=(300, dim)) * random.lognormal(0, spread, (300, 1))).astype(np.float32)
    )
    vectors = torch.from_numpy((random.normal(size=(5, dim)) * random.lognormal(0, spread, (5, 1))).astype(np.float32))

    rough = HalfFactors(items).score(vectors)

    exact = vectors.double() @ items.double().T
    allowed = rough.error[:, None] + rough.relative_error * exact.abs()
    assert ((rough.scores.double() - exact).abs() <= allowed).all()


def test_what_fits_a_cache_is_multiplied_as_it_is() -> None:
    assert half_if_faster(torch.ones(100, 4)) is None
