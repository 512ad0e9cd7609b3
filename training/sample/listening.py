"""Who listens to what, and when: tastes, sessions, and the events that they leave in a log."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.sample.catalogue import GENRES, Catalogue
from training.sample.names import CITIES, NOUNS, people_names

FIRST_USER_ID = 101
FIRST_SESSION_ID = 124
START = np.datetime64("2024-01-01T00:00:00", "ms")
MONTHS = 6
DAY_MS = 86_400_000

LIBRARY = 60
"""Tracks that a user comes back to."""

PLAY, SKIP, LIKE, ADVERTISEMENT, BUY_PREMIUM = range(5)
EVENT_TYPES = ("PLAY", "SKIP", "LIKE", "ADVERTISEMENT", "BUY_PREMIUM")
NO_TRACK = -1

MEAN_SESSION = 11  # listens
EVENINGS = np.array([3, 2, 1, 1, 1, 1, 2, 4, 5, 4, 4, 4, 5, 5, 4, 4, 5, 7, 9, 10, 11, 10, 8, 5], dtype=float)
KINDS_OF_LISTENING = (0.45, 0.45, 0.10)  # own library, the session's genre, anything
SKIP_RATE = np.array([0.10, 0.30, 0.65])
LIKE_RATE = np.array([0.20, 0.15, 0.03])
ADVERTISEMENT_RATE = 0.2
BUY_RATE = 0.005


@dataclass(frozen=True)
class Listeners:
    """Users row by row."""

    tastes: NDArray[np.float64]
    """(users, genres); each row sums to 1."""
    library: NDArray[np.int64]
    """(users, LIBRARY) track rows, the dearest first."""
    activity: NDArray[np.float64]
    """(users,) share of all sessions."""
    premium: NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """A log, column by column, in the order of the file."""

    time_ms: NDArray[np.int64]
    """Milliseconds since START."""
    user: NDArray[np.int64]
    track: NDArray[np.int64]
    """Track row, NO_TRACK for advertisements and purchases."""
    event_type: NDArray[np.int64]
    session: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> "Events":
        return Events(self.time_ms[rows], self.user[rows], self.track[rows], self.event_type[rows], self.session[rows])


def draw_rowwise(weights: NDArray[np.float64], rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw for each entry of `rows` one column of `weights` (rows, columns) in proportion to that row."""
    n_columns = weights.shape[1]
    # One sorted array for all rows: the cumulated shares of row r lie in (r, r + 1].
    cumulated = np.cumsum(weights, axis=1)
    cumulated = (cumulated / cumulated[:, -1:] + np.arange(len(weights))[:, None]).ravel()
    drawn = np.searchsorted(cumulated, rows + rng.random(len(rows)), side="right")
    columns: NDArray[np.int64] = np.clip(drawn - rows * n_columns, 0, n_columns - 1)
    return columns


