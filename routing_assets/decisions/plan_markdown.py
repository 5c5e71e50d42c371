"""The routing plan as Markdown, for a person who reads a decision rather than looks it up.

Belongs here: sections and words. Does not: the plan's own text forms (`plan_documents`), or what a route means (`policy`).
"""

import re
from collections import Counter
from typing import Any

from routing_assets.contracts import RoutingPlan
from routing_assets.decisions.gates import GATES
from training_assets.contracts import Route

MAX_PAIRS = 1_000  # beyond this a list is searched, not read
MAX_COLUMNS = 120
LETTERS = {Route.CROSS_SECTIONAL: "P", Route.SYMBOL_SPECIFIC: "L", Route.BOTH: "B", Route.EXPERIMENTAL_ONLY: "E", Route.BLOCKED: "."}
ASK = (
    "",
    "## Ask",
    "",
    "`switchyard explain TARGET SYMBOL` gives each number with its bound and what would flip the route; `switchyard what-if --set routing.KEY=VALUE` routes",
    "the same evidence under other settings. Every number is in `routing_plan.json` beside this file.",
)


def routing_plan_markdown(plan: RoutingPlan, findings: tuple[str, ...] = ()) -> str:
    """The plan for a reader: routes with their commonest reasons, what each gate refused, targets, a map, every pair while they are few enough to read.

    `findings` : what the leakage audit found, a sentence each.
    """
    metadata = plan.metadata
    pairs = [pair for entry in plan.targets.values() for pair in entry["symbols"].values()]
    reasons: dict[str, Counter[str]] = {str(route): Counter() for route in Route}
    for pair in pairs:
        reasons[pair["route"]].update(pair["reason"])
    lines = [f"# Routing plan {plan.plan_id}", ""]
    if metadata["dev_mode"]:
        lines += ["**Made in dev_mode: the leakage and sample gates were relaxed. Not for production.**", ""]
    lines += [f"{metadata['n_pairs']:,} pairs of {metadata['n_targets']:,} targets · data {metadata['data_hash']} · config {metadata['config_hash']}", ""]
    lines += ["## Routes", "", "| route | pairs | share | commonest reasons |", "| --- | ---: | ---: | --- |"]
    for route, count in metadata["route_counts"].items():
        common = ", ".join(f"{code} ({n:,})" for code, n in sorted(reasons[route].items(), key=lambda item: (-item[1], item[0]))[:3])
        lines.append(f"| {route} | {count:,} | {count / max(len(pairs), 1):.1%} | {common} |")
    return "\n".join([*lines, *_funnel(plan, pairs), *_target_rows(plan), *_map(plan), *_pair_rows(plan), *_leakage(findings), *ASK]) + "\n"


def _leakage(findings: tuple[str, ...]) -> list[str]:
    if not findings:
        return ["", "## Leakage", "", "Every detector that applies ran on every routed target and found nothing."]
    said = "What is blocked was left out of this plan; every number stands in METRICS/leakage_audit.parquet."
    return ["", "## Leakage", "", said, "", *(f"- {cell(line)}" for line in findings)]


def cell(text: str) -> str:
    """Text that cannot break a Markdown table."""
    return re.sub(r"([\\|`<>*_\[\]])", r"\\\1", " ".join(text.split())) or "(no name)"


def _funnel(plan: RoutingPlan, pairs: list[dict[str, Any]]) -> list[str]:
    refused = {mode: Counter[str]() for mode in ("SYMBOL_SPECIFIC", "CROSS_SECTIONAL")}
    for pair in pairs:
        refused["SYMBOL_SPECIFIC"].update(code.partition(":")[2] for code in pair["reason"] if code.startswith("SYMBOL_SPECIFIC:"))
    refused["CROSS_SECTIONAL"].update(entry["cross_sectional"]["reason"] for entry in plan.targets.values())
    left = {"SYMBOL_SPECIFIC": len(pairs), "CROSS_SECTIONAL": len(plan.targets)}
    lines = ["", "## Gates", "", "| gate | local refused | local left | pooled refused | pooled left |", "| --- | ---: | ---: | ---: | ---: |"]
    for gate in GATES:
        for mode, counts in refused.items():
            left[mode] -= counts[gate.code]
        local, pooled = refused["SYMBOL_SPECIFIC"][gate.code], refused["CROSS_SECTIONAL"][gate.code]
        lines.append(f"| {gate.code} | {local:,} | {left['SYMBOL_SPECIFIC']:,} | {pooled:,} | {left['CROSS_SECTIONAL']:,} |")
    return lines


def _target_rows(plan: RoutingPlan) -> list[str]:
    short = {str(route): str(route).removeprefix("ROUTE_").lower().replace("_", " ") for route in Route}
    lines = ["", "## Targets", "", f"| target | pooled side | reason | {' | '.join(short.values())} |", "| --- | --- | --- |" + " ---: |" * len(short)]
    for target, entry in sorted(plan.targets.items()):
        counts = Counter(pair["route"] for pair in entry["symbols"].values())
        pooled = entry["cross_sectional"]
        numbers = " | ".join(f"{counts[route]:,}" for route in short)
        lines.append(f"| {cell(target)} | {pooled['route']}, {pooled['state']} | {pooled['reason']} | {numbers} |")
    return lines


def _map(plan: RoutingPlan) -> list[str]:
    """One letter a pair, a line a target; left out where lines would be longer than a screen."""
    symbols = sorted({symbol for entry in plan.targets.values() for symbol in entry["symbols"]})
    if not symbols or len(symbols) > MAX_COLUMNS:
        return []
    letters = {str(route): letter for route, letter in LETTERS.items()}
    lines = ["", "## Map", "", "P pooled, L local, B both, E experimental, `.` blocked; symbols in the order of the alphabet.", "", "```text"]
    for target, entry in sorted(plan.targets.items()):
        pairs = entry["symbols"]
        lines.append(
            f"{''.join(letters[pairs[symbol]['route']] if symbol in pairs else ' ' for symbol in symbols)}  {' '.join(target.replace('`', '').split())}"
        )
    return [*lines, "```"]


def _pair_rows(plan: RoutingPlan) -> list[str]:
    rows = [(target, symbol, pair) for target, entry in sorted(plan.targets.items()) for symbol, pair in sorted(entry["symbols"].items())]
    if len(rows) > MAX_PAIRS:
        return ["", "## Pairs", "", f"{len(rows):,} pairs are too many to read; `METRICS/routing_report.html` and `routing_plan.json` hold each."]
    lines = ["", "## Pairs", "", "| target | symbol | route | pooled | local | because |", "| --- | --- | --- | --- | --- | --- |"]
    for target, symbol, pair in rows:
        lines.append(f"| {cell(target)} | {cell(symbol)} | {pair['route']} | {pair['cs_state']} | {pair['local_state']} | {', '.join(pair['reason'])} |")
    return lines
