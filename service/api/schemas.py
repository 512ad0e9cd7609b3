"""What requests and answers look like.

Requests are pydantic models, strict, that refuse what they do not know. Answers are typed dictionaries: we build
them, so nothing is left to validate, and pydantic-core writes them out as they are.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, NotRequired, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from service.core.artifacts import Manifest
from service.core.duration import MOST_TRACKS
from service.core.explanation import Reason
from service.core.limits import LONGEST_ID
from service.core.strategies import STRATEGIES
from service.experiments.exposure import AssignedBy

_MEMBERS_AT_MOST: Final = 64
_MILLION: Final = 1_000_000
_DAY_MS: Final = 86_400_000
DOCUMENTED: Final = ConfigDict(use_attribute_docstrings=True)
"""Publishes what is written below a field as its description."""

_EXACT: Final = 1 << 53
"""What is below this JavaScript's numbers hold exactly: all seeds, and ids that come as numbers with a point."""


def rounded(value: float) -> float:
    """Return a score or a part with six decimals: float32 has no more to say.

    `round(value, 6)`, which goes through text, takes four times as long.
    """
    return round(value * _MILLION) / _MILLION


def _id_text(value: object) -> object:
    """Return an integer id as text, 101.0 being 101; a bool is no integer here."""
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return value


Id = Annotated[
    str,
    BeforeValidator(_id_text),
    Field(min_length=1, max_length=LONGEST_ID),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": LONGEST_ID}, {"type": "integer"}]}),
]
"""A public id; integers are accepted and become strings."""


def _whole(value: object) -> object:
    """Return 30.0 as 30: to JSON Schema, and to some languages, they are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        raise PydanticCustomError(
            "unknown_strategy", "Input should be one of {names}", {"names": ", ".join(STRATEGIES)}
        )
    return name


StrategyName = Annotated[
    str, AfterValidator(_known_strategy), WithJsonSchema({"type": "string", "enum": sorted(STRATEGIES)})
]


def _without_defaults(schema: dict[str, Any]) -> None:
    """Leave defaults to the descriptions.

    A generator of clients takes a field that has one for a field that is always there, as in an answer, and
    asks for all of them: with `user_ids` for `members` too, with `limit` for `n`, which no valid request has.
    """
    for field in schema["properties"].values():
        field.pop("default", None)


class _Request(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra=_without_defaults,
    )


class MemberRequest(_Request):
    """A listener: a user by id, a guest by tracks they like, or both."""

    user_id: Id | None = None
    """A user by id; a guest has none."""
    weight: float = Field(default=1.0, ge=0.01, le=100, allow_inf_nan=False)
    """How much this member counts beside the others; 1 by default."""
    blocked_track_ids: tuple[Id, ...] = Field(default=(), max_length=10_000, fail_fast=True)
    """Tracks that the whole group must not get."""
    liked_track_ids: tuple[Id, ...] = Field(default=(), max_length=1_000, fail_fast=True)
    """Tracks that speak for this member, beside what a known user has played."""
    label: str | None = Field(default=None, max_length=100)
    """Handed back as it is."""


class Filters(_Request):
    """What must not be in the playlist."""

    exclude_track_ids: tuple[Id, ...] = Field(default=(), max_length=10_000, fail_fast=True)
    """Tracks that must not appear."""
    exclude_artist_ids: tuple[Id, ...] = Field(default=(), max_length=1_000, fail_fast=True)
    """Artists whose tracks must not appear, by the ids of the data."""
    explicit: Literal["allow", "exclude"] = "allow"
    """Whether tracks that the data marks explicit may appear; where it does not say, they may. `allow` by default."""
    max_per_artist: Annotated[int, Field(ge=1, le=MOST_TRACKS), BeforeValidator(_whole)] | None = None
    """At most so many tracks by one artist, where there are enough others; by default as many as come."""
    target_duration_ms: Annotated[int, Field(ge=1, le=_DAY_MS), BeforeValidator(_whole)] | None = None
    """The list ends where it lasts nearest to so long, within `limit`; by default `limit` alone ends it."""
    only_new: bool = False
    """No track that any member has in the training data or among their likes; false by default."""


_EXAMPLE: Final = {"user_ids": ["101", "102", "103", "104"], "limit": 5, "explain": True}
"""Users of the sample data; a service with other data answers too, and says that it does not know them."""


def _one_way(schema: dict[str, Any]) -> None:
    """Say in JSON Schema what the validators below say: one list of members, one name for the limit."""
    _without_defaults(schema)
    for members in ("user_ids", "members"):
        schema["properties"][members]["minItems"] = 1
    schema["oneOf"] = [{"required": ["user_ids"]}, {"required": ["members"]}]
    schema["not"] = {"required": ["limit", "n"]}
    schema["examples"] = [_EXAMPLE]


class GroupRequest(_Request):
    """Who listens together, and what they want."""

    model_config = ConfigDict(json_schema_extra=_one_way)

    user_ids: tuple[Id, ...] = Field(default=(), max_length=_MEMBERS_AT_MOST, fail_fast=True)
    """The members, in short; instead of `members`."""
    members: tuple[MemberRequest, ...] = Field(default=(), max_length=_MEMBERS_AT_MOST, fail_fast=True)
    """The members, in full; instead of `user_ids`."""
    group_id: Id | None = None
    """Keeps a group in its variant of an experiment whoever comes and goes; what it heard together before counts."""
    limit: Whole = Field(default=30, ge=1, le=MOST_TRACKS)
    """How many tracks; 30 by default. With `target_duration_ms` at most so many, 200 by default."""
    n: Whole = Field(default=30, ge=1, le=MOST_TRACKS)
    """Another name for `limit`; give one of them."""
    strategy: StrategyName | None = None
    """How the members' tastes become one; by default the one that suits the model."""
    novelty: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """At least this share of the playlist is new to every member, where there is so much; none has to be by default."""
    diversity: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """At least this share of the playlist resembles no track before it, where it can; none has to by default."""
    model: str | None = Field(default=None, max_length=100)
    """One of `/models`; overrides the experiment."""
    seed: Annotated[int, Field(ge=0, lt=_EXACT), BeforeValidator(_whole)] | None = None
    """The same request with the same seed and model version gets the same tracks; by default one is drawn."""
    already_played: tuple[Id, ...] = Field(default=(), max_length=1_000, fail_fast=True)
    """What the group has heard in this session: not played again, and its members count as having had it."""
    filters: Filters = Filters()
    """What must not be in the playlist."""
    explain: bool = False
    """Say whom each track is for and why, and what each member and the group get of the list; false by default."""

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        given = self.model_fields_set & {"user_ids", "members"}
        if len(given) != 1 or not (self.user_ids or self.members):
            raise PydanticCustomError("members", "Give either user_ids or members")
        if {"limit", "n"} <= self.model_fields_set:
            raise PydanticCustomError("limit", "Give either limit or n")
        return self

    @property
    def length(self) -> int:
        """Return how many tracks are wanted, where a duration does not decide."""
        return self.n if "n" in self.model_fields_set else self.limit

    @property
    def longest(self) -> int:
        """Return how many tracks there may be where a duration decides."""
        return self.length if {"limit", "n"} & self.model_fields_set else MOST_TRACKS


