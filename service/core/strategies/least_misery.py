"""Nobody dislikes it: a track is worth what the least happy member gives it (Masthoff; PolyLens)."""

from torch import Tensor

from service.core.ballots import Ballots


def least_misery(ballots: Ballots, k: int) -> Tensor:
    """Rank by the minimum of relevance ** (weight / heaviest weight), so that a light member's no counts less.

    The exponent is Yager's weighted minimum (Yager, "Multiple objective decision-making using fuzzy sets", 1977).
    """
    exponents = ballots.weights / ballots.weights.amax(dim=1, keepdim=True)
    votes = ballots.votes if bool((exponents == 1).all()) else ballots.votes ** exponents[:, :, None]
    return ballots.rank_by(votes.amin(dim=1), k)
