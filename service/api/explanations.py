"""Explanations as answers give them: public ids for rows, places in the request for members."""

from service.api.groups import Party, Translation
from service.api.schemas import FairnessAnswer, GroupAnswer, OpinionAnswer, rounded
from service.core.explanation import Explanation, Opinion
from service.core.group import GroupRanking
from service.loading import ServedModel


def add_explanation(
    answer: GroupAnswer, explanation: Explanation, ranking: GroupRanking, translation: Translation, model: ServedModel
) -> None:
    """Add to an answer whom each track is for and why, and what each member and the group get of the list."""
    party, ids, durations = translation.party, model.recommender.tracks.ids, model.catalogue.durations_ms
    filled_from = len(ranking.rows) - ranking.filled
    names = [_name(party, voter) for voter in ranking.voters]
    columns = zip(answer["tracks"], explanation.picked_for, explanation.sentences, explanation.opinions, strict=True)
    for place, (track, picked_for, sentence, opinions) in enumerate(columns):
        if place < filled_from:
            track["source_model"] = model.manifest.name
        track["picked_for"] = [party.origin(listener) for listener in picked_for]
        if sentence is not None:
            track["why"] = sentence.format(*names)
        track["explanation"] = [_opinion(opinion, translation) for opinion in opinions]
    shares = explanation.shares
    for listener, satisfaction in explanation.satisfaction.items():
        member = answer["members"][party.origin(listener)]
        member["satisfaction"] = rounded(satisfaction)
        if shares:
            member["share"] = rounded(shares[listener])
    if explanation.satisfaction:
        answer["fairness"] = _fairness(list(explanation.satisfaction.values()))
    group = answer.setdefault("group", {})
    if explanation.taste_match is not None:
        group["taste_match"] = rounded(explanation.taste_match)
    if explanation.brings_together is not None:
        group["brings_together"] = ids[explanation.brings_together]
    lengths = [durations[row] for row in ranking.rows]
    known = [length for length in lengths if length is not None]
    if len(known) == len(lengths):
        group["total_duration_ms"] = sum(known)


def _name(party: Party, listener: int) -> str:
    """Return what a sentence calls a listener."""
    named = party.listeners[listener]
    return named.label or named.user_id or f"member {party.origin(listener)}"


def _opinion(opinion: Opinion, translation: Translation) -> OpinionAnswer:
    answer: OpinionAnswer = {
        "member": translation.party.origin(opinion.member),
        "played": opinion.played,
        "reason": opinion.reason,
    }
    if opinion.score is not None:
        answer["score"] = rounded(opinion.score)
    if opinion.because_of is not None:
        answer["because_of"] = translation.liked_track(opinion.member, opinion.because_of)
    return answer


def _fairness(satisfaction: list[float]) -> FairnessAnswer:
    """Return how evenly the members are served."""
    worst, best = min(satisfaction), max(satisfaction)
    return {
        "min": rounded(worst),
        "mean": rounded(sum(satisfaction) / len(satisfaction)),
        "min_max_ratio": rounded(worst / best) if best > 0 else 0.0,
    }
