"""Which column of a file is the user, which the track: by name, by shape, or as told."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.core.errors import DataError
from training.sources.files import LogFile


@dataclass(frozen=True)
class Vocabulary:
    """The roles that columns can play in one sort of file."""

    names: Mapping[str, tuple[str, ...]]
    """For each role what it is called in files, first choice first; case, spaces and hyphens do not matter."""
    required: tuple[str, ...]

    def __hash__(self) -> int:
        return id(self)


EVENTS = Vocabulary(
    {
        "user": ("user_id", "userid", "user", "listener_id", "playlist_id", "playlistid"),
        "track": (
            *("track_id", "trackid", "track", "media_id", "mediaid", "song_id", "songid", "song"),
            *("item_id", "itemid", "item", "artist_id", "artistid", "artist", "id"),
        ),
        "event": ("event_type", "eventtype", "event", "is_listened"),
        "time": ("timestamp", "time", "datetime", "date_time", "ts", "ts_listen", "listened_at", "played_at"),
        "session": ("session_id", "sessionid", "session"),
        "count": ("count", "plays", "play_count", "playcount", "listen_count", "weight"),
        "position": ("position", "pos"),
    },
    required=("user", "track"),
)

GROUP_EVENTS = Vocabulary(
    {**EVENTS.names, "user": ("group_id", "groupid", "group", *EVENTS.names["user"])}, EVENTS.required
)
"""Events of groups: a group stands where else a user does."""

HEADERLESS = {3: {"user": 0, "track": 1, "count": 2}, 4: {"user": 0, "track": 2, "count": 3}}
"""Tab-separated files without header, by number of columns: `user artist count`, and Last.fm-360k's
`user mbid artist count`. The last column must be a whole number."""


@dataclass(frozen=True)
class Columns:
    """What a file's columns are called and which of them play a role."""

    names: tuple[str, ...]
    """All of a CSV, TSV or Parquet file in its order; of JSON lines the keys that were seen."""
    roles: tuple[tuple[str, int], ...]
    """Pairs (role, place in `names`)."""
    header: bool
    watched: tuple[str, ...] = ()
    """Of JSON lines that were not all looked at: keys that would play a role which none of those seen plays."""

    def place(self, role: str) -> int | None:
        """Return where in `names` a role is, None where the file has none."""
        return dict(self.roles).get(role)


def detect(file: LogFile, vocabulary: Vocabulary, names: Sequence[str] | None, told: Mapping[str, str]) -> Columns:
    """Find the roles of a file's columns.

    `names` are those of a Parquet file or of JSON lines, `told` what the user said: role to column name, to column
    number (from 1) in a table, or to "" for none. Raises DataError where a required role is not found.
    """
    if file.format == "adjacency":
        return Columns(("user", "track"), (("user", 0), ("track", 1)), header=False)
    seen = tuple(names) if names is not None else tuple(name.strip() for name in _first_row(file))
    is_numbered = told and all(column.isdecimal() for column in told.values()) and not set(told.values()) <= set(seen)
    if is_numbered and file.format in ("csv", "tsv"):
        return _numbered(file, seen, vocabulary, told)
    roles = _recognised(seen, vocabulary)
    for role, column in told.items():
        if column and column not in seen:
            raise DataError(_not_found(file, seen, f"there is no column {column!r} for {role}"))
        roles.pop(role, None)
        if column:
            roles[role] = seen.index(column)
    if not roles and file.format == "tsv" and _last_is_whole(file):
        return Columns(tuple(map(str, range(len(seen)))), tuple(HEADERLESS.get(len(seen), {}).items()), header=False)
    _demand(file, seen, vocabulary, roles)
    return Columns(seen, tuple(sorted(roles.items())), header=file.format in ("csv", "tsv"))


def keys_of(file: LogFile) -> tuple[str, ...]:
    """Return the keys in the first lines of a file of JSON; DataError where none of them is an object with keys."""
    keys: dict[str, None] = {}
    for line in file.head:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # counted when the whole file is read
            continue
        if isinstance(record, dict):
            keys |= dict.fromkeys(record)
    if file.head and not keys:
        raise DataError(
            f"{file.path}: none of its first lines is a JSON object with keys; there must be one object a line "
            "(jq -c '.[]' makes that of an array, jq -c . of objects over several lines)"
        )
    return tuple(keys)


