"""Somebody's favourite: a track is worth what the happiest member gives it (Masthoff)."""

from torch import Tensor

from service.core.ballots import Ballots
from service.core.sentences import Chosen, name


def most_pleasure(ballots: Ballots, k: int) -> Tensor:
    """Rank by the maximum of relevance * weight / heaviest weight."""
    factors = ballots.weights / ballots.weights.amax(dim=1, keepdim=True)
    return ballots.rank_by((ballots.votes * factors[:, :, None]).amax(dim=1), k)


def most_pleasure_says(chosen: Chosen) -> list[str | None]:
    """Say who likes it best, whatever they weigh."""
    return [f"{name(member)} likes it best" for member in chosen.votes.argmax(axis=0)]
