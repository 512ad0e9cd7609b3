"""GET /similar-tracks/{track_id}: what resembles a track."""

from collections import Counter
from hashlib import sha256
from typing import Annotated, Final
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from service.api.dependencies import gone, runtime_of
from service.api.headers import answer_headers, documented
from service.api.problems import ProblemCode, responses
from service.api.schemas import SimilarTrack, SimilarTracksAnswer, model_ref, rounded
from service.core.errors import ModelUnavailableError, UnknownTrackError
from service.loading import NEIGHBOURS, RESEMBLING, Neighbour, ServedModel, SimilarQuery

_CACHE_CONTROL: Final = "public, max-age=3600, stale-while-revalidate=86400"

_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETags of answers that the caller has: where this one is among them there is no body, but a 304.",
    "schema": {"type": "string"},
}
"""Not a parameter of the route: FastAPI would read the first such header of several."""


class Page(BaseModel):
    """Which of the similar tracks are wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    limit: int = Field(default=RESEMBLING, ge=1, le=NEIGHBOURS)
    """How many tracks a page has."""
    offset: int = Field(default=0, ge=0, le=1_000_000)
    """How many of the nearest to pass over."""
    exclude_same_artist: bool = False
    """Leave out tracks of the same artist, and take the nearest by others."""

    def next(self, track_id: str) -> str:
        """Return the address of the page after this one."""
        query: dict[str, str | int] = {"limit": self.limit, "offset": self.offset + self.limit}
        if self.exclude_same_artist:
            query["exclude_same_artist"] = "true"
        return f"/similar-tracks/{quote(track_id, safe='')}?{urlencode(query)}"


def add_routes(router: APIRouter) -> None:
    """Add the route."""
    codes = (
        ProblemCode.UNKNOWN_TRACK,
        ProblemCode.VALIDATION_FAILED,
        ProblemCode.OVERLOADED,
        ProblemCode.MODEL_UNAVAILABLE,
    )
    router.add_api_route(
        "/similar-tracks/{track_id:path}",
        similar_tracks,
        response_model=SimilarTracksAnswer,
        tags=["Similar tracks"],
        summary="Tracks that resemble a track",
        response_description="A page of similar tracks.",
        responses={
            200: {"headers": documented("X-Model-Version", "Server-Timing", "ETag", "Cache-Control")},
            **responses(*codes),
            304: {
                "description": "Nothing has changed since the ETag in If-None-Match.",
                "headers": documented("X-Model-Version", "ETag", "Cache-Control"),
            },
        },
        openapi_extra={"parameters": [_IF_NONE_MATCH]},
    )


async def similar_tracks(
    track_id: Annotated[str, Path(description="Id of the data; percent-encoded, slashes as %2F.")],
    page: Annotated[Page, Query()],
    request: Request,
) -> Response:
    """Return a page of the nearest tracks, the track itself left out."""
    _refuse_repeated(request)
    model = runtime_of(request).similar_model()
    track_row = model.recommender.tracks.row(track_id)
    if track_row is None:
        raise UnknownTrackError("the model of similar tracks does not know this track")
    if model.similar is None:
        raise ModelUnavailableError("the model of similar tracks knows none")
    headers = {"ETag": _etag(model, track_id, page), "Cache-Control": _CACHE_CONTROL}
    if _matches(request.headers.getlist("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers={**headers, "X-Model-Version": model.manifest.version})
    scored = await model.similar.submit(SimilarQuery(track_row, page.exclude_same_artist), gone(request.receive))
    content = orjson.dumps(_answer(model, track_id, page, scored.answer), option=orjson.OPT_UTC_Z)
    return Response(
        content,
        headers=headers | answer_headers(model, scored.queue_seconds, scored.score_seconds),
        media_type="application/json",
    )


def _answer(model: ServedModel, track_id: str, page: Page, neighbours: list[Neighbour]) -> SimilarTracksAnswer:
    ids, catalogue = model.recommender.tracks.ids, model.catalogue
    end = page.offset + page.limit
    answer: SimilarTracksAnswer = {
        "track_id": track_id,
        "items": [],
        "total": len(neighbours),
        "limit": page.limit,
        "offset": page.offset,
        "next": page.next(track_id) if end < len(neighbours) else None,
        "model": model_ref(model.manifest),
    }
    for rank, (row, score) in enumerate(neighbours[page.offset : end], start=page.offset + 1):
        item: SimilarTrack = {"track_id": ids[row], "score": rounded(score), "rank": rank}
        if (title := catalogue.titles[row]) is not None:
            item["title"] = title
        if (artist := catalogue.artists[row]) is not None:
            item["artist"] = artist
        if (artist_id := catalogue.artist_ids[row]) is not None:
            item["artist_id"] = artist_id
        answer["items"].append(item)
    return answer


def _refuse_repeated(request: Request) -> None:
    """Raise if a query parameter is there more than once: FastAPI would take the last."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": "Give it once", "type": "repeated"} for name in repeated]
        )


def _etag(model: ServedModel, track_id: str, page: Page) -> str:
    """Return a name for the very bytes of an answer: they follow from model version and query."""
    asked = (model.manifest.name, model.manifest.version, track_id, page.model_dump_json())
    return f'"{sha256(repr(asked).encode()).hexdigest()[:32]}"'


def _matches(if_none_match: list[str], etag: str) -> bool:
    """Compare weakly, as RFC 9110 section 13.1.2 says for If-None-Match."""
    named = [tag.strip().removeprefix("W/") for line in if_none_match for tag in line.split(",")]
    return "*" in named or etag in named
