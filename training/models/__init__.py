"""The registry of algorithms: one file each, one line here."""

from training.models.algorithm import Algorithm

ALGORITHMS: dict[str, type[Algorithm]] = {}
"""Every algorithm by the name that `python -m training train` knows it by."""
