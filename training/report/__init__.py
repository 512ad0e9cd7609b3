"""One page that shows an evaluation to a person: report.html, with every figure inside it."""

import base64
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.evaluate import Evaluation
from training.evaluate.group_metrics import GROUP_METRICS, OWN_METRICS
from training.evaluate.held_out import PROTOCOL_TITLES
from training.evaluate.listeners import CONTROL
from training.evaluate.results import Results, middle_cutoff
from training.evaluate.sessions import CUTOFFS as SESSION_CUTOFFS
from training.metrics import RANK_METRICS
from training.report.figures import TRACKS_SHOWN, USERS_SHOWN, Picture, pictures
from training.report.findings import as_served, findings

METRICS: Final[dict[str, str]] = {
    "precision": "the share of the tracks in the list that turned out to be heard; for a group, by any member.",
    "recall": "the share of what a listener turned out to hear that the list had named.",
    "ndcg": "hits count more the higher they stand; 1 means that no order could be better.",
    "map": "precision at each hit, averaged: it asks for many hits and for early ones.",
    "mrr": "1 over the place of the first hit: 1 for first, one half for second, 0 for none.",
    "hit_rate": "the share of listeners for whom the list has at least one hit.",
    "min_ndcg": "nDCG of the member of the group who is served worst.",
    "zero_recall": "the share of members who turned out to hear nothing of the list; lower is better.",
    "dfh": "how early each member meets their first hit, on the scale of nDCG: 1 first, .63 second, .5 third.",
    "min_max": "how even the list is: the least share of their own best list that a member has got over the greatest, "
    "1 for perfectly even. It believes the model; all others believe the listeners.",
    "prefix_min_max": "the same, wherever one stops listening.",
    "own_ndcg": "nDCG of the group as one listener, by what it turned out to hear together.",
    "own_recall": "the same for recall.",
    "own_hit_rate": "the same for the hit rate.",
    "novelty": "how surprising the tracks are: bits, log2 of one over the share of listeners who know the track.",
    "popularity": "the mean number of listeners that a recommended track had in training.",
    "artists": "how many different artists are in a list.",
    "coverage": "the share of the catalogue that appears in somebody's list.",
}
"""One sentence each, for somebody who has never met the word."""

NAMES: Final[dict[str, str]] = {
    "ndcg": "nDCG", "map": "MAP", "mrr": "MRR", "dfh": "DFH", "min_ndcg": "min nDCG", "zero_recall": "zRecall",
    "min_max": "min/max", "prefix_min_max": "prefix min/max", "hit_rate": "hit rate", "own_ndcg": "own nDCG",
}  # fmt: skip
"""Names as the literature writes them, where they differ from ours."""


def write_report(evaluation: Evaluation, out: Path | str) -> None:
    """Write report.html and figures/*.png below a folder."""
    out = Path(out)
    drawn = pictures(evaluation)
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        (folder / f"{name}.png").write_bytes(picture.light)
    (out / "report.html").write_text(page(evaluation.results, drawn), encoding="utf-8")


