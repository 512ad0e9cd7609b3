"""Nobody dislikes it: a track is worth what the least happy member gives it (Masthoff; PolyLens)."""

from torch import Tensor

from service.core.ballots import Ballots


def least_misery(ballots: Ballots, k: int) -> Tensor:
    """Rank by the minimum of relevance, in which a light member's no counts less."""
    return ballots.rank_by(least_relevance(ballots), k)


def least_relevance(ballots: Ballots) -> Tensor:
    """Return what the least happy member, by weight, gives each track, (groups, tracks).

    1 - w (1 - relevance), w = weight / heaviest weight: the weighted minimum of fuzzy logic (Dubois & Prade,
    "Weighted minimum and maximum operations in fuzzy set theory", 1986) with Reichenbach's implication, which is
    relevance itself for equal weights.
    """
    importance = (ballots.weights / ballots.weights.amax(dim=1, keepdim=True))[:, :, None]
    votes = ballots.votes if bool((importance == 1).all()) else 1 - importance * (1 - ballots.votes)
    return votes.amin(dim=1)
