"""Which variant a group sees: weighted rendezvous hashing, the same on every replica, with nothing stored.

Each variant draws h, uniform in (0, 1), from a keyed hash of itself and the unit; the lowest -ln(h) / share wins.
-ln(h) / share is exponential with rate share, so a variant wins with probability share (docs/decisions says
what that buys when shares change).
"""

import math
from collections.abc import Collection
from hashlib import blake2b
from typing import Final

import orjson

from service.experiments.config import Experiment, Variant

_BITS: Final = 53
"""Of the hash's 64, as many as a float holds exactly, so that all languages compute the same h."""


def variant_of(experiment: Experiment, unit: str) -> Variant:
    """Return the variant that a unit sees; ties, which no one will see, go to the first."""
    return min(experiment.variants, key=lambda variant: _arrival(experiment.salt, unit, variant))


def _arrival(salt: str, unit: str, variant: Variant) -> float:
    """Return -ln(h) / share; infinite for a closed variant."""
    if variant.share == 0:
        return math.inf
    return -math.log(uniform(salt, unit, variant.name)) / variant.share


def uniform(salt: str, unit: str, variant: str) -> float:
    """Return h in (0, 1): the top 53 bits of BLAKE2b-64 of variant, NUL and unit, keyed with the salt, plus a half.

    Names hold no NUL, so no two pairs of variant and unit share a message.
    """
    message = f"{variant}\0{unit}".encode()
    digest = blake2b(message, digest_size=8, key=salt.encode()).digest()
    return ((int.from_bytes(digest) >> (64 - _BITS)) + 0.5) / (1 << _BITS)


def unit_of(
    group_id: str | None, known: Collection[str], named: Collection[str], liked: Collection[str], seed: int
) -> str:
    """Return what is assigned to a variant: the first of these that is there.

    The group's id; the known members, as a set; all ids as given, when none is known; the liked tracks of guests;
    else the seed, since nothing tells such groups apart. JSON keeps ids with commas and quotes apart, and the
    word in front keeps a group named like a member apart from the member.
    """
    if group_id is not None:
        return f"group:{group_id}"
    for kind, ids in (("members", known), ("strangers", named), ("tracks", liked)):
        if ids:
            return f"{kind}:{orjson.dumps(sorted(set(ids))).decode()}"
    return f"seed:{seed}"
