"""The registry of group strategies: one file each, one line below.

Names are those of Masthoff's survey ("Group Recommender Systems: Aggregation, Satisfaction and Group Attributes").
"""

from typing import Final

from service.core.ballots import Strategy
from service.core.sentences import Sentences
from service.core.strategies.approval_voting import approval_voting, approval_voting_says
from service.core.strategies.average import average, average_says
from service.core.strategies.average_without_misery import average_without_misery, average_without_misery_says
from service.core.strategies.borda_count import borda_count, borda_count_says
from service.core.strategies.copeland import copeland, copeland_says
from service.core.strategies.ep_fuzzda import ep_fuzzda, ep_fuzzda_says
from service.core.strategies.fair_share import fair_share, fair_share_says
from service.core.strategies.gfar import gfar, gfar_says
from service.core.strategies.greedy_lm import greedy_lm, greedy_lm_says
from service.core.strategies.least_misery import least_misery, least_misery_says
from service.core.strategies.most_pleasure import most_pleasure, most_pleasure_says
from service.core.strategies.multiplicative import multiplicative, multiplicative_says
from service.core.strategies.round_robin import round_robin, round_robin_says
from service.core.strategies.shared_first import shared_first, shared_first_says
from service.core.strategies.spgreedy import spgreedy, spgreedy_says

STRATEGIES: Final[dict[str, Strategy]] = {
    "approval_voting": approval_voting,
    "average": average,
    "average_without_misery": average_without_misery,
    "borda_count": borda_count,
    "copeland": copeland,
    "ep_fuzzda": ep_fuzzda,
    "fair_share": fair_share,
    "gfar": gfar,
    "greedy_lm": greedy_lm,
    "least_misery": least_misery,
    "most_pleasure": most_pleasure,
    "multiplicative": multiplicative,
    "round_robin": round_robin,
    "shared_first": shared_first,
    "spgreedy": spgreedy,
}

SENTENCES: Final[dict[str, Sentences]] = {
    "approval_voting": approval_voting_says,
    "average": average_says,
    "average_without_misery": average_without_misery_says,
    "borda_count": borda_count_says,
    "copeland": copeland_says,
    "ep_fuzzda": ep_fuzzda_says,
    "fair_share": fair_share_says,
    "gfar": gfar_says,
    "greedy_lm": greedy_lm_says,
    "least_misery": least_misery_says,
    "most_pleasure": most_pleasure_says,
    "multiplicative": multiplicative_says,
    "round_robin": round_robin_says,
    "shared_first": shared_first_says,
    "spgreedy": spgreedy_says,
}
"""What each says of the tracks it chose."""

LINEAR: Final = frozenset({"average"})
"""Strategies that rank by a weighted sum of relevance: one vector can stand for the whole group."""

ON_SCORES: Final = frozenset({"shared_first"})
"""Strategies that vote with the model's own scores; all others with relevance 0..1."""

EFFORT: Final[dict[str, int]] = dict.fromkeys(STRATEGIES, 3) | {
    "average": 1,
    "fair_share": 1,
    "copeland": 10,
    "borda_count": 30,
    "shared_first": 40,
}
"""How many times the work of `average` a strategy is for a large group, roughly: the last ones sort the catalogue."""

ONE_BY_ONE: Final = frozenset({"ep_fuzzda", "fair_share", "gfar", "greedy_lm", "round_robin", "spgreedy"})
"""Strategies in which what was picked decides what comes next: they keep to quotas of artists themselves.

All others order the tracks once and for all: a longer list of theirs is walked, and full artists are passed over.
"""

SPARING: Final = frozenset({"fair_share"})
"""Strategies that look closely at few tracks: sums over the members tell which."""
