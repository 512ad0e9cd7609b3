from training.evaluate.cohorts import ALL, Cohort, selections
from training.groups import Group

GROUPS = [Group(group_id=str(n), user_ids=("u",)) for n in range(3)]


def test_smaller_tables_are_the_first_groups_of_each_cohort_and_of_all_together() -> None:
    chosen = selections([Cohort("pairs", GROUPS), Cohort("trios", GROUPS)], [2, 3])

    assert [(name, places.tolist()) for name, places in chosen] == [
        (ALL, [0, 1, 3, 4]),
        ("pairs", [0, 1]),
        ("trios", [3, 4]),
        (ALL, [0, 1, 2, 3, 4, 5]),
        ("pairs", [0, 1, 2]),
        ("trios", [3, 4, 5]),
    ]


def test_one_cohort_is_not_reported_twice() -> None:
    assert [name for name, _ in selections([Cohort("pairs", GROUPS)], [3])] == ["pairs"]
