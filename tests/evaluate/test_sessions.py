"""Whole sessions: nothing twice, and fairness that lasts."""

from pathlib import Path

import numpy as np
import pytest

from service.core.artifacts import ArtifactStore
from tests.evaluate.conftest import TRACKS, publish
from training.evaluate.group_metrics import recommend
from training.evaluate.held_out import HeldOut
from training.evaluate.playlists import truth_of
from training.evaluate.sessions import LENGTH, judge_sessions, session
from training.evaluate.subject import Subject
from training.groups import Group

PAIR = Group(group_id="g", user_ids=("u00", "u01"))


@pytest.mark.parametrize("strategy", ["average", "fair_share", "shared_first", "round_robin"])
def test_a_session_repeats_nothing_until_nothing_is_left(prepared: Path, models: Path, strategy: str) -> None:
    seer = Subject.of(ArtifactStore(models).load("seer"))

    heard = session(seer.model, strategy, truth_of(HeldOut.load(prepared), seer, [PAIR], "all"), seed=0)[0]

    assert sorted(heard[:TRACKS]) == list(range(TRACKS))
    assert (heard[TRACKS:] == -1).all()


def test_a_session_begins_with_the_playlist_that_the_group_would_get(prepared: Path, models: Path) -> None:
    seer = Subject.of(ArtifactStore(models).load("seer"))
    truth = truth_of(HeldOut.load(prepared), seer, [PAIR], "all")

    playlist = recommend(seer.model, "fair_share", truth, LENGTH, seed=0)

    assert session(seer.model, "fair_share", truth, seed=0)[:, :LENGTH].tolist() == playlist.tolist()


def test_who_outvotes_their_group_has_more_by_the_end_of_each_playlist(prepared: Path, tmp_path: Path) -> None:
    """Two of the even camp and one of the odd: the average plays even tracks only, fair_share seven and three."""
    store = ArtifactStore(tmp_path)
    camps = np.eye(2, dtype=np.float32)[np.arange(12) % 2]
    publish(prepared, store, "seer", (camps, np.eye(2, dtype=np.float32)[np.arange(TRACKS) % 2]))
    seer = Subject.of(store.load("seer"))
    group = Group(group_id="g", user_ids=("u00", "u02", "u01"))

    average, fair = judge_sessions(HeldOut.load(prepared), [seer], ["average", "fair_share"], [group], "all", seed=0)

    assert average.figures["min_max@10"][0] == 0
    assert fair.figures["min_max@10"][0] == pytest.approx(3 / 7)
    assert average.figures["min_max@20"][0] == fair.figures["min_max@20"][0] == 1  # by then everything was played
