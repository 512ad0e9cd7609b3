import pytest

from service.core.errors import DataError
from service.core.ids import IdIndex


def test_row_r_belongs_to_the_rth_id() -> None:
    index = IdIndex(["ann", "bob"])

    assert index.row("bob") == 1
    assert index.ids[1] == "bob"


def test_unknown_ids_have_no_row() -> None:
    index = IdIndex(["ann", "bob"])

    assert index.row("eve") is None
    assert index.rows(["bob", "eve", "ann"]).tolist() == [1, -1, 0]


def test_007_and_7_are_two_ids() -> None:
    assert IdIndex(["7", "007"]).rows(["007", "7"]).tolist() == [1, 0]


def test_an_id_that_is_there_twice_is_named() -> None:
    with pytest.raises(DataError, match="'ann'"):
        IdIndex(["ann", "bob", "ann"])
