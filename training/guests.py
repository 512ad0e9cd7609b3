"""Listeners who play guests: of their history a few tracks, drawn at random, are all that is known of them."""

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from training.metrics import sample


class Guests(NamedTuple):
    """Some listeners, and what each of them names."""

    user_rows: NDArray[np.int64]
    """(guests,) who they are, in ascending order."""
    named: list[Tensor]
    """Track rows of each, all of the same length."""

    @classmethod
    def drawn(cls, users: NDArray[np.int64], histories: csr_array, tracks: int, at_most: int | None, seed: int) -> Self:
        """Return so many of the users who have more than so many tracks in their histories (users, tracks)."""
        able = users[np.diff(histories.indptr)[users] > tracks]
        user_rows = sample(able, at_most, seed)
        rng = np.random.default_rng(seed)
        named = [torch.from_numpy(rng.choice(histories[[row]].indices, tracks, replace=False)) for row in user_rows]
        return cls(user_rows, [rows.long() for rows in named])
