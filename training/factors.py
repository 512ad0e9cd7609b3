"""What factor models learn: a vector for every user and every track."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Factors(NamedTuple):
    """The two sides of the model, (users, dim) and (tracks, dim): the score of a pair is a dot product."""

    users: Floats
    items: Floats
