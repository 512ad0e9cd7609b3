"""Explanations as answers give them: public ids for rows, places in the request for members."""

from collections.abc import Sequence

from service.api.groups import Party
from service.api.schemas import DECIMALS, FairnessAnswer, GroupAnswer, OpinionAnswer
from service.core.explanation import Explanation, Opinion
from service.core.group import GroupRanking
from service.loading import ServedModel


def add_explanation(
    answer: GroupAnswer, explanation: Explanation, ranking: GroupRanking, party: Party, model: ServedModel
) -> None:
    """Add to an answer whom each track is for and why, and what each member and the group get of the list."""
    ids, durations = model.recommender.tracks.ids, model.catalogue.durations_ms
    filled_from = len(ranking.rows) - ranking.filled
    columns = zip(answer["tracks"], explanation.picked_for, explanation.opinions, strict=True)
    for place, (track, picked_for, opinions) in enumerate(columns):
        track["source_model"] = model.manifest.name if place < filled_from else None
        track["picked_for"] = [party.origin(listener) for listener in picked_for]
        track["explanation"] = [_opinion(opinion, party, ids) for opinion in opinions]
    shares = explanation.shares
    for listener, satisfaction in explanation.satisfaction.items():
        member = answer["members"][party.origin(listener)]
        member["satisfaction"] = round(satisfaction, DECIMALS)
        member["share"] = round(shares[listener], DECIMALS) if shares else None
    answer["fairness"] = _fairness(list(explanation.satisfaction.values()))
    match, best = explanation.taste_match, explanation.brings_together
    lengths = [durations[row] for row in ranking.rows]
    known = [length for length in lengths if length is not None]
    answer["group"] = {
        **answer.get("group", {}),
        "taste_match": None if match is None else round(match, DECIMALS),
        "brings_together": None if best is None else ids[best],
        "total_duration_ms": sum(known) if len(known) == len(lengths) else None,
    }


def _opinion(opinion: Opinion, party: Party, ids: Sequence[str]) -> OpinionAnswer:
    return {
        "member": party.origin(opinion.member),
        "score": None if opinion.score is None else round(opinion.score, DECIMALS),
        "played": opinion.played,
        "reason": opinion.reason,
        "because_of": None if opinion.because_of is None else ids[opinion.because_of],
    }


def _fairness(satisfaction: list[float]) -> FairnessAnswer | None:
    """Return how evenly the members are served; None where nobody could have been."""
    if not satisfaction:
        return None
    worst, best = min(satisfaction), max(satisfaction)
    return {
        "min": round(worst, DECIMALS),
        "mean": round(sum(satisfaction) / len(satisfaction), DECIMALS),
        "min_max_ratio": round(worst / best, DECIMALS) if best > 0 else 0.0,
    }
