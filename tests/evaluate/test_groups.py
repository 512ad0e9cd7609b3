"""Who listens together: drawn by taste, or read from a file."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from service.core.errors import DataError
from training.groups import GROUP_TYPES, Group, Listeners, draw_groups, prepared_groups, read_groups

ROCK, JAZZ = ["r1", "r2", "r3"], ["j1", "j2", "j3"]


def listeners(heard: dict[str, list[str]]) -> Listeners:
    """Listeners with a score of 1 for what they heard."""
    pairs = [(user_id, track_id, 1.0) for user_id, tracks in heard.items() for track_id in tracks]
    return Listeners.of(list(heard), pd.DataFrame(pairs, columns=["user_id", "track_id", "score"]))


def two_camps() -> Listeners:
    """Ten who hear rock and ten who hear jazz, each camp of one mind."""
    return listeners({f"rock{n}": ROCK for n in range(10)} | {f"jazz{n}": JAZZ for n in range(10)})


def camps(group: Group) -> set[str]:
    return {user_id[:4] for user_id in group.user_ids}


def test_members_of_a_similar_group_come_from_one_camp() -> None:
    groups = draw_groups(two_camps(), "similar", size=4, number=30, seed=0)

    assert all(len(camps(group)) == 1 for group in groups)
    assert {camp for group in groups for camp in camps(group)} == {"rock", "jazz"}


def test_members_of_a_divergent_group_come_from_both_camps_and_a_third_repeats_one() -> None:
    assert all(camps(g) == {"rock", "jazz"} for g in draw_groups(two_camps(), "divergent", size=2, number=30, seed=0))


def test_a_group_is_as_alike_as_the_mean_cosine_of_its_pairs() -> None:
    people = listeners({"ann": ["a", "b"], "bob": ["a", "c"], "eve": ["d"], "new": []})
    together = [Group(group_id="g", user_ids=("ann", "bob", "eve"))]

    assert people.likeness(together) == pytest.approx((1 / 2 + 0 + 0) / 3)  # ann and bob share one track of two
    assert people.likeness([Group(group_id="g", user_ids=("ann", "stranger"))]) is None


def test_skipped_tracks_are_no_taste() -> None:
    pairs = pd.DataFrame({"user_id": ["ann", "bob", "bob"], "track_id": ["a", "a", "b"], "score": [1.0, 0.0, 1.0]})

    people = Listeners.of(["ann", "bob"], pairs)

    assert people.likeness([Group(group_id="g", user_ids=("ann", "bob"))]) == 0


def test_the_next_member_is_the_one_whose_lowest_cosine_to_the_others_is_highest() -> None:
    """Written out: from every possible start, the greedy choice among all others."""
    heard = {"a": ["1", "2", "3"], "b": ["1", "2"], "c": ["3", "4"], "d": ["5"], "e": ["1", "5"]}
    people = listeners(heard)

    def cosine(x: str, y: str) -> float:
        return len({*heard[x]} & {*heard[y]}) / (len(heard[x]) * len(heard[y])) ** 0.5

    for group_type, sign in (("similar", 1), ("divergent", -1)):
        for group in draw_groups(people, group_type, size=3, number=20, seed=1):
            first, second, third = group.user_ids
            outlook = {
                u: min(sign * cosine(u, first), sign * cosine(u, second)) for u in heard if u not in (first, second)
            }
            assert sign * cosine(first, second) == pytest.approx(
                max(sign * cosine(first, u) for u in heard if u != first)
            )
            assert outlook[third] == pytest.approx(max(outlook.values()))


def test_ten_groups_are_the_first_of_a_hundred_and_nobody_is_twice_in_one() -> None:
    people = listeners({f"u{n}": ["a"] for n in range(9)})

    for group_type in GROUP_TYPES:
        groups = draw_groups(people, group_type, size=5, number=100, seed=4)
        assert draw_groups(people, group_type, size=5, number=10, seed=4) == groups[:10]
        assert all(len(set(group.user_ids)) == 5 for group in groups)


def test_too_few_users_for_a_group_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="a group of 5 needs 5 users to judge by, there are 2"):
        draw_groups(listeners({"u1": ["a"], "u2": ["b"]}), "random", size=5, number=1, seed=0)


@pytest.mark.parametrize(
    "line", ['{"group_id": "g"}', '{"group_id": "g", "user_ids": []}', "[1]", "{", '"x"', "[" * 100_000]
)
def test_a_line_that_is_no_group_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "groups.jsonl"
    file.write_text(json.dumps({"group_id": "a", "user_ids": ["u1"]}) + "\n" + line + "\n")

    with pytest.raises(DataError, match="line 2"):
        read_groups(file)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"group_id": "g", "user_ids": []}', "user_ids: Input must not be empty"),
        ('{"group_id": "", "user_ids": ["u1"]}', "group_id: Input must not be empty"),
        ('{"group_id": "g", "user_ids": "u1"}', "user_ids: Input should be a valid array"),
        ('{"group_id": "g", "user_ids": [null]}', "user_ids.0: Input should be a valid string"),
        ("[1]", "Input should be an object"),
        ('{"group_id": "g", "user_ids": ["u1", ""]}', "user_ids: an id must not be empty"),
        (json.dumps({"group_id": "g", "user_ids": ["u" * 257]}), "user_ids: id of more than 256 characters"),
        ('{"group_id": "g\\n", "user_ids": ["u1"]}', "group_id: control character in an id"),
        ('{"group_id": "g", "user_ids": ["u1", "u\u20282"]}', "user_ids: control character in an id"),
    ],
)
def test_what_is_wrong_with_a_group_is_told_in_words_of_json(tmp_path: Path, line: str, fault: str) -> None:
    (tmp_path / "g.jsonl").write_text(line)

    with pytest.raises(DataError) as error:
        read_groups(tmp_path / "g.jsonl")

    assert f'"user_ids": ["...", ...]}}: {fault}' in str(error.value)


def test_integer_ids_in_a_file_of_groups_become_text(tmp_path: Path) -> None:
    (tmp_path / "g.jsonl").write_bytes('\ufeff{"group_id": 7, "user_ids": [101, "a"]}\n'.encode())

    assert read_groups(tmp_path / "g.jsonl") == [Group(group_id="7", user_ids=("101", "a"))]


def test_a_file_of_groups_may_be_packed(tmp_path: Path) -> None:
    line = b'{"group_id": "g", "user_ids": ["ann"]}\r\n'
    (tmp_path / "g.jsonl.gz").write_bytes(gzip.compress(line))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(line)[:-9])

    assert read_groups(tmp_path / "g.jsonl.gz") == [Group(group_id="g", user_ids=("ann",))]
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz cannot be read"):
        read_groups(tmp_path / "cut.jsonl.gz")


def test_a_file_without_a_group_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "g.jsonl").write_text("\n\n")

    with pytest.raises(DataError, match="names no group; each line is one, "):
        read_groups(tmp_path / "g.jsonl")


def test_who_is_named_twice_in_a_group_has_one_say(tmp_path: Path) -> None:
    (tmp_path / "g.jsonl").write_text('{"group_id": "g", "user_ids": ["ann", "bob", "ann"]}')

    assert read_groups(tmp_path / "g.jsonl") == [Group(group_id="g", user_ids=("ann", "bob"))]


def test_a_group_that_is_there_twice_is_named(tmp_path: Path) -> None:
    lines = [json.dumps({"group_id": group_id, "user_ids": ["ann"]}) for group_id in ("g", "h", "g")]
    (tmp_path / "g.jsonl").write_text("\n".join(lines))

    with pytest.raises(DataError, match="line 3: group 'g' is in line 1 already"):
        read_groups(tmp_path / "g.jsonl")


def test_a_prepared_group_without_members_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"group_id": ["g"], "user_ids": [[]]}).to_parquet(tmp_path / "groups.parquet")

    with pytest.raises(DataError, match=r"groups\.parquet: user_ids: "):
        prepared_groups(tmp_path)
