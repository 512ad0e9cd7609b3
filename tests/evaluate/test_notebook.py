"""What somebody meets who imports Tutti in a notebook: folders as text, slips of the hand, and what is shown."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.core.artifacts import ArtifactStore
from service.core.errors import ConfigurationError
from service.core.ids import IdIndex
from service.core.recommenders import recommender_of
from training.data import load
from training.evaluate import Plan, evaluate
from training.models.algorithm import Fitted
from training.report import write_report


def test_folders_and_files_may_be_text(prepared: Path, models: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.jsonl"
    groups.write_text('{"group_id": "even", "user_ids": ["u00", "u02"]}')
    plan: Any = {"data": str(prepared), "models": str(models), "groups": str(groups)}

    evaluation = evaluate(Plan(**plan, names=("seer",), strategies=("average",), cutoffs=(5,)))
    write_report(evaluation, str(tmp_path / "report"))

    assert (tmp_path / "report" / "report.html").is_file()
    assert len(load(str(prepared)).interactions.users) == 12
    assert ArtifactStore(plan["models"]).names() == ["basic", "fool", "seer"]


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ({"split": "train"}, r"split: there is no 'train', known: \['test', 'validation'\]"),
        (
            {"group_types": ("friends",)},
            "group_types: there is no 'friends', known: .*'divergent', 'random', 'similar'",
        ),
        ({"group_protocols": ("old",)}, "group_protocols: there is no 'old', known: .*'all', 'discovery', 'new'"),
        ({"strategies": ("dictator",)}, "strategies: there is no 'dictator', known: .*'average'"),
        ({"names": "wmf"}, r"names = 'wmf' is one text and has to be several, as in \('wmf',\)"),
        ({"strategies": ()}, "strategies is empty"),
        ({"cutoffs": ()}, "cutoffs is empty"),
        ({"cutoffs": (0,)}, "cutoffs holds 0, and a number of 1 or more is wanted"),
        ({"n_groups": (-1,)}, "n_groups holds -1"),
    ],
    ids=str,
)
def test_a_slip_is_named_with_the_choices(prepared: Path, models: Path, slip: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(Plan(data=prepared, models=models), **slip)


def test_what_is_shown_is_one_short_line(prepared: Path, models: Path) -> None:
    data, artifact = load(prepared), ArtifactStore(models).load("seer")
    evaluation = evaluate(Plan(data=prepared, models=models, strategies=("average",), n_groups=(2,), cutoffs=(5,)))
    fitted = Fitted({"user_factors": np.zeros((12, 2)), "item_factors": np.zeros((20, 2))})

    assert repr(data) == (
        "PreparedData(Interactions(12 users, 20 tracks, 96 pairs), pairs: 36 of validation, 0 of test)"
    )
    assert repr(data.interactions.users) == "IdIndex(12 ids: 'u00', 'u01', 'u02', …)"
    assert repr(IdIndex(["ann"])) == "IdIndex(1 ids: 'ann')"
    assert repr(artifact) == f"Artifact(seer {artifact.manifest.version}, factors, 12 users, 20 tracks)"
    assert repr(recommender_of(artifact)) == "Factors(12 users, 20 tracks)"
    assert repr(evaluation) == (
        "Evaluation(Results(basic, fool, seer on world0/prepared: 12 listeners, 2 random groups of 5))"
    )
    assert repr(evaluation.users[0]) == "UserTable(basic, new: 12 listeners)"
    assert repr(evaluation.groups[0]) == "GroupTable(basic/average, new: 2 groups)"
    assert repr(fitted) == "Fitted(user_factors (12, 2), item_factors (20, 2); scoring: []; 0 epochs)"


@pytest.mark.parametrize("name", ["basic", "seer"])
def test_every_kind_of_model_says_its_size(models: Path, name: str) -> None:
    assert repr(recommender_of(ArtifactStore(models).load(name))).endswith("(12 users, 20 tracks)")
