"""Guests: what they get for each track that they name."""

from pathlib import Path

import pytest

from service.core.artifacts import ArtifactStore
from service.core.errors import DataError
from tests.evaluate.conftest import LISTENERS
from training.evaluate.cold_start import judge_guests
from training.evaluate.held_out import HeldOut
from training.evaluate.results import ColdStart
from training.evaluate.subject import Subject

EVERYBODY = [f"u{u:02}" for u in range(LISTENERS)]


def guests_of(
    prepared: Path, models: Path, names: list[str], at_least: int = 8, at_most: int | None = 1000
) -> ColdStart:
    subjects = [Subject.of(ArtifactStore(models).load(name)) for name in names]
    return judge_guests(HeldOut.load(prepared), subjects, EVERYBODY, k=2, seed=0, at_least=at_least, at_most=at_most)


def test_one_track_says_everything_where_there_are_two_camps(prepared: Path, models: Path) -> None:
    """Whoever likes one even track likes them all, and only they are left: the seer is as sure as of a known one."""
    points = {point.liked: point for point in guests_of(prepared, models, ["seer"]).points}

    assert list(points) == ["0", "1", "2", "5", "10", "20", "all", "known"]
    assert [point.quality.mean for liked, point in points.items() if liked != "0"] == pytest.approx([1] * 7)
    share = points["1"].share
    assert share is not None
    assert (share.mean, share.low, share.high) == pytest.approx((1, 1, 1))
    assert points["0"].quality.mean < 0.5  # what is popular is as often odd as even


def test_all_models_have_the_same_guests_and_one_worse_than_popularity_has_no_share(
    prepared: Path, models: Path
) -> None:
    curve = guests_of(prepared, models, ["seer", "fool"])

    assert {point.quality.n for point in curve.points} == {LISTENERS} == {curve.guests}
    assert {point.share for point in curve.points if point.model == "fool"} == {None}  # it puts everything new last


def test_of_many_guests_so_many_are_drawn(prepared: Path, models: Path) -> None:
    few, everybody = (guests_of(prepared, models, ["seer"], at_most=number) for number in (5, None))

    assert (few.guests, few.able) == (5, LISTENERS)
    assert everybody.guests == LISTENERS


def test_a_curve_that_nobody_has_the_history_for_is_a_clear_error(prepared: Path, models: Path) -> None:
    with pytest.raises(DataError, match="listeners with 9 liked tracks"):  # everybody heard 8
        guests_of(prepared, models, ["seer"], at_least=9)
