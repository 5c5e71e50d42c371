"""The sections of the report's page as HTML text, every name escaped.

Belongs here: one function a section. Does not: the page around them (`report.html_page`), pictures (`plots`, `route_map`), or numbers (`report`).
"""

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from config.sections.base import LeakageStatus, Stability
from routing_assets.contracts import REASONS, ROUTES, VOCABULARIES, Mode, ReasonCode
from routing_assets.decisions.gates import GATES
from routing_assets.report.frame import ROUTE_CLASSES, ROUTE_NAMES
from routing_assets.report.plots import ForestRow, FunnelStep, forest_plot_svg, funnel_svg, sides_plot_svg
from routing_assets.report.regret import FIXED, Mean
from routing_assets.report.report import RoutingReport
from routing_assets.report.route_map import route_map_svg
from training_assets.contracts import Route

MAX_TARGET_ROWS = 200
MAX_FOREST_ROWS = 40
MAX_FINDINGS = 300
MAX_MODELS = 300
EMPTY = "none"


def summary_section(report: RoutingReport) -> str:
    """The answer in sentences, the counts, and the fixed choices beside the routes."""
    counts = report.table["route"].value_counts()
    tiles = "".join(
        f'<li class="tile {ROUTE_CLASSES[Route(route)]}"><b>{int(counts.get(str(route), 0)):,}</b> {ROUTE_NAMES[Route(route)]}</li>' for route in ROUTES
    )
    verdicts = "".join(f"<li>{escape(verdict)}</li>" for verdict in report.verdicts)
    differences = [_forest_row(f"routed minus always {name}", report.mean("all", "all", f"routed_minus_{name}")) for name in FIXED]
    picture = figure(
        forest_plot_svg(differences, 0.0, "Routed against fixed choices", "mean difference in skill; right of zero, routing was better"),
        "The routed pairs against the same choice for all of them, with intervals.",
    )
    rows = [["as routed", _text(report, "all", "all", "skill_routed"), _text(report, "all", "all", "regret"), ""]]
    for name in FIXED:
        rows.append([f"always {name}", *(_text(report, "all", "all", f"{quantity}_{name}") for quantity in ("skill", "regret", "routed_minus"))])
    choices = table("Routed pairs, and what a fixed choice would have given them", ("choice", "mean skill", "mean regret", "routed minus this"), rows)
    return f'<ul class="tiles" aria-label="Pairs by route">{tiles}</ul><ul class="verdicts">{verdicts}</ul>{picture}{choices}'


def map_section(report: RoutingReport) -> str:
    """The route map, and the two sides against each other; the table of pairs below says the same in words."""
    decisions = report.decisions
    candidates = decisions.candidates
    routes = np.full((len(candidates.targets), len(candidates.symbols)), -1, np.int8)
    routes[candidates.target_codes[decisions.rows], candidates.symbol_codes[decisions.rows]] = decisions.routes
    route_map = figure(route_map_svg(candidates.targets, candidates.symbols, routes), "One cell a pair, a row a target: a cell or a row's name opens its page.")
    return route_map + _pair_plots(report)


def _pair_plots(report: RoutingReport) -> str:
    """Pairs as dots in skill: local against pooled before the holdout, and what each route trains on the holdout against before."""
    pairs = report.table
    skill = {
        name: (pairs[name].to_numpy(float, na_value=np.nan) - pairs["score_null"].to_numpy(float)) / (1.0 - pairs["score_null"].to_numpy(float))
        for name in ("earlier_pooled", "earlier_local", "earlier_both", "score_routed")
    }
    trained = {Route.CROSS_SECTIONAL: skill["earlier_pooled"], Route.SYMBOL_SPECIFIC: skill["earlier_local"], Route.BOTH: skill["earlier_both"]}
    before = np.select([pairs["route"] == str(route) for route in trained], list(trained.values()), np.nan)
    sides = pd.DataFrame({"route": pairs["route"], "pooled, before": skill["earlier_pooled"], "local, before": skill["earlier_local"]})
    held = pd.DataFrame({"route": pairs["route"], "as routed, before": before, "as routed, on the holdout": skill["score_routed"]})
    pictures = (
        (sides, "Pooled or local?", "Skill before the holdout. Above the line the symbol's own model was the better one."),
        (held, "Did it hold up?", "Skill of routed pairs. Below the line a pair did worse on the holdout than before it."),
    )
    return f'<div class="row">{"".join(figure(sides_plot_svg(frame, title, *frame.columns[1:]), caption) for frame, title, caption in pictures)}</div>'


