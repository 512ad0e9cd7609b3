"""The whole command on a world that can be solved by eye."""

import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from service.core.artifacts import ArtifactStore
from service.core.errors import DataError
from service.core.strategies import STRATEGIES
from tests.evaluate.conftest import LISTENERS, publish, write_split, write_world
from training.__main__ import main
from training.evaluate import Evaluation, Plan, evaluate
from training.evaluate.results import Results
from training.report import page
from training.report.figures import pictures
from training.report.findings import as_served, findings
from training.report.tables import on_screen

SERVED = ("average", "fair_share", "shared_first")
"""What models are served with, and the reference."""


def run(prepared: Path, models: Path, out: Path, *options: str) -> int:
    return main(["evaluate", "--data", str(prepared), "--models", str(models), "--out", str(out), *options])


@pytest.fixture(scope="module")
def evaluation(prepared: Path, models: Path) -> Evaluation:
    return evaluate(Plan(data=prepared, models=models, n_groups=(4, 8), group_sizes=(2,), cutoffs=(2, 5)))


def users(evaluation: Evaluation, model: str, protocol: str, metric: str) -> float:
    rows = [row for row in evaluation.results.users if (row.model, row.protocol) == (model, protocol)]
    return rows[0].metrics[metric].mean


def test_who_knows_the_truth_is_perfect_and_who_believes_the_opposite_is_not(evaluation: Evaluation) -> None:
    assert users(evaluation, "seer", "new", "ndcg@2") == pytest.approx(1)
    assert users(evaluation, "seer", "new", "recall@2") == pytest.approx(1)
    assert users(evaluation, "fool", "new", "recall@5") == 0


def test_play_counts_have_no_opinion_on_new_tracks_and_get_what_chance_gets(evaluation: Evaluation) -> None:
    assert users(evaluation, "basic", "new", "recall@2") == pytest.approx(2 / 12)  # 2 of the 12 tracks not heard


def test_new_leaves_out_what_was_heard_and_all_does_not(evaluation: Evaluation) -> None:
    assert users(evaluation, "seer", "all", "recall@2") == pytest.approx(2 / 10)  # 10 equals, of which 3 are relevant
    assert users(evaluation, "seer", "all", "hit_rate@2") == pytest.approx(1 - 7 / 10 * 6 / 9)


def test_a_group_of_one_mind_gets_hits_from_the_seer_and_none_from_the_fool(
    prepared: Path, models: Path, tmp_path: Path
) -> None:
    file = tmp_path / "groups.jsonl"
    file.write_text('{"group_id": "even", "user_ids": ["u00", "u02"]}\n{"group_id": "odd", "user_ids": ["u01", "u05"]}')

    results = evaluate(Plan(data=prepared, models=models, groups=file, cutoffs=(10,))).results

    precision = {(r.model, r.strategy): r.metrics["precision@10"].mean for r in results.groups if r.protocol == "all"}
    assert all(
        precision["fool", strategy] == 0 for strategy in set(STRATEGIES) - {"shared_first"}
    )  # it pools scores above 0 only
    assert precision["seer", "fair_share"] >= 0.4  # ten tracks of their parity, of which two members heard 4 or more


def test_every_model_and_strategy_has_a_row_for_every_protocol_and_number_of_groups(evaluation: Evaluation) -> None:
    rows = {(row.model, row.strategy, row.protocol, row.groups) for row in evaluation.results.groups}

    assert len(rows) == len(evaluation.results.groups) == 3 * len(STRATEGIES) * 2 * 2


def test_the_lead_of_the_seer_is_clear_in_the_paired_comparison(evaluation: Evaluation) -> None:
    comparison = next(
        c
        for c in evaluation.results.comparisons
        if (c.of, c.protocol, c.first, c.second) == ("served", "all", "seer/fair_share", "basic/shared_first")
    )

    assert comparison.differences["ndcg@5"].clear
    assert comparison.differences["ndcg@5"].better == 8