def page(results: Results, drawn: dict[str, Picture]) -> str:
    """Return the report as HTML that needs no other file."""
    environment = Environment(
        loader=PackageLoader("training.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    k = middle_cutoff(results.cutoffs)
    own = [name for name in OWN_METRICS if any(f"{name}@{k}" in row.metrics for row in results.groups)]
    environment.filters |= {"label": label, "playlist": playlist, "number": number, "signed": signed, "image": image}
    return environment.get_template("report.html.j2").render(
        results=results,
        k=k,
        pictures=drawn,
        metrics=METRICS,
        protocols=PROTOCOL_TITLES,
        findings=findings(results),
        served=as_served(results),
        sections=sections(results),
        control=CONTROL,
        left_out=left_out(results),
        heat_map=(USERS_SHOWN, TRACKS_SHOWN),
        user_metrics=tuple(RANK_METRICS),
        group_metrics=[name for name in [*GROUP_METRICS, *own] if name != "precision"],
        list_metrics=[f"{name}@{k}" for name in ("novelty", "popularity", "artists")],
        compared_users=[f"{name}@{k}" for name in RANK_METRICS],
        compared_groups=[f"{name}@{k}" for name in [*GROUP_METRICS, *own]],
        session_cutoffs=SESSION_CUTOFFS,
        guest_tracks=[]
        if results.cold_start is None
        else list(dict.fromkeys(p.liked for p in results.cold_start.points)),
        candidate_metrics=[f"{name}@{k}" for k in results.cutoffs for name in ("hit_rate", "ndcg")],
    )


def sections(results: Results) -> list[tuple[str, str, bool]]:
    """Return the anchor and the name of every section, and whether this report has it."""
    return [
        ("groups", "Groups", bool(results.groups)),
        ("sessions", "Sessions", bool(results.groups and results.sessions)),
        ("candidates", "Candidate lists", results.candidates is not None),
        ("guests", "Guests", results.cold_start is not None),
        ("listeners", "Single listeners", bool(results.users)),
        ("differences", "Differences", bool(results.users)),
        ("recommended", "What gets recommended", bool(results.users)),
        ("models", "Models", True),
        ("metrics", "Metrics", True),
        ("repeat", "To repeat it", True),
    ]


def label(name: str) -> str:
    """Return a metric's name for people: "min_ndcg@10" as "min nDCG@10"."""
    metric, at, k = name.partition("@")
    return NAMES.get(metric, metric.replace("_", " ")) + at + k


def playlist(name: str) -> str:
    """Return the name of a model with a strategy for people: "item_knn/fair_share" as "item_knn, fair share"."""
    model, _, strategy = name.partition("/")
    return f"{model}, {strategy.replace('_', ' ')}"


def number(value: float) -> str:
    """Return a figure with about three digits that count."""
    digits = next((digits for limit, digits in ((0.1, 4), (10, 3), (1000, 1)) if abs(value) < limit), 0)
    return f"{value:,.{digits}f}"


def signed(value: float) -> str:
    """Return a difference with its sign, of the width of a digit."""
    return ("+" if value > 0 else "\N{MINUS SIGN}" if value < 0 else "") + number(abs(value))


def image(picture: bytes) -> str:
    """Return a PNG as the address of itself."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def left_out(results: Results) -> list[str]:
    """Return in words who could not be judged or served."""
    population, cohorts = results.population, results.cohorts
    strangers = {model.name: sum(cohort.strangers[model.name] for cohort in cohorts) for model in results.models}
    counts = {
        "listeners with nothing relevant, left out": population.nothing_relevant,
        f"listeners who know all of it already, counted only where {PROTOCOL_TITLES['all']}": population.nothing_new,
        **_by_models("listeners unknown to {}, left out for all models", population.unknown),
        "listeners not drawn": population.known - population.drawn,
        **_by_models("group members unknown to {}, without a say in its lists", strangers),
        "group members with nothing relevant, counted in group precision only": sum(
            cohort.nothing_relevant for cohort in cohorts
        ),
    }
    if results.candidates is not None:
        found = results.candidates
        counts |= {
            "negatives of candidate lists named again, counted once": found.repeated,
            **_by_models("members of candidate lists unknown to {}, without a say", found.unknown_members),
            **_by_models("positives of candidate lists unknown to {}, ranked last", found.unknown_positives),
            **_by_models("negatives of candidate lists unknown to {}, ranked last", found.unknown_negatives),
        }
    return [f"{n:,} {what}" for what, n in counts.items() if n]


def _by_models(what: str, counts: dict[str, int]) -> dict[str, int]:
    """Return one entry for all models that have the same count."""
    return {
        what.format(", ".join(name for name, n in counts.items() if n == count)): count
        for count in dict.fromkeys(counts.values())
    }
