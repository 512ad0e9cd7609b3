"""From the members of a request to a query of matrix rows, with a word on everything that is not known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.api.schemas import GroupRequest, MemberAnswer, PlaylistWarning, Status
from service.core.group import GroupQuery, GroupRanking, Member
from service.core.group_history import voter_of, without_own_voter
from service.core.ids import IdIndex, is_group_key
from service.core.recommender import Recommender


@dataclass(slots=True)
class Listener:
    """A member, whichever way the request named them."""

    user_id: str | None
    weight: float = 1.0
    blocked_track_ids: tuple[str, ...] = ()
    liked_track_ids: tuple[str, ...] = ()
    label: str | None = None


@dataclass(slots=True)
class Party:
    """The distinct listeners of a request: a user who is named twice has one say."""

    listeners: list[Listener]
    places: list[int]
    """For each member of the request, the listener they are."""

    def origin(self, listener: int) -> int:
        """Return the first place in the request of a listener."""
        return self.places.index(listener)


def gather(body: GroupRequest) -> Party:
    """Return the distinct listeners among the members, in the order of their first mention."""
    members = [Listener(user_id) for user_id in body.user_ids] or [
        Listener(each.user_id, each.weight, each.blocked_track_ids, each.liked_track_ids, each.label)
        for each in body.members
    ]
    listeners: list[Listener] = []
    places: list[int] = []
    seen: dict[str, int] = {}
    for member in members:
        place = len(listeners) if member.user_id is None else seen.setdefault(member.user_id, len(listeners))
        if place == len(listeners):
            listeners.append(member)
        else:
            listeners[place] = _merged(listeners[place], member)
        places.append(place)
    return Party(listeners, places)


def _merged(first: Listener, again: Listener) -> Listener:
    """Return one listener who likes and blocks what either mention does, with the heavier weight."""
    return replace(
        first,
        weight=max(first.weight, again.weight),
        liked_track_ids=first.liked_track_ids + again.liked_track_ids,
        blocked_track_ids=first.blocked_track_ids + again.blocked_track_ids,
    )


class Translation:
    """A request in the rows of one model, and what of it the model does not know."""

    def __init__(
        self, body: GroupRequest, party: Party, model: Recommender, strategy: str, seed: int, group_weight: float
    ) -> None:
        self._party, self._model = party, model
        self.warnings: list[PlaylistWarning] = []
        self._excluded: set[int] = set()
        self._exclude(body.filters.exclude_track_ids, model.tracks, "/filters/exclude_track_ids")
        played = self._rows(body.already_played, model.tracks, "/already_played")
        members = tuple(self._member(place, model) for place in range(len(party.listeners)))
        own = None if body.group_id is None else voter_of(model, body.group_id, members, group_weight)
        self.knows_group = own is not None
        """Whether the last member of the query is the group itself, by what it has heard together."""
        self.query = GroupQuery(
            members=members if own is None else (*members, own),
            k=body.length,
            strategy=strategy,
            seed=seed,
            excluded=frozenset(self._excluded),
            only_new=body.filters.only_new,
            already_played=tuple(dict.fromkeys(played)),
        )

    def warn(self, code: str, detail: str) -> None:
        """Tell the caller of something."""
        self.warnings.append({"code": code, "detail": detail})

    def of_members(self, ranking: GroupRanking) -> tuple[GroupQuery, GroupRanking]:
        """Return query and ranking as far as they concern the members of the request."""
        return without_own_voter(self._model, self.query, ranking) if self.knows_group else (self.query, ranking)

    def members(self) -> list[MemberAnswer]:
        """Return what became of each member of the request."""
        listeners, seated = self._party.listeners, self.query.members
        members: list[MemberAnswer] = []
        for place, listener in enumerate(self._party.places):
            member: MemberAnswer = {"member": place, "status": _status(seated[listener])}
            if (user_id := listeners[listener].user_id) is not None:
                member["user_id"] = user_id
            if (label := listeners[listener].label) is not None:
                member["label"] = label
            members.append(member)
        return members

    def explain(self, ranking: GroupRanking) -> None:
        """Warn of what the caller may not expect of a playlist."""
        for place, listener in enumerate(self._party.places):
            if place != self._party.origin(listener):
                first = self._party.origin(listener)
                self.warn(
                    "duplicate_member", f"member {place} is the same user as member {first} and has no second say"
                )
        if not ranking.voters:
            self.warn("all_members_cold", "nothing is known of any member; these are popular tracks")
        elif ranking.filled:
            self.warn("filled_with_popular", f"the last {ranking.filled} tracks are there for their popularity alone")
        if len(ranking.rows) < self.query.k:
            self.warn(
                "fewer_tracks_than_asked",
                f"only {len(ranking.rows)} tracks are allowed of the {self.query.k} asked for",
            )

    def _member(self, place: int, model: Recommender) -> Member:
        listener = self._party.listeners[place]
        row = None
        if listener.user_id is not None:
            row = None if is_group_key(listener.user_id) else model.users.row(listener.user_id)
            if row is None:
                origin = self._party.origin(place)
                self.warn("unknown_member", f"member {origin} is not a user that the model knows")
        liked: tuple[int, ...] = ()
        if listener.liked_track_ids:
            pointer = f"/members/{self._party.origin(place)}/liked_track_ids"
            liked = tuple(self._rows(listener.liked_track_ids, model.tracks, pointer))
        if listener.blocked_track_ids:
            pointer = f"/members/{self._party.origin(place)}/blocked_track_ids"
            self._exclude(listener.blocked_track_ids, model.tracks, pointer)
        return Member(row, liked, listener.weight)

    def _exclude(self, track_ids: Sequence[str], tracks: IdIndex, pointer: str) -> None:
        self._excluded.update(self._rows(track_ids, tracks, pointer))

    def _rows(self, track_ids: Sequence[str], tracks: IdIndex, pointer: str) -> list[int]:
        """Return the rows of the tracks that are known, with a warning for the others."""
        rows = [row for track_id in track_ids if (row := tracks.row(track_id)) is not None]
        if unknown := len(track_ids) - len(rows):
            self.warn("unknown_track", f"{pointer}: {unknown} of {len(track_ids)} are not tracks that the model knows")
        return rows


def _status(member: Member) -> Status:
    if member.user_row is not None:
        return "known"
    return "folded_in" if member.liked else "cold"
