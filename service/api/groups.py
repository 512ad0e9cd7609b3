"""From the members of a request to a query of matrix rows, with a word on everything that is not known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.api.schemas import NAMED_AT_MOST, Filters, GroupRequest, MemberAnswer, PlaylistWarning, Status, WarningCode
from service.core.catalogue import Facets
from service.core.duration import nearest_head
from service.core.group import GroupRanking
from service.core.group_history import voter_of, without_own_voter
from service.core.ids import IdIndex, is_group_key
from service.core.query import GroupQuery, Member, rules_of
from service.core.quota import Quota
from service.core.recommender import Recommender
from service.core.rules import Diversity, Near, others_among
from service.loading import RESEMBLING, ServedModel


@dataclass(slots=True)
class Listener:
    """A member, whichever way the request named them."""

    user_id: str | None
    weight: float = 1.0
    blocked_track_ids: tuple[str, ...] = ()
    liked_track_ids: tuple[str, ...] = ()
    label: str | None = None
    """What they are called: by their first mention that has one."""


@dataclass(slots=True)
class Party:
    """The distinct listeners of a request: a user who is named twice has one say."""

    listeners: list[Listener]
    places: list[int]
    """For each member of the request, the listener they are."""
    labels: list[str | None]
    """For each member of the request, their own label."""

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
    return Party(listeners, places, [member.label for member in members])


def _merged(first: Listener, again: Listener) -> Listener:
    """Return one listener who likes and blocks what either mention does, with the heavier weight."""
    return replace(
        first,
        weight=max(first.weight, again.weight),
        liked_track_ids=first.liked_track_ids + again.liked_track_ids,
        blocked_track_ids=first.blocked_track_ids + again.blocked_track_ids,
        label=first.label or again.label,
    )


StandIn = Callable[[str, IdIndex], int | None]
"""Finds among tracks the row of the one that is most like a track which is not among them."""

_STAND_INS_AT_MOST: Final = 200
"""Unknown liked tracks of a request for which one that is known is looked up, some 50 microseconds each."""


class Translation:
    """A request in the rows of one model, and what of it the model does not know."""

    def __init__(
        self,
        body: GroupRequest,
        party: Party,
        served: ServedModel,
        strategy: str,
        seed: int,
        group_weight: float,
        stand_in: StandIn,
        near: Callable[[IdIndex], Near | None],
    ) -> None:
        model = served.recommender
        self.party, self._model = party, model
        self._facets, self._explicit = served.facets, served.catalogue.explicit
        self._filters = body.filters
        self._durations = None if body.filters.target_duration_ms is None else served.facets.durations
        self._stand_in, self._look_ups_left = stand_in, _STAND_INS_AT_MOST
        self._stood_for: list[dict[int, str]] = [{} for _ in party.listeners]
        """For each listener, the liked track that each stand-in stands for."""
        self.warnings: list[PlaylistWarning] = []
        length = self._length(body)
        self._excluded: set[int] = set()
        self._exclude(body.filters.exclude_track_ids, model.tracks, "/filters/exclude_track_ids")
        played = self._rows(body.already_played, model.tracks, "/already_played")
        members = tuple(self._member(place, model) for place in range(len(party.listeners)))
        own = None if body.group_id is None else voter_of(model, body.group_id, members, group_weight)
        self.knows_group = own is not None
        """Whether the last member of the query is the group itself, by what it has heard together."""
        self.query = GroupQuery(
            members=members if own is None else (*members, own),
            k=length,
            strategy=strategy,
            seed=seed,
            excluded=frozenset(self._excluded),
            left_out=self._left_out(body.filters),
            quota=_quota(body.filters, self._facets, length),
            novelty=body.novelty or 0.0,
            diversity=self._diversity(body, near),
            only_new=body.filters.only_new,
            already_played=tuple(dict.fromkeys(played)),
        )

    def warn(
        self,
        code: WarningCode,
        detail: str,
        member: int | None = None,
        track_ids: Sequence[str] = (),
        artist_ids: Sequence[str] = (),
    ) -> None:
        """Tell the caller of something, and which member, tracks and artists of the request it is about."""
        warning: PlaylistWarning = {"code": code, "detail": detail}
        if member is not None:
            warning["member"] = member
        if track_ids:
            warning["track_ids"] = list(dict.fromkeys(track_ids))[:NAMED_AT_MOST]
        if artist_ids:
            warning["artist_ids"] = list(dict.fromkeys(artist_ids))[:NAMED_AT_MOST]
        self.warnings.append(warning)

    def other_length(self, ranking: GroupRanking) -> int | None:
        """Return how many tracks to ask for in place of a ranking that cannot be cut; None where it lasts long enough.

        Where rules say what popular tracks there must be, these end the list: cut, it would lack them.
        """
        if self._durations is None or not (ranking.filled and self.query.has_rules):
            return None
        length = len(ranking.rows) + round(self.missing_ms(ranking) / self._durations.mean_ms)
        length = min(max(length, 1), self.query.k, ranking.candidates)
        return None if length == len(ranking.rows) else length

    def missing_ms(self, ranking: GroupRanking) -> float:
        """Return how much shorter a ranking is than what was asked for, 0 where nothing was."""
        target = self._filters.target_duration_ms
        return 0.0 if target is None or self._durations is None else target - sum(self._durations.of(ranking.rows))

    def of_duration(self, ranking: GroupRanking) -> GroupRanking:
        """Return the head of a ranking that lasts nearest to what was asked for, with a warning where it is all."""
        target = self._filters.target_duration_ms
        if target is None or self._durations is None:
            return ranking
        lasting, missing = self._durations.of(ranking.rows), self.missing_ms(ranking)
        if not lasting or (missing > self._durations.mean_ms / 2 and self.other_length(ranking) is None):
            detail = f"all {len(lasting)} tracks that there are, or that limit allows, are {missing:.0f} ms too short"
            self.warn("shorter_than_asked", detail)
        if ranking.filled and self.query.has_rules:
            return ranking
        return ranking.head(nearest_head(lasting, target))

    def of_members(self, ranking: GroupRanking) -> tuple[GroupQuery, GroupRanking]:
        """Return query and ranking as far as they concern the members of the request."""
        return without_own_voter(self._model, self.query, ranking) if self.knows_group else (self.query, ranking)

    def members(self) -> list[MemberAnswer]:
        """Return what became of each member of the request."""
        listeners, seated = self.party.listeners, self.query.members
        members: list[MemberAnswer] = []
        for place, listener in enumerate(self.party.places):
            member: MemberAnswer = {"member": place, "status": _status(seated[listener])}
            if (user_id := listeners[listener].user_id) is not None:
                member["user_id"] = user_id
            if (label := self.party.labels[place]) is not None:
                member["label"] = label
            members.append(member)
        return members

    def explain(self, ranking: GroupRanking) -> None:
        """Warn of what the caller may not expect of a playlist."""
        for place, listener in enumerate(self.party.places):
            if place != self.party.origin(listener):
                first = self.party.origin(listener)
                detail = f"member {place} is the same user as member {first} and has no second say"
                self.warn("duplicate_member", detail, place)
        if not ranking.voters:
            self.warn("all_members_cold", "nothing is known of any member; these are popular tracks")
        elif ranking.filled:
            self.warn("filled_with_popular", f"the last {ranking.filled} tracks are there for their popularity alone")
        if self._filters.explicit == "exclude":
            untold = sum(self._explicit[row] is None for row in ranking.rows)
            if untold:
                self.warn("explicit_unknown", f"the data does not say of {untold} tracks whether they are explicit")
        self._warn_of_rules(ranking)
        if self._durations is None and len(ranking.rows) < self.query.k:
            self.warn(
                "fewer_tracks_than_asked",
                f"only {len(ranking.rows)} tracks are allowed of the {self.query.k} asked for",
            )

    def _warn_of_rules(self, ranking: GroupRanking) -> None:
        """Warn of what a playlist was to keep to as a whole and could not."""
        query, length = self.query, len(ranking.rows)
        diversity, novelty, alike = query.diversity, rules_of(self._model, query).novelty, sum(ranking.alike)
        if diversity is not None and alike > others_among(length, diversity.share):
            detail = f"{alike} of {length} tracks resemble one before them; no more are allowed that do not"
            self.warn("less_diverse_than_asked", detail)
        if novelty is not None and (heard := novelty.heard[ranking.rows].sum()) > others_among(length, novelty.share):
            detail = f"only {length - heard} of {length} tracks are new to everybody; no more are allowed that are"
            self.warn("less_new_than_asked", detail)
        quota = query.quota
        if quota is not None and (highest := quota.highest(ranking.rows)) > quota.most:
            detail = (
                f"with at most {quota.most} tracks of an artist the list would be shorter; there are up to {highest}"
            )
            self.warn("more_per_artist_than_asked", detail)

    def _length(self, body: GroupRequest) -> int:
        """Return how many tracks to ask for: where a duration decides no more than can be needed."""
        target = body.filters.target_duration_ms
        if target is None:
            return body.length
        if self._durations is None:
            self.warn("duration_unknown", "the data does not say how long tracks are; limit alone ends the list")
            return body.length
        return min(body.longest, self._durations.enough_for(target))

    def _diversity(self, body: GroupRequest, near: Callable[[IdIndex], Near | None]) -> Diversity | None:
        """Return how much must be unlike, None where nothing has to be, or nobody knows what resembles what."""
        if not body.diversity:
            return None
        resembling = near(self._model.tracks)
        if resembling is None:
            self.warn("similarity_unknown", "no model here knows similar tracks; diversity could not be heeded")
            return None
        return Diversity(body.diversity, resembling, RESEMBLING)

    def _member(self, place: int, model: Recommender) -> Member:
        listener = self.party.listeners[place]
        row = None
        if listener.user_id is not None:
            row = None if is_group_key(listener.user_id) else model.users.row(listener.user_id)
            if row is None:
                origin = self.party.origin(place)
                self.warn("unknown_member", f"member {origin} is not a user that the model knows", origin)
        liked: tuple[int, ...] = ()
        if listener.liked_track_ids:
            liked = self._liked(place)
        if listener.blocked_track_ids:
            origin = self.party.origin(place)
            pointer = f"/members/{origin}/blocked_track_ids"
            self._exclude(listener.blocked_track_ids, model.tracks, pointer, origin)
        return Member(row, liked, listener.weight, frozenset(self._stood_for[place]))

    def _liked(self, place: int) -> tuple[int, ...]:
        """Return the rows of the tracks that a listener likes, and for those not known of what is most like them."""
        origin = self.party.origin(place)
        pointer = f"/members/{origin}/liked_track_ids"
        tracks, track_ids = self._model.tracks, self.party.listeners[place].liked_track_ids
        named = dict.fromkeys(row for track_id in track_ids if (row := tracks.row(track_id)) is not None)
        unknown = [track_id for track_id in track_ids if track_id not in tracks]
        looked_up = unknown[: self._look_ups_left]
        self._look_ups_left -= len(looked_up)
        found = {track_id: row for track_id in looked_up if (row := self._stand_in(track_id, tracks)) is not None}
        stood_for = self._stood_for[place]
        for track_id, row in found.items():
            if row not in named:
                stood_for.setdefault(row, track_id)
        lost = [track_id for track_id in unknown if track_id not in found]
        if found:
            of = f"{len(unknown) - len(lost)} of {len(track_ids)}"
            detail = f"{pointer}: {of} are not tracks that the model knows; the most similar that it knows stand in"
            self.warn("stand_in_track", detail, origin, tuple(found))
        self._warn_of_unknown(lost, len(track_ids), pointer, origin)
        return (*named, *stood_for)

    def liked_track(self, listener: int, row: int) -> str:
        """Return the id of a track of a listener's history, or of the liked track that it stands for."""
        return self._stood_for[listener].get(row, self._model.tracks.ids[row])

    def _left_out(self, filters: Filters) -> NDArray[np.int64] | None:
        """Return the rows of the tracks that are explicit or by the wrong artists, None where none are left out."""
        parts = [self._facets.explicit_rows] if filters.explicit == "exclude" else []
        if filters.exclude_artist_ids:
            parts.append(self._rows_by(filters.exclude_artist_ids))
        parts = [rows for rows in parts if len(rows)]
        return reduce(np.union1d, parts) if parts else None

    def _rows_by(self, artist_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of the tracks by some artists, with a warning for those who are not known."""
        unknown = [artist_id for artist_id in artist_ids if not self._facets.knows_artist(artist_id)]
        if unknown:
            of = f"{len(unknown)} of {len(artist_ids)}"
            detail = f"/filters/exclude_artist_ids: {of} are not artists of any track that the model knows"
            self.warn("unknown_artist", detail, artist_ids=unknown)
        return self._facets.rows_by(artist_ids)

    def _exclude(self, track_ids: Sequence[str], tracks: IdIndex, pointer: str, member: int | None = None) -> None:
        self._excluded.update(self._rows(track_ids, tracks, pointer, member))

    def _rows(self, track_ids: Sequence[str], tracks: IdIndex, pointer: str, member: int | None = None) -> list[int]:
        """Return the rows of the tracks that are known, with a warning for the others."""
        rows = [row for track_id in track_ids if (row := tracks.row(track_id)) is not None]
        if len(rows) < len(track_ids):
            unknown = [track_id for track_id in track_ids if track_id not in tracks]
            self._warn_of_unknown(unknown, len(track_ids), pointer, member)
        return rows

    def _warn_of_unknown(self, unknown: Sequence[str], of: int, pointer: str, member: int | None) -> None:
        if unknown:
            detail = f"{pointer}: {len(unknown)} of {of} are not tracks that the model knows"
            self.warn("unknown_track", detail, member, unknown)


def _quota(filters: Filters, facets: Facets, length: int) -> Quota | None:
    """Return how many tracks of an artist a list may have, None where no list of this length could have too many."""
    if filters.max_per_artist is None or filters.max_per_artist >= length or facets.artists is None:
        return None
    return Quota(facets.artists, filters.max_per_artist)


def _status(member: Member) -> Status:
    if member.user_row is not None:
        return "known"
    return "folded_in" if member.liked else "cold"
