"""Decisions become the routing plan: each pair's route, states and reasons, and every number with the bound it met.

Belongs here: the plan's content. Does not: how it is decided (`policy`), or its text on disk (`plan_documents`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import Stability
from config.sections.routing import RoutingConfig
from routing_assets.contracts import REASONS, ROUTES, STATES, VOCABULARIES, Decisions, Measure, Mode, ReasonCode, RoutingPlan, RowArray, SignalState
from routing_assets.decisions.harm import UPPER_BOUND, pooled_upper_bounds, score_nulls
from routing_assets.decisions.plan_documents import SCHEMA_VERSION, collector_paused
from routing_assets.evidence.candidates_table import candidates_hash
from training_assets.contracts import Route
from training_assets.plan_reader import content_hash

UNWRITTEN = "score_computed"  # the null value of `score` says the same
BY_DIFFERENCE = (ReasonCode.LOCAL_BETTER, ReasonCode.POOLED_BETTER, ReasonCode.DIFFERENCE_UNCLEAR)
COUNTS = ("sample_size", "n_successful_families", "n_unsafe_features")
POOLING = (ROUTES.index(Route.CROSS_SECTIONAL), ROUTES.index(Route.BOTH))
Evidence = dict[str, Any]


def routing_plan(
    decisions: Decisions, config: RoutingConfig, *, config_hash: str | None = None, data_hash: str | None = None, git_commit: str | None = None
) -> RoutingPlan:
    """The routing plan of a set of decisions.

    Parameters
    ----------
    config : the settings the decisions were made with.
    config_hash, git_commit : named in the metadata as given.
    data_hash : the panel's; where None, the one the candidates carry.

    Returns
    -------
    RoutingPlan with `plan_id`, a hash of everything else in it: the same candidates and settings give the same plan, byte for byte.
    """
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "config_hash": config_hash,
        "data_hash": data_hash or decisions.candidates.data_hash,
        "git_commit": git_commit,
        "metrics_snapshot": candidates_hash(decisions.candidates),
        "n_targets": len(decisions.candidates.targets),
        "n_pairs": decisions.n_pairs,
        "route_counts": {str(route): int((decisions.routes == code).sum()) for code, route in enumerate(ROUTES)},
        "dev_mode": config.dev_mode,
    }
    with collector_paused():
        targets = _targets(decisions, config)
    plan_id = content_hash({"metadata": metadata, "targets": targets})
    return RoutingPlan({**metadata, "plan_id": plan_id}, targets)


def side_evidence(decisions: Decisions, rows: RowArray) -> list[Evidence]:
    """For each candidate row, every measure that asked something of it: `{name: {bound, passed, value}}`; the lane's where it was open."""
    evidence: list[Evidence] = [{} for _ in range(rows.size)]
    side = decisions.side
    measures = [(measure, ~_unasked(measure)[rows]) for result in side.gates for measure in result.measures if measure.name != UNWRITTEN]
    measures.append((side.strong, np.ones(rows.size, bool)))
    in_reach = side.in_lane_reach[rows]
    measures += [(measure, in_reach) for measure in side.lane]
    for measure, asked in measures:
        places = np.flatnonzero(asked)
        for place, item in zip(places.tolist(), measure_items(measure, rows[places]), strict=True):
            evidence[place][measure.name] = item
    return evidence


def measure_items(measure: Measure, rows: RowArray) -> list[dict[str, Any]]:
    """A measure on some rows as `{bound, passed, value}`, nulls where nothing is known."""
    if measure.words:
        values = [None if code < 0 else measure.words[code] for code in measure.values[rows].tolist()]
        allowed = [list(words) for words in measure.bound_words]
        bounds: list[Any] = [allowed[code] for code in measure.bounds[rows].tolist()]
    else:
        values, bounds = nulled(measure.values[rows]), nulled(measure.bounds[rows])
        if measure.name in COUNTS:
            values, bounds = ([None if number is None else int(number) for number in part] for part in (values, bounds))
    passed = measure.passed[rows].tolist()
    return [{"bound": bound, "passed": flag, "value": value} for bound, flag, value in zip(bounds, passed, values, strict=True)]