NAMED_AT_MOST: Final = 100
"""Tracks or artists that a warning names."""

WarningCode = Literal[
    "unknown_member",
    "unknown_track",
    "unknown_artist",
    "stand_in_track",
    "duplicate_member",
    "all_members_cold",
    "filled_with_popular",
    "explicit_unknown",
    "less_diverse_than_asked",
    "less_new_than_asked",
    "more_per_artist_than_asked",
    "fewer_tracks_than_asked",
    "shorter_than_asked",
    "duration_unknown",
    "similarity_unknown",
    "degraded",
]


@with_config(DOCUMENTED)
class PlaylistWarning(TypedDict):
    """Something that went otherwise than the caller may expect."""

    code: WarningCode
    """What it is about."""
    detail: str
    """The same in words, for people."""
    member: NotRequired[int]
    """The member it is about, by place in the request, from 0."""
    track_ids: NotRequired[list[str]]
    """The tracks of the request that it is about, each once, the first 100."""
    artist_ids: NotRequired[list[str]]
    """Likewise the artists."""


@with_config(DOCUMENTED)
class ModelRef(TypedDict):
    """The model that answered."""

    name: str
    """As in `/models`."""
    version: str
    """The same request with the same seed and version gets the same tracks."""
    trained_at: datetime
    """When its training ended."""


def model_ref(manifest: Manifest) -> ModelRef:
    """Return how answers refer to a model."""
    return {"name": manifest.name, "version": manifest.version, "trained_at": manifest.created_at}


@with_config(DOCUMENTED)
class OpinionAnswer(TypedDict):
    """What a member has to do with a track of the list."""

    member: int
    """Place in the request, from 0."""
    score: NotRequired[float]
    """How much of the catalogue they like less, 0..1; only for members with a taste."""
    played: bool
    """Whether they have played or liked it in the training data."""
    reason: Reason
    """The first that is true; the documentation says what each means."""
    because_of: NotRequired[str]
    """The track they played or like that adds most to this score; with the reason `similar_to`."""


