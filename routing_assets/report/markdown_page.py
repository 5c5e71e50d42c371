"""The routing report as Markdown: the answer first, then the tables it stands on.

Belongs here: layout and words. Does not: numbers (`report`), or the page (`report.html_page`).
"""

from collections.abc import Iterator

from routing_assets.contracts import ROUTES
from routing_assets.decisions.plan_markdown import cell
from routing_assets.report.regret import FIXED, Mean
from routing_assets.report.report import RoutingReport
from training_assets.contracts import Route

HOW_TO_READ = (
    "Skill is the distance of a score from chance as a share of the distance to a perfect score, so that a rank correlation (chance 0) and an AUC (chance "
    "0.5) stand on one scale. Intervals are over time: all pairs of a bar count together, and bars within the longest label as dependent. "
    "Regret is the best of three noisy scores less the routed one, so it is above zero even where nothing was left to gain, and more so on a short "
    "holdout; the differences from a fixed choice have no such bias. Scores are of the screen's models (ridge, and small boosted trees where "
    "they took part before the holdout), not of the trained families. Do not tune by this report: a plan changed because of it needs a new holdout."
)
MAX_TARGETS = 200


def report_markdown(report: RoutingReport) -> str:
    """The report for a reader, names escaped."""
    metadata = report.plan_metadata
    lines = ["# Routing report", "", _about(report), ""]
    if metadata.get("dev_mode"):
        lines += ["**Made in dev_mode: the leakage and sample gates were relaxed. Not for production.**", ""]
    lines += ["## Did routing help?", "", *(f"- {verdict}" for verdict in report.verdicts)]
    for section in (_choices, _routes, _targets, _calibration, _blocked):
        lines += ["", *section(report)]
    return "\n".join([*lines, "", "## How to read this", "", HOW_TO_READ]) + "\n"


def _about(report: RoutingReport) -> str:
    span = f"{report.holdout_start} to {report.holdout_end}, {report.n_holdout_times:,} bars"
    return f"Plan {report.plan_metadata.get('plan_id')} · data {report.plan_metadata.get('data_hash')} · holdout {span} · pairs {len(report.table):,}"


def _choices(report: RoutingReport) -> Iterator[str]:
    yield "## Routed pairs, and what a fixed choice would have given them"
    yield ""
    yield "| choice | mean skill | mean regret | routed minus this |"
    yield "| --- | ---: | ---: | ---: |"
    yield f"| as routed | {_mean(report, 'all', 'all', 'skill_routed')} | {_mean(report, 'all', 'all', 'regret')} | |"
    for name in FIXED:
        skill, regret, minus = (_mean(report, "all", "all", quantity) for quantity in (f"skill_{name}", f"regret_{name}", f"routed_minus_{name}"))
        yield f"| always {name} | {skill} | {regret} | {minus} |"


def _routes(report: RoutingReport) -> Iterator[str]:
    yield "## By route"
    yield ""
    yield "| route | pairs | scored | mean skill | mean regret |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    counts = report.table["route"].value_counts()
    for route in ROUTES:
        scored = report.mean("route", str(route), "skill_routed").n_pairs
        skill, regret = (_mean(report, "route", str(route), quantity) for quantity in ("skill_routed", "regret"))
        numbers = "no model | no model" if route is Route.BLOCKED else f"{skill} | {regret}"
        yield f"| {route} | {int(counts.get(str(route), 0)):,} | {'' if route is Route.BLOCKED else f'{scored:,}'} | {numbers} |"


def _targets(report: RoutingReport) -> Iterator[str]:
    yield "## By target"
    yield ""
    yield "| target | metric | pairs | routed | mean skill | mean regret | routed minus pooled | routed minus local |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    groups = report.table.groupby("target", sort=True)
    for number, (target, own) in enumerate(groups):
        if number == MAX_TARGETS:
            yield f"| and {groups.ngroups - MAX_TARGETS:,} more, in routing_report.parquet | | | | | | | |"
            return
        quantities = ("skill_routed", "regret", "routed_minus_pooled", "routed_minus_local")
        numbers = " | ".join(_mean(report, "target", str(target), quantity) for quantity in quantities)
        routed = int((own["route"] != str(Route.BLOCKED)).sum())
        yield f"| {cell(str(target))} | {cell(str(own['metric_name'].iloc[0]))} | {len(own):,} | {routed:,} | {numbers} |"


def _calibration(report: RoutingReport) -> Iterator[str]:
    yield "## Calibration: did the states hold up?"
    yield ""
    yield "| side | state | pairs | mean skill before | mean skill on the holdout | above chance |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for row in report.calibration.to_dict("records"):
        if row["n_pairs"]:
            held = Mean(row["skill_holdout"], row["ci_low"], row["ci_high"], row["n_pairs"]).text()
            yield f"| {row['side']} | {row['state']} | {row['n_pairs']:,} | {row['skill_before']:+.4f} | {held} | {row['share_above_null']:.0%} |"


def _blocked(report: RoutingReport) -> Iterator[str]:
    n_pairs = report.mean("blocked", str(Route.BLOCKED), "skill_pooled").n_pairs
    yield "## What blocking left on the table"
    yield ""
    if not n_pairs:
        yield "No blocked pair could be scored on the holdout."
        return
    yield f"Mean holdout skill that the {n_pairs:,} blocked pairs would have had; near zero is what blocking is for."
    yield ""
    yield "| choice | mean skill |"
    yield "| --- | ---: |"
    for name in FIXED:
        yield f"| always {name} | {_mean(report, 'blocked', str(Route.BLOCKED), f'skill_{name}')} |"


def _mean(report: RoutingReport, kind: str, group: str, quantity: str) -> str:
    mean = report.mean(kind, group, quantity)
    return mean.text() if mean.n_pairs else "none scored"
