"""A synthetic music service: users with tastes, artists, genres, and months of sessions as JSON lines.

Same seed, same files. Tastes are mixtures of genres and popularity has a long tail, so a model that learns
tastes beats one that knows only what is popular.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from service.core.errors import DataError
from training.output import replacing_files
from training.sample.catalogue import Catalogue, artist_records, make_catalogue, track_records, with_reissues
from training.sample.dirt import soil
from training.sample.listening import (
    EVENT_TYPES,
    FIRST_SESSION_ID,
    FIRST_USER_ID,
    START,
    Events,
    make_events,
    make_listeners,
    user_records,
)

LINES_AT_A_TIME = 500_000


def write_sample(out: Path | str, *, users: int, tracks: int, events: int, seed: int) -> None:
    """Write sessions.jsonl, tracks.jsonl, artists.jsonl and users.jsonl into the folder `out`.

    The log has `events` events and a few repeated lines more. Raises DataError for sizes below 1.
    """
    out = Path(out)
    for name, size in (("users", users), ("tracks", tracks), ("events", events)):
        if size < 1:
            raise DataError(f"a music service needs at least one of each, {name} is {size}")
    catalogue_rng, listener_rng, event_rng, dirt_rng, reissue_rng = np.random.default_rng(seed).spawn(5)
    catalogue = with_reissues(make_catalogue(tracks, catalogue_rng), reissue_rng)
    listeners = make_listeners(users, catalogue, listener_rng)
    log = make_events(events, catalogue, listeners, event_rng)
    with replacing_files(out) as folder:
        _write(folder / "artists.jsonl", _json_lines(artist_records(catalogue)))
        _write(folder / "tracks.jsonl", _json_lines(track_records(catalogue, catalogue_rng)))
        _write(folder / "users.jsonl", _json_lines(user_records(listeners, listener_rng)))
        _write(folder / "sessions.jsonl", _session_lines(log, catalogue, dirt_rng))


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def _json_lines(records: Iterable[dict[str, object]]) -> Iterator[str]:
    return (json.dumps(record) + "\n" for record in records)


def _session_lines(log: Events, catalogue: Catalogue, rng: np.random.Generator) -> Iterator[str]:
    """Yield the lines of sessions.jsonl; ids are letters and digits, so nothing needs escaping."""
    tracks = np.append(catalogue.track_ids, "")  # NO_TRACK is the last
    event_types = np.array(EVENT_TYPES)
    _, number = np.unique(log.session, return_inverse=True)
    for start in range(0, len(log), LINES_AT_A_TIME):
        rows = slice(start, start + LINES_AT_A_TIME)
        some = log[rows]
        columns = zip(
            (START + some.time_ms).astype(str).tolist(),
            (FIRST_USER_ID + some.user).tolist(),
            tracks[some.track].tolist(),
            event_types[some.event_type].tolist(),
            (FIRST_SESSION_ID + number[rows]).tolist(),
            strict=True,
        )
        lines = [
            f'{{"timestamp": "{time}", "user_id": {user}, "track_id": "{track}", '
            f'"event_type": "{event_type}", "session_id": {session}}}\n'
            for time, user, track, event_type, session in columns
        ]
        yield from soil(lines, rng)