def gates_section(report: RoutingReport) -> str:
    """How many sides each gate refused first, local and pooled."""
    decisions = report.decisions
    parts, rows, columns = [], [], []
    pooled = decisions.pooled_row_of_target
    pooled_reasons = np.where(pooled >= 0, decisions.side.reasons[pooled], REASONS.index(ReasonCode.NO_METRICS))
    for name, reasons in (("local sides", decisions.local_reasons), ("pooled sides", pooled_reasons)):
        steps, left = [], int(reasons.size)
        for gate in GATES:
            refused = int((reasons == REASONS.index(gate.code)).sum())
            left -= refused
            steps.append(FunnelStep(str(gate.code), left, refused))
        columns.append(steps)
        parts.append(figure(funnel_svg(int(reasons.size), steps, f"Gates: {name}"), f"What each gate leaves of {reasons.size:,} {name}, in their order."))
    for gate, local, of_pooled in zip(GATES, *columns, strict=True):
        rows.append([str(gate.code), gate.description, *(f"{number:,}" for step in (local, of_pooled) for number in (step.n_refused, step.n_left))])
    counted = table("Gates in their order", ("gate", "refuses", "local refused", "local left", "pooled refused", "pooled left"), rows, 2)
    policy = [
        [str(reason), f"{count:,}"]
        for code, reason in enumerate(REASONS)
        if (count := int((decisions.policy_reasons == code).sum()) + int((decisions.cs_reasons == code).sum()) * (reason is ReasonCode.POOLED_HARMFUL))
    ]
    return f'<div class="row">{"".join(parts)}</div>{counted}{table("What the policy decided beyond the gates", ("reason", "pairs"), policy)}'


def holdout_section(report: RoutingReport) -> str:
    """Means by route and target, the calibration of states, and what blocking left."""
    counts = report.table["route"].value_counts()
    by_route = []
    for route in ROUTES:
        texts = (
            ["no model", "no model"] if route is Route.BLOCKED else [_text(report, "route", str(route), quantity) for quantity in ("skill_routed", "regret")]
        )
        by_route.append([str(route), f"{int(counts.get(str(route), 0)):,}", *texts])
    calibration = [
        [row["side"], row["state"], f"{row['n_pairs']:,}", _number(row["skill_before"]), Mean(row["skill_holdout"], row["ci_low"], row["ci_high"], 1).text()]
        for row in report.calibration.to_dict("records")
        if row["n_pairs"]
    ]
    blocked = [[f"always {name}", _text(report, "blocked", str(Route.BLOCKED), f"skill_{name}")] for name in FIXED]
    return (
        table("By route", ("route", "pairs", "mean skill", "mean regret"), by_route)
        + _target_parts(report)
        + table("Calibration: did the states hold up?", ("side", "state", "pairs", "mean skill before", "mean skill on the holdout"), calibration, 2)
        + table("What the blocked pairs would have scored; near zero is what blocking is for", ("choice", "mean skill"), blocked)
    )


def leakage_section(report: RoutingReport) -> str:
    """Findings that are not SAFE, the blocked ones first."""
    audit = report.audit
    counts = ", ".join(f"{status} {int((audit['status'] == str(status)).sum()):,}" for status in LeakageStatus) if len(audit) else "no audit"
    found = audit[audit["status"] != str(LeakageStatus.SAFE)]
    order = {str(status): place for place, status in enumerate((LeakageStatus.BLOCKED, LeakageStatus.SUSPECT, LeakageStatus.UNKNOWN))}
    found = found.sort_values("status", key=lambda column: column.map(order), kind="stable")
    headers = ("status", "target", "symbol", "feature", "detector", "statistic", "threshold", "accepted", "message")
    rows = [[_shown(row[name]) for name in headers] for row in found.head(MAX_FINDINGS).to_dict("records")]
    note = _left_out(len(found), MAX_FINDINGS, "findings", "METRICS/leakage_audit.parquet")
    return f"<p>Findings by status: {escape(counts)}.</p>{table('Findings that are not SAFE', headers, rows, 5)}{note}"


def stability_section(report: RoutingReport) -> str:
    """Each target's stability: of its pooled side, and counted over its symbols."""
    frame = report.stability
    rows = []
    for number, (target, own) in enumerate(frame.groupby("target", sort=True)):
        if number == MAX_TARGET_ROWS:
            break
        pooled = own[own["mode"] == str(Mode.CROSS_SECTIONAL)].to_dict("records")
        named = [_shown(pooled[0]["stability"]), _number(pooled[0]["stability_ci_low"])] if pooled else ["", ""]
        local = own.loc[own["mode"] == str(Mode.SYMBOL_SPECIFIC), "stability"].value_counts()
        rows.append([str(target), *named, *(f"{int(local.get(str(word), 0)):,}" for word in Stability)])
    headers = ("target", "pooled", "lower bound", *(f"symbols {word}" for word in VOCABULARIES["stability"]))
    note = _left_out(frame["target"].nunique() if len(frame) else 0, MAX_TARGET_ROWS, "targets", "METRICS/stability.parquet")
    return table("Stability by target", headers, rows, 2) + note


