"""Invented names of artists, tracks and people; any likeness is chance."""

import numpy as np
from numpy.typing import NDArray


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES = _words(
    "Amber Autumn Blue Bright Broken Copper Crimson Crystal Distant Early Electric Faded Gentle Gilded Golden "
    "Hidden Hollow Hushed Indigo Ivory Late Little Lonely Lunar Midnight Northern Open Paper Quiet Restless "
    "Rolling Salted Scarlet Secret Silver Sleeping Slow Southern Stray Summer Sunday Velvet Violet Wandering "
    "Western Wild Winter Wooden Yellow Young"
)
NOUNS = _words(
    "Anchor Arcade Avenue Bird Bridge Canyon Carousel Castle Cloud Comet Compass Coast Dance Dream Ember Engine "
    "Feather Field Fountain Garden Ghost Harbour Heart Hotel House Island Kite Lantern Letter Light Machine "
    "Meadow Mirror Mountain Ocean Orchard Parade Piano Planet Rain River Road Satellite Season Shadow Signal "
    "Station Storm Story Street Telephone Theatre Tide Tiger Train Valley Window Wolf"
)
PLACES = _words(
    "Aurora Bergen Bristol Calais Cordoba Dakar Delft Galway Genoa Havana Kyoto Lagos Leeds Lima Lisbon Lyon "
    "Malmo Memphis Naples Odessa Oslo Porto Quito Riga Salem Seville Tampere Tbilisi Turin Vienna"
)
FIRST_NAMES = _words(
    "Ada Alma Amara Anton Bela Bruno Carla Cleo Dario Edda Elio Emre Esme Felix Freya Hana "
    "Hugo Ines Iris Ivo Jonas Juno "
    "Kaja Kofi Lena Leo Lina Luca Mara Mateo Maya Milo Nadia Nico Nora Olga Omar Otto Petra Rafa Rosa Ruth "
    "Samir Selma Simon Sofia Tariq Tessa Theo Uma Vera Victor Wanda Yara Yusuf Zoe"
)
LAST_NAMES = _words(
    "Abara Almeida Berg Bianchi Castillo Costa Dahl Demir Duarte Eriksen Fischer Garnier Haas Hansen Ibarra "
    "Ivanova Jansen Kaya Keller Kovac Laine Larsen Lindqvist Marchetti Mendes Moreau Nakata Novak Okafor Olsen "
    "Park Pereira Petrov Quinn Rossi Sandoval Santos Schneider Silva Sorensen Tanaka Torres Ueda Vargas Virtanen "
    "Weber Winter Yilmaz Zeman"
)
CITIES = _words(
    "Brightwater Eastmere Fallowfield Greyhaven Larkspur Millbrook Northgate Riverton Stonebridge Westcliff"
)

ARTIST_PATTERNS = (
    "The {adjective} {noun}s",
    "{first} {last}",
    "{noun} & {noun2}",
    "{place} {noun}",
    "{adjective} {noun}",
    "{first} and the {noun}s",
    "{noun} Club {place}",
)
TRACK_PATTERNS = (
    "{adjective} {noun}",
    "{noun} in {place}",
    "Letter to {first}",
    "The {noun} and the {noun2}",
    "{first}'s {noun}",
    "Last {noun} to {place}",
    "{adjective} {noun}, {adjective2} {noun2}",
    "Under the {noun}",
    "{noun}s",
    "When {first} Danced",
    "No {noun} Without {noun2}",
    "Hello, {place}",
)


def _fill(patterns: tuple[str, ...], n: int, rng: np.random.Generator) -> list[str]:
    words: dict[str, tuple[str, ...]] = {
        "adjective": ADJECTIVES,
        "adjective2": ADJECTIVES,
        "noun": NOUNS,
        "noun2": NOUNS,
        "place": PLACES,
        "first": FIRST_NAMES,
        "last": LAST_NAMES,
    }
    drawn = {slot: rng.choice(choices, n).tolist() for slot, choices in words.items()}
    chosen = rng.integers(len(patterns), size=n).tolist()
    return [
        patterns[pattern].format(**dict(zip(drawn, filling, strict=True)))
        for pattern, *filling in zip(chosen, *drawn.values(), strict=True)
    ]


def track_names(n: int, rng: np.random.Generator) -> list[str]:
    """Return n titles; as in real catalogues, a few are shared by several tracks."""
    return _fill(TRACK_PATTERNS, n, rng)


def artist_names(n: int, rng: np.random.Generator) -> list[str]:
    """Return n different artist names; a name drawn again gets a number, as in "Blue Tide 2"."""
    times: dict[str, int] = {}
    names = []
    for name in _fill(ARTIST_PATTERNS, n, rng):
        times[name] = times.get(name, 0) + 1
        names.append(name if times[name] == 1 else f"{name} {times[name]}")
    return names


def people_names(n: int, rng: np.random.Generator) -> list[str]:
    """Return n names of people."""
    return _fill(("{first} {last}",), n, rng)


def public_ids(n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """Return n different ids of 22 letters and digits, as large catalogues have them."""
    alphabet = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)
    letters = np.ascontiguousarray(rng.choice(alphabet, (n, 22)))
    return letters.view("S22").ravel().astype(np.str_)
