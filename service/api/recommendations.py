"""POST /recommendations/group: who listens in, a playlist out."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

import orjson
from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from service.api.dependencies import gone, runtime_of
from service.api.explanations import add_explanation
from service.api.groups import Party, Translation, gather
from service.api.headers import answer_headers, documented
from service.api.json_route import JsonRoute
from service.api.problems import ProblemCode, responses
from service.api.schemas import AssignmentAnswer, GroupAnswer, GroupRequest, PlaylistTrack, model_ref, rounded
from service.batching import Scored
from service.core.errors import ScoringError
from service.core.explanation import Explanation
from service.core.group import GroupRanking
from service.experiments.assignment import unit_of
from service.experiments.exposure import Exposure
from service.loading import ServedModel
from service.runtime import Plan, Runtime

_SEED_BITS: Final = 53

_TRIES: Final = 6
"""Lists of a group that are made, at most, to find one that lasts as long as it should."""
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [first + second for first in _CROCKFORD for second in _CROCKFORD]


def add_routes(router: APIRouter) -> None:
    """Add the route."""
    router.add_api_route(
        "/recommendations/group",
        recommend_group,
        methods=["POST"],
        route_class_override=JsonRoute,
        tags=["Playlists"],
        response_model=GroupAnswer,
        summary="A playlist for a group",
        response_description="A playlist.",
        responses={
            200: {"headers": documented("X-Model-Version", "X-Experiment", "Server-Timing")},
            **responses(
                ProblemCode.UNREADABLE_BODY,
                ProblemCode.BODY_TOO_LARGE,
                ProblemCode.UNSUPPORTED_MEDIA_TYPE,
                ProblemCode.VALIDATION_FAILED,
                ProblemCode.UNKNOWN_MODEL,
                ProblemCode.OVERLOADED,
                ProblemCode.MODEL_UNAVAILABLE,
            ),
        },
    )


async def recommend_group(body: GroupRequest, request: Request) -> Response:
    """Rank tracks so that every member has a fair share in the list."""
    runtime = runtime_of(request)
    party = gather(body)
    seed = random.getrandbits(_SEED_BITS) if body.seed is None else body.seed
    unit = _unit(runtime, body, party, seed)
    ranked = await _rank(runtime, request, body, party, runtime.plan(body.model, body.strategy, unit), seed)
    answer = _answer(ranked, seed)
    if body.group_id is not None:
        answer["group"] = {"status": "known" if ranked.translation.knows_group else "unknown"}
    explained, explain_seconds = ranked.explained, None
    if explained is not None:
        _, ranking = ranked.translation.of_members(ranked.scored.answer)
        add_explanation(answer, explained.answer, ranking, ranked.translation, ranked.plan.model)
        explain_seconds = explained.queue_seconds + explained.score_seconds
    headers = answer_headers(
        ranked.plan.model, ranked.scored.queue_seconds, ranked.scored.score_seconds, explain_seconds
    )
    if ranked.plan.assignment.variant is not None:
        assignment = answer["assignment"]
        headers["X-Experiment"] = f"{assignment['experiment']}; variant={assignment['variant']}"
    return Response(
        orjson.dumps(answer, option=orjson.OPT_UTC_Z),
        headers=headers,
        media_type="application/json",
        background=BackgroundTask(_expose, runtime, ranked.plan, unit, answer),
    )


class _Ranked(NamedTuple):
    plan: Plan
    """Of the model that answered in the end."""
    translation: Translation
    scored: Scored[GroupRanking]
    explained: Scored[Explanation] | None
    """For who asked for one."""


async def _rank(runtime: Runtime, request: Request, body: GroupRequest, party: Party, plan: Plan, seed: int) -> _Ranked:
    """Have a group ranked, by the fallback if the planned model fails and the request did not insist on it."""
    weight = runtime.settings.group_weight
    translation = Translation(body, party, plan.model, plan.strategy, seed, weight, runtime.stand_in, runtime.near)
    has_gone = gone(request.receive)
    try:
        scored = await _of_duration(plan.model, translation, has_gone)
        if not body.explain:
            return _Ranked(plan, translation, scored, None)
        explained = await plan.model.explanations.submit(translation.of_members(scored.answer), has_gone)
        return _Ranked(plan, translation, scored, explained)
    except ScoringError:
        name = plan.model.manifest.name
        if body.model is not None or name == runtime.settings.fallback_model:
            raise
        fallback = runtime.fallback(name, body.strategy, plan.assignment)
        return await _rank(runtime, request, body, party, fallback, seed)


async def _of_duration(
    model: ServedModel, translation: Translation, has_gone: Callable[[], bool]
) -> Scored[GroupRanking]:
    """Have a group ranked, and end the list where it lasts nearest to what was asked for."""
    tried = [await model.groups.submit(translation.query, has_gone)]
    while len(tried) < _TRIES and (length := translation.other_length(tried[-1].answer)) is not None:
        if length in {len(scored.answer.rows) for scored in tried}:
            break
        tried.append(await model.groups.submit(replace(translation.query, k=length), has_gone))
    nearest = min(tried, key=lambda scored: abs(translation.missing_ms(scored.answer)))
    return nearest._replace(answer=translation.of_duration(nearest.answer))


def _answer(ranked: _Ranked, seed: int) -> GroupAnswer:
    plan, translation, ranking = ranked.plan, ranked.translation, ranked.scored.answer
    translation.explain(ranking)
    if plan.degraded:
        translation.warn("degraded", "the model that should have answered cannot; the fallback did")
    return {
        "recommendation_id": new_recommendation_id(),
        "seed": seed,
        "tracks": _playlist(plan.model, ranking),
        "members": translation.members(),
        "pool": {"candidates": len(plan.model.recommender.tracks), "after_filters": ranking.candidates},
        "model": model_ref(plan.model.manifest),
        "strategy": plan.strategy,
        "assignment": _assignment(plan),
        "degraded": plan.degraded,
        "warnings": translation.warnings,
    }


def _assignment(plan: Plan) -> AssignmentAnswer:
    experiment, variant, assigned_by = plan.assignment
    if experiment is None or variant is None:
        return {"assigned_by": assigned_by}
    return {"experiment": experiment.name, "variant": variant.name, "assigned_by": assigned_by}


def _playlist(model: ServedModel, ranking: GroupRanking) -> list[PlaylistTrack]:
    ids, catalogue = model.recommender.tracks.ids, model.catalogue
    titles, artists, artist_ids = catalogue.titles, catalogue.artists, catalogue.artist_ids
    durations, explicit = catalogue.durations_ms, catalogue.explicit
    playlist: list[PlaylistTrack] = []
    for position, (row, score) in enumerate(zip(ranking.rows, ranking.scores, strict=True), start=1):
        track: PlaylistTrack = {"track_id": ids[row], "position": position, "score": rounded(score)}
        if (title := titles[row]) is not None:
            track["title"] = title
        if (artist := artists[row]) is not None:
            track["artist"] = artist
        if (artist_id := artist_ids[row]) is not None:
            track["artist_id"] = artist_id
        if (duration := durations[row]) is not None:
            track["duration_ms"] = duration
        if (is_explicit := explicit[row]) is not None:
            track["explicit"] = is_explicit
        playlist.append(track)
    return playlist


def _unit(runtime: Runtime, body: GroupRequest, party: Party, seed: int) -> str:
    """Return what the experiment assigns: the group, or who it is made of."""
    named = [listener.user_id for listener in party.listeners if listener.user_id is not None]
    liked = [track_id for listener in party.listeners for track_id in listener.liked_track_ids]
    return unit_of(body.group_id, runtime.known_users(named), named, liked, seed)


async def _expose(runtime: Runtime, plan: Plan, unit: str, answer: GroupAnswer) -> None:
    """Keep a record of what was shown, and count it; the caller has the answer already."""
    assignment, model = answer["assignment"], answer["model"]
    experiment, variant = assignment.get("experiment"), assignment.get("variant")
    runtime.exposures.add(
        Exposure(
            timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
            recommendation_id=answer["recommendation_id"],
            unit=unit,
            experiment=experiment,
            variant=variant,
            model=model["name"],
            model_version=model["version"],
            strategy=plan.strategy,
            seed=answer["seed"],
            track_ids=[track["track_id"] for track in answer["tracks"]],
            assigned_by=assignment["assigned_by"],
            degraded=plan.degraded,
        )
    )
    runtime.metrics.exposed(experiment or "", variant or "", model["name"])
    if plan.stands_in_for is not None:
        runtime.metrics.degraded.labels(plan.stands_in_for).inc()


def new_recommendation_id() -> str:
    """Return "rec_" and a ULID: 48 bits of milliseconds, 80 random ones, in Crockford's base 32; sorts by time."""
    value = (time.time_ns() // 1_000_000) << 80 | random.getrandbits(80)
    return "rec_" + "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
