"""Groups that have listened together before: their own row of a model votes beside those of their members."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.group import GroupRanking
from service.core.ids import group_key
from service.core.query import GroupQuery, Member, excluded_rows
from service.core.recommender import Recommender


def voter_of(model: Recommender, group_id: str, members: Sequence[Member], weight: float) -> Member | None:
    """Return a group's own row as a voter, `weight` times as heavy as all members with a taste; None where unknown."""
    row = model.users.row(group_key(group_id))
    if row is None:
        return None
    with_taste = sum(member.weight for member in members if member.has_taste)
    return Member(user_row=row, weight=weight * with_taste if with_taste else weight)


def without_own_voter(model: Recommender, query: GroupQuery, ranking: GroupRanking) -> tuple[GroupQuery, GroupRanking]:
    """Return what was asked and answered of the members alone, where the group itself voted last.

    What is not new to the group stays away from them.
    """
    excluded = frozenset(excluded_rows(model, query).tolist())
    alone = replace(query, members=query.members[:-1], excluded=excluded, left_out=None)
    of_members = replace(
        ranking,
        voters=ranking.voters[:-1],
        member_scores=ranking.member_scores[:-1],
        members_alone=False,
        vectors=None if ranking.vectors is None else ranking.vectors[:-1],
    )
    return alone, of_members
