"""The report's pairs as one compact document that its page reads: columns, not objects, numbers to four digits, deflated.

Belongs here: what the page's script needs to filter pairs and to show one with all its evidence. Does not: layout (`report.html_page`), or meaning (`explain`).
"""

import base64
import zlib
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from config.sections.routing import RoutingConfig
from routing_assets.contracts import REASONS, ROUTES, STATES, Decisions, Measure, ReasonCode, RowArray
from routing_assets.decisions.flips import difference_measures, harm_measure, nearest_flips
from routing_assets.decisions.gates import GATES
from routing_assets.decisions.routing_plan import UNWRITTEN
from routing_assets.report.frame import ROUTE_NAMES
from routing_assets.report.report import RoutingReport
from routing_assets.report.target_pages import target_pages
from training_assets.contracts import Route

DIGITS = 4
NOT_ASKED = 2  # beside 0, refused, and 1, passed
_CANDIDATE_NUMBERS = (
    "score_null",
    "score_ci_low",
    "score_ci_high",
    "pooled_score_on_symbol",
    "pooled_score_on_symbol_ci_high",
    "local_minus_pooled",
    "local_minus_pooled_ci_low",
    "local_minus_pooled_ci_high",
)
_REPORT_NUMBERS = ("score_pooled", "score_local", "score_both", "score_routed", "regret", "n_rows")


def packed_data(report: RoutingReport) -> str:
    """`page_data` as base64 of deflated JSON (RFC 1950), safe inside a script element."""
    return base64.b64encode(zlib.compress(orjson.dumps(page_data(report), option=orjson.OPT_SERIALIZE_NUMPY), 6)).decode()


def page_data(report: RoutingReport) -> dict[str, Any]:
    """The document of the page.

    Returns
    -------
    Vocabularies by name, and `pairs`: one list a column, in the order of `report.table`. `local` and `pooled` hold every measure of the gates, a value a
    pair and a value a target, `local` also what the policy holds of a pair; bounds are distinct values with a position each, since few differ.
    """
    decisions = report.decisions
    candidates, rows = decisions.candidates, decisions.rows
    codes = {"route": decisions.routes, "cs_state": decisions.cs_states, "local_state": decisions.local_states}
    codes |= {"cs_reason": decisions.cs_reasons, "local_reason": decisions.local_reasons, "policy_reason": decisions.policy_reasons}
    pairs: dict[str, Any] = {"target": candidates.target_codes[rows].astype(np.int32), "symbol": candidates.symbol_codes[rows].astype(np.int32), **codes}
    pairs |= {name: rounded(candidates.numbers(name)[rows]) for name in _CANDIDATE_NUMBERS}
    pairs |= {f"holdout_{name}": rounded(report.table[name].to_numpy(float, na_value=np.nan)) for name in _REPORT_NUMBERS}
    return {
        "targets": candidates.targets,
        "symbols": candidates.symbols,
        "metrics": [_metric(decisions, code) for code in range(len(candidates.targets))],
        "routes": [{"code": str(route), "name": ROUTE_NAMES[Route(route)]} for route in ROUTES],
        "states": STATES,
        "reasons": REASONS,
        "sides": ["pooled", "local"],
        "pairs": pairs,
        "local": [*side_measures(decisions, rows), *pair_measures(decisions, report.config.routing)],
        "pooled": side_measures(decisions, decisions.pooled_row_of_target),
        "flips": _flips(report),
        "by_target": target_pages(report),
    }


def side_measures(decisions: Decisions, rows: RowArray) -> list[dict[str, Any]]:
    """Every measure on some candidate rows, -1 for no row.

    Returns
    -------
    One entry a measure: `gate, name, comparison, words`, and columns `value` (a number or a position in `words`), `passed` (0, 1 or `NOT_ASKED`), and
    `bounds` with `bound`, the position in it.
    """
    side = decisions.side
    present = rows >= 0
    entries = []
    gates = [(str(gate.code), measure, present) for gate, result in zip(GATES, side.gates, strict=True) for measure in result.measures]
    lane = present & side.in_lane_reach[rows]
    for gate, measure, asked in [*gates, ("STRONG", side.strong, present), *(("EXPERIMENTAL", measure, lane) for measure in side.lane)]:
        if measure.name != UNWRITTEN:
            entries.append({"gate": gate, "name": measure.name, "comparison": measure.comparison, **_columns(measure, rows, asked)})
    return entries


def pair_measures(decisions: Decisions, config: RoutingConfig) -> list[dict[str, Any]]:
    """What the policy holds of every pair beside the gates, in entries as of `side_measures`."""
    rows = decisions.rows
    held = [(str(ReasonCode.POOLED_HARMFUL), harm_measure(decisions, config)), *(("EVIDENCE", measure) for measure in difference_measures(decisions))]
    return [
        {"gate": gate, "name": measure.name, "comparison": measure.comparison, **_columns(measure, rows, ~np.isnan(measure.values[rows]))}
        for gate, measure in held
    ]


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Four significant digits; NaN, which JSON writes as null, stays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
    result: NDArray[np.float64] = np.where(np.isfinite(power), np.round(values * np.where(np.isfinite(power), power, 1.0)) / power, values)
    return np.where(np.isfinite(result), result, np.nan)


def _columns(measure: Measure, rows: RowArray, asked: NDArray[np.bool_]) -> dict[str, Any]:
    if measure.words:
        distinct, places = np.unique(measure.bounds[rows], return_inverse=True)
        bounds: list[Any] = [list(measure.bound_words[int(code)]) for code in distinct]
        values: NDArray[Any] = np.where(rows >= 0, measure.values[rows], -1).astype(np.int8)
    else:
        distinct, places = np.unique(measure.bounds[rows].astype(float), return_inverse=True)
        asked = asked & ~np.isnan(measure.bounds[rows])
        bounds = rounded(distinct).tolist()
        values = rounded(np.where(rows >= 0, measure.values[rows], np.nan).astype(float))
    passed = np.where(asked, measure.passed[rows], NOT_ASKED).astype(np.int8)
    # A column of one bound needs no positions.
    return {"words": measure.words, "value": values, "passed": passed, "bounds": bounds, "bound": places.astype(np.int32) if distinct.size > 1 else None}


def _flips(report: RoutingReport) -> dict[str, Any]:
    flips = nearest_flips(report.decisions, report.config.routing)
    return {"names": flips.names, "side": flips.sides, "measure": flips.measures, "outcome": flips.outcomes, "words": flips.words}


def _metric(decisions: Decisions, target: int) -> str:
    """The metric of a target's own sides, empty where the candidates do not name it."""
    candidates = decisions.candidates
    row = np.flatnonzero((candidates.target_codes == target) & candidates.local)
    return str(candidates.table.column("metric_name")[int(row[0])].as_py() or "") if row.size else ""
