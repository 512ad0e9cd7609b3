"""What item-kNN's shrinkage is worth in data of many kinds, to listeners and to guests; validation data alone.

    TUTTI_DATA=... python -m benchmarks.item_knn_shrinkage

The data, the users who choose and those who judge are those of `benchmarks.wmf_regularization`.
"""

import argparse
from pathlib import Path
from typing import Final

from scipy.sparse import csr_array

from benchmarks.wmf_regularization import measure
from training.models.item_knn import ItemKNN, likely_shrinkage

RESULTS: Final = Path(__file__).parent / "results" / "item_knn_shrinkage.json"
FIXED: Final = (10.0, 40.0, 160.0)


def contestants(heard: csr_array) -> dict[str, ItemKNN]:
    """Return what is compared, by name: some for all data, where it begins, what is chosen, and what else there is."""
    start = likely_shrinkage(heard)
    return {
        **{f"{shrinkage:g}": ItemKNN(shrinkage=shrinkage) for shrinkage in FIXED},
        "by the spread": ItemKNN(shrinkage=start),
        "chosen": ItemKNN(),
        "400 neighbours": ItemKNN(neighbours=400),
        "popularity_exponent 0.4": ItemKNN(popularity_exponent=0.4),
        "length_exponent 0.25": ItemKNN(length_exponent=0.25),
        "jaccard": ItemKNN(normalization="jaccard"),
    }


def main() -> None:
    """Measure and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    measure(contestants, ("shrinkage",), RESULTS)


if __name__ == "__main__":
    main()
