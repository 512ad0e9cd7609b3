"""The registry of algorithms: one file each, one line here."""

from typing import Final

from training.models.algorithm import Algorithm
from training.models.basic import Basic
from training.models.blend import Blend
from training.models.ease import EASE
from training.models.item_knn import ItemKNN
from training.models.similar import Similar
from training.models.softmax import Softmax
from training.models.wmf import WMF

ALGORITHMS: Final[dict[str, type[Algorithm]]] = {
    "basic": Basic,
    "ease": EASE,
    "item_knn": ItemKNN,
    "similar": Similar,
    "softmax": Softmax,
    "wmf": WMF,
    "blend": Blend,
}
"""Every algorithm by the name that `python -m training train` knows it by, in the order that `all` trains them:
`blend` builds upon the others."""