def test_one_group_leads_to_no_conclusion(prepared: Path, models: Path, tmp_path: Path) -> None:
    file = tmp_path / "groups.jsonl"
    file.write_text('{"group_id": "even", "user_ids": ["u00", "u02", "u04"]}')

    evaluation = evaluate(Plan(data=prepared, models=models, groups=file, strategies=SERVED, cutoffs=(5,)))

    sentence = findings(evaluation.results)[-1]
    assert "(a single one, so without an interval)" in sentence
    assert "a clear lead" not in sentence
    row = evaluation.results.main_groups[0].metrics["precision@5"]
    assert (row.low, row.high, row.sd) == (None, None, None)
    html = page(evaluation.results, pictures(evaluation))
    assert "None" not in html
    console = Console(width=200, record=True, file=io.StringIO())
    for part in on_screen(evaluation.results):
        console.print(part)
    assert " ± -" in (shown := console.export_text())
    assert "nan" not in shown


def test_one_guest_has_a_share_without_an_interval(prepared: Path, models: Path) -> None:
    plan = Plan(data=prepared, models=models, names=("seer",), n_groups=(1,), group_sizes=(1,), strategies=("average",))

    evaluation = evaluate(replace(plan, cutoffs=(5,), cold_start=1, max_users=1))

    assert evaluation.results.cold_start is not None
    shares = [point.share for point in evaluation.results.cold_start.points if point.share is not None]
    assert [(share.low, share.high) for share in shares] == [(None, None)] * len(shares)
    assert "None" not in page(evaluation.results, pictures(evaluation))


def test_validation_stands_in_for_an_empty_test_split_and_the_report_warns(evaluation: Evaluation) -> None:
    assert evaluation.results.data.split == "validation"
    assert any("validation split" in warning for warning in evaluation.results.warnings)


def test_the_share_of_new_pairs_is_counted(evaluation: Evaluation) -> None:
    assert evaluation.results.data.new_share == pytest.approx(2 / 3)


def test_nobody_is_best_at_what_no_model_can_name(models: Path, tmp_path: Path) -> None:
    world = tmp_path / "prepared"
    write_world(world)
    write_split(world, "test", [(f"u{u:02}", "released since", 1.0) for u in range(LISTENERS)])

    results = evaluate(Plan(data=world, models=models, n_groups=(4,), group_sizes=(2,), strategies=SERVED)).results

    assert (results.data.relevant, results.data.unknown) == (12, 12)
    assert "12 of 12 relevant tracks are unknown to every model, so that every list misses them" in results.warnings
    assert findings(results) == [
        "100% of what was held back for judging is new to its listener. A model that only repeats what its listeners "
        "know cannot name any of that.",
        "No model ranks new tracks well: nDCG@10 is 0 for each, as no list names a track that was held back.",
        "No model serves groups well: no member turned out to hear any of its 10 tracks (only what was not "
        "heard before).",
    ]


def test_what_is_known_already_can_be_repeated(models: Path, tmp_path: Path) -> None:
    world = tmp_path / "prepared"
    write_world(world)
    write_split(world, "test", [("u00", "t02", 1.0), ("u01", "t03", 1.0)])  # which they heard in training

    plan = Plan(data=world, models=models, n_groups=(1,), group_sizes=(2,), strategies=SERVED)

    assert findings(evaluate(plan).results)[0] == (
        "Nothing that was held back for judging is new to its listener: a model that only repeats what its listeners "
        "know can name all of it."
    )


def test_a_pair_of_both_earlier_splits_is_known_once(models: Path, tmp_path: Path) -> None:
    world = tmp_path / "prepared"
    write_world(world)  # u00 heard t02 in train and again in validation
    write_split(world, "test", [("u00", "t02", 1.0), ("u00", "t01", 1.0)])

    data = evaluate(Plan(data=world, models=models, n_groups=(1,), group_sizes=(1,), names=("basic",))).results.data

    assert (data.split, data.relevant, data.new) == ("test", 2, 1)


def test_the_same_seed_gives_the_same_figures(evaluation: Evaluation, prepared: Path, models: Path) -> None:
    again = evaluate(Plan(data=prepared, models=models, n_groups=(4, 8), group_sizes=(2,), cutoffs=(2, 5))).results

    assert again.users == evaluation.results.users
    assert again.groups == evaluation.results.groups