@with_config(DOCUMENTED)
class PlaylistTrack(TypedDict):
    """A track of the playlist; what the data does not say is left out."""

    track_id: str
    """Id of the data."""
    position: int
    """Place in the playlist, from 1."""
    score: float
    """Weighted mean over the members of how much of the catalogue each of them likes less, 0..1.

    Where nothing is known of any member: how much of the catalogue has fewer listeners.
    """
    title: NotRequired[str]
    """Name of the track."""
    artist: NotRequired[str]
    """Name of who plays it."""
    artist_id: NotRequired[str]
    """Their id of the data: what `exclude_artist_ids` takes."""
    duration_ms: NotRequired[int]
    """Length in milliseconds."""
    explicit: NotRequired[bool]
    """Whether its words are not for everybody."""
    source_model: NotRequired[str]
    """Whose scores brought it; left out where it fills the list for its popularity. With `explain`, like the next."""
    picked_for: NotRequired[list[int]]
    """The members who gain most by it."""
    why: NotRequired[str]
    """What the strategy says of it, such as "Ann's turn"; for two members with a taste or more."""
    explanation: NotRequired[list[OpinionAnswer]]
    """What each member has to do with it."""


Status = Literal["known", "folded_in", "cold"]


@with_config(DOCUMENTED)
class MemberAnswer(TypedDict):
    """What became of a member of the request."""

    member: int
    """Place in the request, from 0."""
    user_id: NotRequired[str]
    """The id that the request gave; a guest has none."""
    label: NotRequired[str]
    """The label that the request gave."""
    status: Status
    """A user of the training data, somebody new who brought tracks they like, or nobody known, without a vote."""
    satisfaction: NotRequired[float]
    """Utility of this list for them over that of the best list of its length for them alone, 0..1; with `explain`."""
    share: NotRequired[float]
    """Their part of all members' satisfaction, 0..1."""


@with_config(DOCUMENTED)
class FairnessAnswer(TypedDict):
    """How evenly a list serves its members: their satisfaction."""

    min: float
    """Of who gets least."""
    mean: float
    """Over the members who have a satisfaction."""
    min_max_ratio: float
    """The lowest over the highest; 0 where nobody gets anything."""


@with_config(DOCUMENTED)
class TogetherAnswer(TypedDict):
    """What is to be said of the group and the list as wholes; with `explain`, all but the status."""

    status: NotRequired[Literal["known", "unknown"]]
    """Whether the model knows what this `group_id` has heard together, which then votes beside the members."""
    taste_match: NotRequired[float]
    """How much of a member's favourites another's favourites are worth to them, mean over all pairs, 0..1."""
    brings_together: NotRequired[str]
    """The track whose least fond member is fondest of it."""
    total_duration_ms: NotRequired[int]
    """Left out where the duration of a track is not known."""


@with_config(DOCUMENTED)
class Pool(TypedDict):
    """What there was to choose from."""

    candidates: int
    """All tracks of the model."""
    after_filters: int
    """Those of them that filters and blocks left."""


@with_config(DOCUMENTED)
class AssignmentAnswer(TypedDict):
    """Why this model answered."""

    experiment: NotRequired[str]
    """Where one decided."""
    variant: NotRequired[str]
    """The variant of the experiment that the group is in."""
    assigned_by: AssignedBy
    """The experiment, the request, which named a model or a strategy, or neither."""


@with_config(DOCUMENTED)
class GroupAnswer(TypedDict):
    """A playlist for a group."""

    recommendation_id: str
    """Names this answer, also in the log of what was shown; later ones sort after it."""
    seed: int
    """The one given or drawn: the same request with it gets the same tracks."""
    tracks: list[PlaylistTrack]
    """The playlist, to be played in this order."""
    members: list[MemberAnswer]
    """What became of each member of the request, in its order."""
    fairness: NotRequired[FairnessAnswer]
    """How evenly the list serves the members; with `explain`."""
    group: NotRequired[TogetherAnswer]
    """With a `group_id` or `explain`."""
    pool: Pool
    """How many tracks there were to choose from."""
    model: ModelRef
    """The model that answered."""
    strategy: StrategyName
    """How the members' tastes became one list."""
    assignment: AssignmentAnswer
    """Why this model answered."""
    degraded: bool
    """Whether the fallback answered in place of a model that could not."""
    warnings: list[PlaylistWarning]
    """What went otherwise than the caller may expect."""


@with_config(DOCUMENTED)
class SimilarTrack(TypedDict):
    """A track that resembles the one asked for."""

    track_id: str
    """Id of the data."""
    score: float
    """How near it is; compares within one answer only."""
    rank: int
    """Place among all that are similar, from 1."""
    title: NotRequired[str]
    """Name of the track."""
    artist: NotRequired[str]
    """Name of who plays it."""
    artist_id: NotRequired[str]
    """Their id of the data: what `exclude_artist_ids` takes."""


@with_config(DOCUMENTED)
class SimilarTracksAnswer(TypedDict):
    """A page of similar tracks."""

    track_id: str
    """The track asked for."""
    items: list[SimilarTrack]
    """The page, best first."""
    total: int
    """Similar tracks on all pages together."""
    limit: int
    """The one asked for."""
    offset: int
    """Similar tracks before this page."""
    next: str | None
    """Address of the next page; null on the last."""
    model: ModelRef
    """The model that answered."""
