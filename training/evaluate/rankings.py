"""What is recommended to every listener and group, as lines of JSON: for others to judge by data of their own."""

from collections.abc import Iterator, Sequence

from service.core.ids import UNKNOWN
from training.evaluate.held_out import PROTOCOLS, HeldOut, Protocol
from training.evaluate.playlists import GroupTable
from training.evaluate.subject import Subject
from training.metrics import top_lists

Line = dict[str, object]


def rankings(
    held_out: HeldOut, subjects: Sequence[Subject], user_ids: Sequence[str], groups: Sequence[GroupTable], k: int
) -> Iterator[Line]:
    """Yield the k tracks for each listener by each model and protocol, then the lists of groups."""
    for protocol in PROTOCOLS:
        for subject in subjects:
            yield from _of_listeners(held_out, subject, user_ids, protocol, k)
    for table in groups:
        yield from table.rankings()


def _of_listeners(
    held_out: HeldOut, subject: Subject, user_ids: Sequence[str], protocol: Protocol, k: int
) -> Iterator[Line]:
    model = subject.model
    excluded = held_out.truth(model.users, model.tracks, protocol).excluded
    lists = top_lists(subject.score, excluded, model.users.rows(user_ids), k)
    for user_id, ranked in zip(user_ids, lists.tolist(), strict=True):
        yield {
            "user_ids": [user_id],
            "model": subject.name,
            "strategy": None,
            "protocol": protocol,
            "track_ids": [model.tracks.ids[row] for row in ranked if row != UNKNOWN],
        }