def test_all_files_are_written_and_the_page_needs_no_other(prepared: Path, models: Path, tmp_path: Path) -> None:
    out, rankings = tmp_path / "out", tmp_path / "rankings.jsonl"
    options = ["--n-groups", "3", "--group-size", "2", "--strategy", "average", "shared_first"]

    assert run(prepared, models, out, *options, "--k", "5", "--rankings", str(rankings)) == 0

    results = Results.model_validate_json((out / "results.json").read_text())
    html = (out / "report.html").read_text()
    assert {path.stem for path in (out / "figures").glob("*.png")} == {
        "listeners", "groups", "fairness", "popularity", "heat-map", "loss", "norms",
    }  # fmt: skip
    assert not re.findall(r'(?:src|href|srcset)="(?!data:|#)', html)
    assert set(re.findall('href="#([^"]+)"', html)) <= set(re.findall(' id="([^"]+)"', html))
    assert all(model.name in html for model in results.models)
    assert len(pd.read_csv(out / "users.csv")) == 3 * 2 * LISTENERS
    assert len(pd.read_csv(out / "groups.csv")) == 3 * 2 * 2 * 3
    lines = [json.loads(line) for line in rankings.read_text().splitlines()]
    of_groups, of_listeners = ([line for line in lines if ("group_id" in line) == given] for given in (True, False))
    assert len(of_groups) == 3 * 2 * 2 * 3
    assert len(of_listeners) == 3 * 2 * LISTENERS
    assert all({"user_ids", "model", "strategy", "track_ids"} <= set(line) for line in lines)
    seer = next(line for line in of_listeners if (line["model"], line["protocol"]) == ("seer", "new"))
    assert seer["user_ids"] == ["u00"]
    assert seer["track_ids"] == ["t00", "t10"]  # the two even tracks that u00 had not heard


def test_the_report_begins_with_one_sentence_about_groups_and_a_line_a_model(evaluation: Evaluation) -> None:
    served = as_served(evaluation.results)
    precision = {row.group.model: row.group.metrics["precision@5"].mean for row in served}
    seer, basic = (next(row for row in served if row.group.model == name) for name in ("seer", "basic"))

    assert list(precision) == sorted(precision, key=lambda model: -precision[model])
    assert set(precision) == {"seer", "basic", "fool"}
    assert seer.over_control is not None
    assert seer.over_control.mean == pytest.approx(precision["seer"] - precision["basic"])
    assert basic.over_control is None
    sentences = [sentence for sentence in findings(evaluation.results) if "Groups are served" in sentence]
    assert len(sentences) == 1
    assert sentences[0].startswith("Groups are served best by seer with fair share: ")
    assert sentences[0].endswith(f" lead over basic with {precision['basic']:.1%}.")


def test_the_leads_for_groups_are_tested_whatever_the_baselines_are(prepared: Path, models: Path) -> None:
    plan = Plan(data=prepared, models=models, strategies=SERVED, n_groups=(20,), group_sizes=(2,), cutoffs=(5,))

    usual, chosen = (evaluate(replace(plan, baselines=names)).results for names in ((), ("average",)))

    assert re.search(r", a clear lead over fool with .* and a clear lead over basic with", findings(usual)[-1])
    assert findings(chosen) == findings(usual)
    assert [row.over_control for row in as_served(chosen)] == [row.over_control for row in as_served(usual)]


def test_who_serves_groups_best_by_a_hair_has_no_clear_lead(prepared: Path, models: Path, tmp_path: Path) -> None:
    store = ArtifactStore(shutil.copytree(models, tmp_path / "models"))
    seer = store.load("seer").arrays
    publish(prepared, store, "twin", (seer["user_factors"], seer["item_factors"]))
    plan = Plan(
        data=prepared, models=store.root, names=("seer", "twin", "basic"), strategies=SERVED,
        n_groups=(20,), group_sizes=(2,), cutoffs=(5,),
    )  # fmt: skip

    results = evaluate(plan).results

    assert re.search(r", no clear lead over twin with .* and a clear lead over basic with", findings(results)[-1])


def test_fewer_members_without_a_hit_are_shown_as_the_better_they_are(evaluation: Evaluation) -> None:
    rows = page(evaluation.results, {}).splitlines()

    names = 'all</td><td class="text">seer, fair share</td><td class="text">basic, shared first</td>'
    row = next(row for row in rows if names in row)  # better in all; of min/max, alike for most, it is not clear
    assert re.findall('class="(up|down)"', row) == ["up"] * 5