def draw_tracks(catalogue: Catalogue, genres: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a track of each genre by its popularity there."""
    order = np.argsort(catalogue.genre_of_track, kind="stable")
    present, first = np.unique(catalogue.genre_of_track[order], return_index=True)
    last = np.append(first[1:], len(order)) - 1
    cumulated = np.cumsum(catalogue.weights[order])
    before = np.append(0.0, cumulated)[first]
    slot = np.searchsorted(present, genres)
    drawn = np.searchsorted(cumulated, before[slot] + rng.random(len(genres)), side="right")
    tracks: NDArray[np.int64] = order[np.clip(drawn, first[slot], last[slot])]
    return tracks


def make_listeners(n_users: int, catalogue: Catalogue, rng: np.random.Generator) -> Listeners:
    """Draw users who love three or so genres each, and the tracks that they return to."""
    exists = catalogue.genre_share > 0
    tastes = (rng.dirichlet(catalogue.genre_share * 3.0 + 1e-3, n_users) + 1e-9) * exists
    tastes /= tastes.sum(axis=1, keepdims=True)
    owner = np.repeat(np.arange(n_users), LIBRARY)
    library = draw_tracks(catalogue, draw_rowwise(tastes, owner, rng), rng).reshape(n_users, LIBRARY)
    activity = rng.lognormal(0.0, 0.8, n_users)
    return Listeners(tastes, library, activity / activity.sum(), rng.random(n_users) < 0.35)


def make_events(n_events: int, catalogue: Catalogue, listeners: Listeners, rng: np.random.Generator) -> Events:
    """Return exactly `n_events` events: sessions in order of time, each an unbroken run of lines."""
    length = rng.geometric(1 / MEAN_SESSION, n_events)  # every listen leaves its PLAY: n_events sessions are enough
    length = length[: int(np.searchsorted(np.cumsum(length), n_events)) + 1]
    session = np.repeat(np.arange(len(length)), length)
    session_user = rng.choice(len(listeners.activity), len(length), p=listeners.activity)
    session_start = _session_starts(len(length), rng)
    track, skipped, liked = _what_is_heard(session, session_user, catalogue, listeners, rng)
    events = _events_of_listens(
        session, session_user[session], track, skipped, liked, session_start, catalogue, listeners, rng
    )
    # Sessions are numbered in no order of time, so cutting here thins all months alike.
    events = events[:n_events]
    by_start = np.lexsort((np.arange(n_events), events.session, session_start[events.session]))
    return events[by_start]


def _session_starts(n_sessions: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Milliseconds since START: any day, mostly in the evening."""
    day = rng.integers(MONTHS * 30, size=n_sessions)
    hour = rng.choice(24, n_sessions, p=EVENINGS / EVENINGS.sum())
    return day * DAY_MS + hour * 3_600_000 + rng.integers(3_600_000, size=n_sessions)


def _what_is_heard(
    session: NDArray[np.int64],
    session_user: NDArray[np.int64],
    catalogue: Catalogue,
    listeners: Listeners,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return track rows, and which of them are skipped and liked.

    Half of the listens are of the user's own library, most others of the session's genre, the rest of anything
    popular; strangers are skipped most and liked least.
    """
    n = len(session)
    user = session_user[session]
    mood = draw_rowwise(listeners.tastes, session_user, rng)[session]
    anything = rng.choice(len(GENRES), n, p=catalogue.genre_share)
    kind = rng.choice(3, n, p=KINDS_OF_LISTENING)
    discovered = draw_tracks(catalogue, np.where(kind == 1, mood, anything), rng)
    dearest = (LIBRARY * rng.random(n) ** 1.6).astype(np.int64)
    track = np.where(kind == 0, listeners.library[user, dearest], discovered)
    skipped = rng.random(n) < SKIP_RATE[kind]
    liked = ~skipped & (rng.random(n) < LIKE_RATE[kind])
    return track, skipped, liked


def _events_of_listens(
    session: NDArray[np.int64],
    user: NDArray[np.int64],
    track: NDArray[np.int64],
    skipped: NDArray[np.bool_],
    liked: NDArray[np.bool_],
    session_start: NDArray[np.int64],
    catalogue: Catalogue,
    listeners: Listeners,
    rng: np.random.Generator,
) -> Events:
    """Expand listens to events: each is a PLAY, then perhaps a SKIP or LIKE, an advertisement, a purchase."""
    n = len(track)
    duration = catalogue.duration_ms[track]
    advertised = ~listeners.premium[user] & (rng.random(n) < ADVERTISEMENT_RATE)
    bought = advertised & (rng.random(n) < BUY_RATE)
    reaction = (duration * rng.uniform(0.05, 0.95, n)).astype(np.int64)
    heard = np.where(skipped, reaction, duration)
    took = heard + np.where(advertised, 20_000, 0)
    ends = np.cumsum(took)
    first = np.searchsorted(session, session)  # the first listen of each listen's session
    began = session_start[session] + (ends - took) - (ends - took)[first]

    happened = np.stack([np.ones(n, dtype=bool), skipped, liked, advertised, bought], axis=1)
    when = np.stack([began, began + reaction, began + reaction, began + heard, began + took], axis=1)
    listen, event_type = np.nonzero(happened)
    return Events(
        time_ms=when[listen, event_type],
        user=user[listen],
        track=np.where(event_type <= LIKE, track[listen], NO_TRACK),
        event_type=event_type,
        session=session[listen],
    )


def user_records(listeners: Listeners, rng: np.random.Generator) -> list[dict[str, object]]:
    """Return the lines of users.jsonl; a user's favourite genres are the strongest of their taste."""
    n = len(listeners.premium)
    favourites = np.argsort(-listeners.tastes, axis=1)[:, :3].tolist()
    columns = zip(
        people_names(n, rng),
        rng.choice(CITIES, n).tolist(),
        rng.choice(NOUNS, n).tolist(),
        rng.integers(1, 120, size=n).tolist(),
        favourites,
        listeners.premium.tolist(),
        strict=True,
    )
    return [
        {
            "user_id": FIRST_USER_ID + row,
            "name": name,
            "city": city,
            "street": f"{number} {street} Lane",
            "favourite_genres": [GENRES[genre] for genre in genres],
            "premium_user": premium,
        }
        for row, (name, city, street, number, genres, premium) in enumerate(columns)
    ]