def keys_to_watch(seen: Sequence[str], vocabulary: Vocabulary, told: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys that would matter if they came after those that were `seen`.

    These are what the user told, and what a role that nothing seen plays may be called: in the manner of the keys that
    were seen, or as in the vocabulary. Of keys that differ in case alone there is one, for DuckDB tells no more apart.
    """
    roles = _recognised(seen, vocabulary)
    names = [name for role, known in vocabulary.names.items() if role not in {*roles, *told} for name in known]
    in_manner = [_in_manner_of(seen[place], name) for place in roles.values() for name in names]
    keys = [key for key in (*told.values(), *in_manner, *names) if key and key not in seen]
    return tuple({key.lower(): key for key in reversed(keys)}.values())


def is_enough(seen: Sequence[str], vocabulary: Vocabulary, told: Mapping[str, str]) -> bool:
    """Whether all that was told and all that is required is among the keys that were seen."""
    found = _recognised(seen, vocabulary).keys() | told.keys()
    return {column for column in told.values() if column} <= set(seen) and found.issuperset(vocabulary.required)


def delimiter(file: LogFile) -> str:
    """Return what separates the columns of a CSV or TSV file; a .csv may use semicolons or tabs."""
    if file.format == "tsv":
        return "\t"
    return max(",;\t", key=file.head[0].count)


def read_rows(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """Yield the fields of each row; a TSV file has no quotes, so there every line is a row."""
    if separator == "\t":
        return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=separator)


def _first_row(file: LogFile) -> list[str]:
    return next(read_rows(file.head[:1], delimiter(file)), [])


def _numbered(file: LogFile, seen: Sequence[str], vocabulary: Vocabulary, told: Mapping[str, str]) -> Columns:
    """Find the roles of columns that are told by number; the first row is a header where it calls one of them so."""
    roles = {role: int(number) - 1 for role, number in told.items()}
    names = tuple(str(number) for number, _ in enumerate(seen, start=1))
    if missing := [number for number in told.values() if number not in names]:
        raise DataError(_not_found(file, names, f"no such column numbers: {', '.join(missing)}"))
    header = any(_plain(seen[place]) in vocabulary.names[role] for role, place in roles.items())
    if header:
        names, others = tuple(seen), _recognised(seen, vocabulary)
        roles = {role: place for role, place in others.items() if place not in roles.values()} | roles
    _demand(file, names, vocabulary, roles)
    return Columns(names, tuple(sorted(roles.items())), header=header)


def _recognised(seen: Sequence[str], vocabulary: Vocabulary) -> dict[str, int]:
    """Return the roles that columns play by their names, and the places of these columns."""
    plain = {_plain(name): place for place, name in reversed(list(enumerate(seen)))}
    return {role: place for role, known in vocabulary.names.items() if (place := _first(plain, known)) is not None}


def _in_manner_of(key: str, name: str) -> str:
    """Return a name of a vocabulary as a key is written: beside `userId`, `event_type` is `eventType`."""
    words = name.split("_")
    if key.isupper():
        words = [word.upper() for word in words]
    elif not key.islower():
        first = words[0] if key[0].islower() else words[0].title()
        words = [first, *(word.title() for word in words[1:])]
    return next((sign for sign in key if sign in "_- "), "").join(words)


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _first(plain: Mapping[str, int], known: Sequence[str]) -> int | None:
    return next((plain[name] for name in known if name in plain), None)


def _last_is_whole(file: LogFile) -> bool:
    fields = _first_row(file)
    return len(fields) in HEADERLESS and fields[-1].strip().isdecimal()


def _demand(file: LogFile, seen: Sequence[str], vocabulary: Vocabulary, roles: Mapping[str, int]) -> None:
    """Raise DataError where a required role is not found, or a column plays two."""
    for role in vocabulary.required:
        if role not in roles:
            raise DataError(_not_found(file, seen, f"no column is known to be the {role}", vocabulary))
    of_place: dict[int, str] = {}
    for role, place in roles.items():
        if (other := of_place.setdefault(place, role)) != role:
            raise DataError(_not_found(file, seen, f"column {seen[place]!r} cannot be both {other} and {role}"))


def _not_found(file: LogFile, seen: Sequence[str], what: str, vocabulary: Vocabulary = EVENTS) -> str:
    found = ", ".join(map(repr, seen)) or "none"
    if vocabulary is EVENTS:
        choices = "say which is which with --columns " + " ".join(f"{role}=..." for role in EVENTS.names)
    else:
        choices = "known names: " + ", ".join(name for role in vocabulary.required for name in vocabulary.names[role])
    return f"{file.path}: {what}; columns found: {found}; {choices}"