def test_a_report_without_the_control_compares_with_nothing(prepared: Path, models: Path) -> None:
    plan = Plan(data=prepared, models=models, names=("seer", "fool"), n_groups=(4,), group_sizes=(2,), cutoffs=(5,))
    results = evaluate(plan).results

    assert [row.over_control for row in as_served(results)] == [None, None]
    assert "more than basic" not in page(results, {})


def test_a_full_disk_leaves_an_earlier_report_as_it_was(prepared: Path, models: Path, tmp_path: Path) -> None:
    out, rankings = tmp_path / "out", tmp_path / "rankings.jsonl"
    options = ["--n-groups", "2", "--group-size", "2", "--strategy", "average", "--rankings", str(rankings)]
    assert run(prepared, models, out, *options) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    limit += "; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"  # enough for all but the page
    again = ["evaluate", "--data", str(prepared), "--models", str(models), "--out", str(out), *options, "--seed", "1"]
    script = f"{limit}; from training.__main__ import main; raise SystemExit(main({again}))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.endswith(f"evaluate: [Errno 27] File too large: '{out}'\n")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_rankings_go_to_a_pipe_as_they_come(prepared: Path, models: Path, tmp_path: Path) -> None:
    options = ["--model", "seer", "--n-groups", "1", "--group-size", "2", "--strategy", "average"]
    command = ["evaluate", "--data", str(prepared), "--models", str(models), "--out", str(tmp_path), *options]

    done = subprocess.run(
        [sys.executable, "-m", "training", *command, "--rankings", "/dev/stdout"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 2 * LISTENERS + 2
    assert not list(tmp_path.glob(".*"))


def test_what_is_named_twice_is_judged_once(prepared: Path, models: Path, tmp_path: Path) -> None:
    options = ["--model", "seer", "seer", "--strategy", "average", "average", "--group-protocol", "all", "all"]

    assert run(prepared, models, tmp_path, *options, "--n-groups", "2", "2", "--group-size", "2", "2") == 0

    assert len(pd.read_csv(tmp_path / "groups.csv")) == 2
    assert len(Results.model_validate_json((tmp_path / "results.json").read_text()).groups) == 1


def test_a_place_for_rankings_that_is_full_is_named(
    prepared: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "seer", "--strategy", "average", "--n-groups", "2", "--group-size", "2"]

    assert run(prepared, models, tmp_path, *options, "--rankings", "/dev/full") == 1

    assert "No space left on device: '/dev/full'" in capsys.readouterr().err


def test_rankings_need_nothing_held_out(models: Path, tmp_path: Path) -> None:
    world, file, groups = tmp_path / "prepared", tmp_path / "rankings.jsonl", tmp_path / "groups.jsonl"
    write_world(world)
    write_split(world, "validation", [])
    groups.write_text('{"group_id": "even", "user_ids": ["u00", "u02"]}')
    options = ["--model", "seer", "--strategy", "average", "--groups", str(groups), "--k", "3"]

    assert run(world, models, tmp_path / "out", *options, "--rankings", str(file)) == 0

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    new = {tuple(line["user_ids"]): line["track_ids"] for line in lines if line["protocol"] == "new"}
    assert len(new) == LISTENERS + 1
    assert new["u00",] == ["t00", "t10"]  # the two even tracks that u00 had not heard; the odd ones are no opinion
    assert Results.model_validate_json((tmp_path / "out" / "results.json").read_text()).groups == []


def test_rankings_do_not_wait_for_groups_that_nobody_is_there_for(models: Path, tmp_path: Path) -> None:
    world, file = tmp_path / "prepared", tmp_path / "rankings.jsonl"
    write_world(world)
    write_split(world, "test", [("u00", "t00", 1.0), ("u01", "t01", 1.0)])
    options = ["--model", "seer", "--strategy", "average", "--n-groups", "1", "--group-size", "2", "3"]

    assert run(world, models, tmp_path / "out", *options) == 1
    assert run(world, models, tmp_path / "out", *options, "--rankings", str(file)) == 0

    results = Results.model_validate_json((tmp_path / "out" / "results.json").read_text())
    assert {row.cohort for row in results.groups} == {"random groups of 2"}
    assert "no groups of 3: there are 2 listeners to draw them from" in results.warnings
    members = [json.loads(line)["user_ids"] for line in file.read_text().splitlines()]
    assert len(members) == 2 * (LISTENERS + 1)  # under both protocols


def test_types_and_sizes_are_judged_apart_and_together_against_the_baseline(prepared: Path, models: Path) -> None:
    plan = Plan(
        data=prepared, models=models, names=("seer", "fool"), strategies=("average", "fair_share"), n_groups=(3,),
        group_types=("similar", "divergent"), group_sizes=(2, 3), baselines=("fool/average",), cutoffs=(5,),
    )  # fmt: skip

    results = evaluate(plan).results

    assert [(cohort.name, cohort.groups) for cohort in results.cohorts] == [
        ("similar groups of 2", 3),
        ("similar groups of 3", 3),
        ("divergent groups of 2", 3),
        ("divergent groups of 3", 3),
    ]
    assert results.cohorts[0].likeness is not None
    assert results.cohorts[0].likeness > 0.5 > (results.cohorts[2].likeness or 0)
    assert results.group_tables[0] == ("all groups", 12)
    compared = [row for row in results.comparisons if row.of == "groups"]
    assert {row.second for row in compared} == {"fool/average"}
    assert {row.first for row in compared} == {"fool/fair_share", "seer/average", "seer/fair_share"}
    assert {row.cohort for row in compared} == {"all groups", *(cohort.name for cohort in results.cohorts)}


def test_the_t_of_every_baseline_has_a_column_of_its_own(prepared: Path, models: Path) -> None:
    plan = Plan(
        data=prepared, models=models, names=("seer", "basic"), strategies=SERVED,
        n_groups=(20,), group_sizes=(3,), cutoffs=(5,),
    )  # fmt: skip
    results = evaluate(plan).results

    table = next(part for part in on_screen(results) if isinstance(part, Table) and "paired t" in str(part.title))

    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert str(table.title).endswith("paired t of nDCG against average, basic/shared_first")
    for place, (model, strategy) in enumerate(zip(columns["model"], columns["strategy"], strict=True)):
        row = f"{model}/{strategy}"
        assert columns["t average"][place] == t_of(results, row, f"{model}/average")
        assert columns["t basic/\nshared_first"][place] == t_of(results, row, "basic/shared_first")
    assert t_of(results, "seer/fair_share", "seer/average") != t_of(results, "seer/fair_share", "basic/shared_first")


def t_of(results: Results, first: str, second: str) -> str:
    """Return the t of two tables as it is shown, nothing where they are not compared."""
    names = ("groups", results.usual, first, second)
    found = [
        row.differences["ndcg@5"].t
        for row in results.comparisons
        if (row.of, row.protocol, row.first, row.second) == names
    ]
    return "".join("-" if t is None else f"{t:+.1f}" for t in found)


def test_groups_are_judged_by_the_protocols_asked_for(prepared: Path, models: Path, tmp_path: Path) -> None:
    options = ["--n-groups", "3", "--group-size", "2", "--strategy", "average", "--model", "seer", "--sessions"]

    assert run(prepared, models, tmp_path, *options, "--group-protocol", "discovery", "all") == 0

    results = Results.model_validate_json((tmp_path / "results.json").read_text())
    assert results.group_protocols == ["discovery", "all"]
    assert {row.protocol for row in results.sessions} == {results.usual} == {"discovery"}
    assert {row.protocol for row in results.users} == {"new", "all"}


@pytest.mark.parametrize(("option", "fault"), [("--out", "cannot be a folder"), ("--rankings", "is a folder")])
def test_a_place_that_is_taken_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, fault: str
) -> None:
    taken = tmp_path / "taken"
    taken.touch() if option == "--out" else taken.mkdir()

    code = main(["evaluate", "--data", "nowhere", "--models", "nowhere", "--out", str(tmp_path), option, str(taken)])

    assert code == 2
    assert f"{option} {taken} {fault}" in capsys.readouterr().err


def test_a_baseline_that_is_not_evaluated_is_a_clear_error(
    prepared: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(prepared, models, tmp_path, "--strategy", "average", "--baseline", "dictator") == 2

    assert "'dictator' is not evaluated" in capsys.readouterr().err


def test_sessions_and_guests_have_their_figures_and_tables(
    prepared: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--n-groups", "2", "--group-size", "2", "--strategy", "average", "fair_share", "--model", "seer"]

    assert run(prepared, models, tmp_path, *options, "--sessions") == 0
    assert "Sessions of 6 playlists of 10" in capsys.readouterr().out
    assert (tmp_path / "figures" / "sessions.png").exists()
    assert run(prepared, models, tmp_path, *options, "--cold-start") == 1  # nobody heard twenty tracks
    assert "listeners with 20 liked tracks" in capsys.readouterr().err


def test_given_groups_may_hold_strangers_and_people_with_nothing_relevant(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, file, out = tmp_path / "prepared", tmp_path / "groups.jsonl", tmp_path / "out"
    write_world(world)
    held_out = [("u00", "t00", 1.0), ("u01", "t01", 0.0), ("nobody", "t01", 1.0), ("u02", "unheard of", 1.0)]
    write_split(world, "test", held_out)
    members = [["u00", "nobody"], ["nobody"], ["u01"], ["u02", "u05", "u00"]]
    file.write_text("".join(json.dumps({"group_id": f"g{n}", "user_ids": m}) + "\n" for n, m in enumerate(members)))

    assert run(world, models, out, "--groups", str(file), "--strategy", "average", "--model", "seer") == 0

    results = Results.model_validate_json((out / "results.json").read_text())
    assert results.population.nothing_relevant == 1
    assert results.population.unknown == {"seer": 1}
    assert results.cohorts[0].strangers == {"seer": 2}
    assert results.cohorts[0].nothing_relevant == 2  # u01 only skipped, u05 is not in the split
    assert results.data.split == "test"
    assert "unknown to seer" in capsys.readouterr().out


def test_a_model_of_other_data_is_judged_with_a_warning(models: Path, tmp_path: Path) -> None:
    world = tmp_path / "prepared"
    write_world(world)
    write_split(world, "train", [("u00", "t01", 1.0)])

    plan = Plan(data=world, models=models, n_groups=(2,), group_sizes=(2,), names=("seer",))

    assert "seer: trained on other data" in evaluate(plan).results.warnings[0]


def test_groups_that_share_their_listeners_come_with_a_warning(prepared: Path, models: Path) -> None:
    plan = Plan(data=prepared, models=models, group_sizes=(3,), names=("basic",), strategies=("average",))
    few, many = (evaluate(replace(plan, n_groups=(n,))) for n in (2, 20))

    assert not any("share" in warning for warning in few.results.warnings)
    assert "20 groups share 12 listeners" in " ".join(many.results.warnings)


def test_listeners_are_drawn_where_there_are_more_than_asked_for(prepared: Path, models: Path) -> None:
    plan = Plan(data=prepared, models=models, n_groups=(2,), group_sizes=(2,), max_users=5, strategies=("average",))

    results = evaluate(plan).results

    assert (results.population.known, results.population.drawn) == (LISTENERS, 5)
    assert {row.users for row in results.users} == {5}


def test_nothing_to_judge_by_is_a_clear_error(models: Path, tmp_path: Path) -> None:
    world = tmp_path / "prepared"
    write_world(world)
    write_split(world, "validation", [])

    with pytest.raises(DataError, match=r"validation\.parquet holds no pairs, .*; prepare with --split random"):
        evaluate(Plan(data=world, models=models, split="validation"))
    with pytest.raises(DataError, match=r"test\.parquet and validation\.parquet hold no pairs, "):
        evaluate(Plan(data=world, models=models))


def test_nobody_known_is_a_clear_error(models: Path, tmp_path: Path) -> None:
    world = tmp_path / "prepared"
    write_world(world)
    write_split(world, "validation", [("nobody", "t01", 1.0)])

    with pytest.raises(
        DataError, match=r"unknown to a model \(1 to basic, 1 to fool, 1 to seer\), so there is nobody to judge by"
    ):
        evaluate(Plan(data=world, models=models))


@pytest.mark.parametrize("options", [["--k", "0"], ["--strategy", "dictator"], ["--n-groups", "x"]])
def test_wrong_usage_is_exit_code_2(prepared: Path, models: Path, tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(prepared, models, tmp_path, *options)


def test_a_store_without_models_fails_with_one_line(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(prepared, tmp_path / "none", tmp_path / "out") == 1

    assert capsys.readouterr().err.strip().splitlines()[-1].endswith("make one with `python -m training train`")