def models_section(report: RoutingReport) -> str:
    """The trained models by target and score, as their cards say."""
    board = report.leaderboard
    if board is None or board.empty:
        return "<p>No model of this plan has been trained yet.</p>"
    rows = []
    for row in board.head(MAX_MODELS).to_dict("records"):
        interval = f"{_number(row['ci_low'])} to {_number(row['ci_high'])}" if _known(row["ci_low"]) else "not computed"
        symbol = row["symbol"] if isinstance(row["symbol"], str) else "pooled"
        rows.append([*(_shown(row[name]) for name in ("target",)), symbol, _shown(row["family"]), _shown(row["metric"]), _number(row["score"]), interval])
    note = _left_out(len(board), MAX_MODELS, "models", "the model cards")
    return table("Models, best first within a target", ("target", "symbol", "family", "metric", "score", "interval"), rows, 4) + note


def figure(svg: str, caption: str) -> str:
    """A picture with its caption, in a frame of its own that scrolls where the page is narrow."""
    return (
        f'<figure><div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}">{svg}</div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def table(caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]], n_text: int = 1) -> str:
    """A table whose first column heads its rows; columns after the first `n_text` are numbers. Everything is escaped."""
    head = "".join(f'<th scope="col"{_numeric(place, n_text)}>{escape(name)}</th>' for place, name in enumerate(headers))
    body = []
    for row in rows:
        cells = "".join(f"<td{_numeric(place, n_text)}>{_broken(value, place, n_text)}</td>" for place, value in enumerate(row[1:], start=1))
        body.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    lines = "".join(body) or f'<tr><td colspan="{len(headers)}">{EMPTY}</td></tr>'
    label = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _target_parts(report: RoutingReport) -> str:
    rows: list[list[str]] = []
    forest: list[ForestRow] = []
    groups = report.table.groupby("target", sort=True)
    for number, (target, own) in enumerate(groups):
        if number == MAX_TARGET_ROWS:
            break
        routed = int((own["route"] != str(Route.BLOCKED)).sum())
        texts = [_text(report, "target", str(target), quantity) for quantity in ("skill_routed", "regret", "routed_minus_pooled", "routed_minus_local")]
        rows.append([str(target), _shown(own["metric_name"].iloc[0]), f"{len(own):,}", f"{routed:,}", *texts])
        skill = report.mean("target", str(target), "skill_routed")
        if skill.n_pairs and len(forest) < MAX_FOREST_ROWS:
            forest.append(_forest_row(str(target), skill))
    caption = "Mean holdout skill of each target's routed pairs, with intervals; zero is chance."
    picture = figure(forest_plot_svg(forest, 0.0, "Holdout skill by target", "mean skill"), caption) if forest else ""
    headers = ("target", "metric", "pairs", "routed", "mean skill", "mean regret", "routed minus pooled", "routed minus local")
    return picture + table("By target", headers, rows, 2) + _left_out(groups.ngroups, MAX_TARGET_ROWS, "targets", "METRICS/routing_report.parquet")


def _forest_row(label: str, mean: Mean) -> ForestRow:
    return ForestRow(label, mean.value, mean.low, mean.high)


def _text(report: RoutingReport, kind: str, group: str, quantity: str) -> str:
    mean = report.mean(kind, group, quantity)
    return mean.text() if mean.n_pairs else "none scored"


def _left_out(n_rows: int, limit: int, what: str, where: str) -> str:
    return f"<p>{n_rows - limit:,} more {what} are in {escape(where)}.</p>" if n_rows > limit else ""


def _numeric(place: int, n_text: int) -> str:
    return ' class="number"' if place >= n_text else ""


def _broken(value: str, place: int, n_text: int) -> str:
    """A cell's text, escaped; a number's interval on a line of its own, so that columns stay narrow."""
    return escape(value.replace(" (", "\n(")) if place >= n_text else escape(value)


def _known(value: object) -> bool:
    return not pd.isna(value)  # type: ignore[call-overload]


def _number(value: float) -> str:
    return f"{value:.4f}" if _known(value) else "not computed"


def _shown(value: object) -> str:
    if not _known(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