def pair_reasons(decisions: Decisions) -> list[list[str]]:
    """For each pair: the policy's reason, then `SIDE:GATE` for each side that was refused."""
    n_reasons = len(REASONS)
    keys = (decisions.policy_reasons.astype(np.int64) + 1) * n_reasons**2 + decisions.cs_reasons.astype(np.int64) * n_reasons + decisions.local_reasons
    distinct, places = np.unique(keys, return_inverse=True)
    texts = [_reason_list(int(key) // n_reasons**2 - 1, int(key) // n_reasons % n_reasons, int(key) % n_reasons) for key in distinct]
    return [texts[place] for place in places.tolist()]


def nulled(values: NDArray[Any]) -> list[Any]:
    """Plain numbers, None where NaN."""
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return list(values.tolist())
    return [None if value != value else value for value in values.tolist()]  # only NaN differs from itself


def _unasked(measure: Measure) -> NDArray[np.bool_]:
    asks_nothing: NDArray[np.bool_] = np.zeros(measure.passed.size, bool) if measure.words else np.isnan(measure.bounds)
    return asks_nothing


def _reason_list(policy: int, pooled: int, local: int) -> list[str]:
    reasons = [str(REASONS[policy])] if policy >= 0 else []
    for code, mode in ((pooled, Mode.CROSS_SECTIONAL), (local, Mode.SYMBOL_SPECIFIC)):
        if REASONS[code] is ReasonCode.POOLED_HARMFUL:
            reasons.append(str(ReasonCode.POOLED_HARMFUL))
        elif REASONS[code] is not ReasonCode.PASSED:
            reasons.append(f"{mode}:{REASONS[code]}")
    return reasons


def _targets(decisions: Decisions, config: RoutingConfig) -> dict[str, dict[str, Any]]:
    candidates = decisions.candidates
    pairs = _pairs(decisions, config)
    pair_targets = candidates.target_codes[decisions.rows]
    starts = np.searchsorted(pair_targets, np.arange(len(candidates.targets) + 1)).tolist()
    names = [candidates.symbols[code] for code in candidates.symbol_codes[decisions.rows].tolist()]
    pools = np.bincount(pair_targets[np.isin(decisions.routes, POOLING)], minlength=len(candidates.targets)).tolist()
    pooled = _pooled_sides(decisions, pools)
    return {
        target: {"cross_sectional": pooled[code], "symbols": dict(zip(names[low:high], pairs[low:high], strict=True))}
        for code, (target, low, high) in enumerate(zip(candidates.targets, starts[:-1], starts[1:], strict=True))
    }


def _pairs(decisions: Decisions, config: RoutingConfig) -> list[dict[str, Any]]:
    candidates, rows = decisions.candidates, decisions.rows
    evidence = side_evidence(decisions, rows)
    on_symbol, null_score = pooled_upper_bounds(candidates, config)[rows], score_nulls(candidates)[rows]
    difference = [candidates.numbers(column)[rows] for column in ("local_minus_pooled", "local_minus_pooled_ci_low", "local_minus_pooled_ci_high")]
    known = ~np.isnan(on_symbol) & ~np.isnan(null_score)
    harmless = nulled(~(on_symbol < null_score))
    for place in np.flatnonzero(known).tolist():
        evidence[place][UPPER_BOUND] = {"bound": float(null_score[place]), "passed": harmless[place], "value": float(on_symbol[place])}
    decides = np.isin(decisions.policy_reasons, [REASONS.index(reason) for reason in BY_DIFFERENCE]).tolist()
    for place, (value, low, high) in enumerate(zip(*(nulled(part) for part in difference), strict=True)):
        if value is not None or low is not None:
            evidence[place]["local_minus_pooled"] = {"ci_high": high, "ci_low": low, "value": value}
            if decides[place] and low is not None and high is not None:
                evidence[place]["local_minus_pooled"] |= {"bound": 0.0, "passed": bool(low > 0.0 or high < 0.0)}
    routes, states = [str(route) for route in ROUTES], [str(state) for state in STATES]
    return [
        {"cs_state": states[pooled], "evidence": found, "local_state": states[local], "reason": reason, "route": routes[route]}
        for pooled, local, route, found, reason in zip(
            decisions.cs_states.tolist(), decisions.local_states.tolist(), decisions.routes.tolist(), evidence, pair_reasons(decisions), strict=True
        )
    ]


def _pooled_sides(decisions: Decisions, n_pooled: list[int]) -> list[dict[str, Any]]:
    """Each target's `cross_sectional` entry; ENABLED where at least one symbol is pooled."""
    rows = decisions.pooled_row_of_target
    present = np.flatnonzero(rows >= 0)
    evidence = dict(zip(present.tolist(), side_evidence(decisions, rows[present]), strict=True))
    stabilities = decisions.candidates.words("stability")
    entries = []
    for code, row in enumerate(rows.tolist()):
        state = STATES[decisions.side.states[row]] if row >= 0 else SignalState.DISALLOWED
        reason = REASONS[decisions.side.reasons[row]] if row >= 0 else ReasonCode.NO_METRICS
        stability = VOCABULARIES["stability"][stabilities[row]] if row >= 0 and stabilities[row] >= 0 else Stability.UNKNOWN
        if reason is ReasonCode.PASSED and not n_pooled[code]:
            reason = ReasonCode.NO_SYMBOL_POOLED
        entry: Mapping[str, Any] = {
            "evidence": evidence.get(code, {}),
            "reason": str(reason),
            "route": "ENABLED" if n_pooled[code] else "DISABLED",
            "stability": str(stability),
            "state": str(state),
        }
        entries.append(dict(entry))
    return entries
