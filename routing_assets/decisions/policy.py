"""How the two sides of a pair become one route.

Belongs here: the combination table, what makes the pooled side unavailable, the experimental cap. Does not: a side's own state (`gates`),
the plan's text (`routing_plan`, `plan_documents`). Columnar: no function here loops over pairs.
"""

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from config.sections.routing import RoutingConfig
from routing_assets.contracts import (
    REASONS,
    ROUTES,
    STATES,
    VOCABULARIES,
    BoolArray,
    Candidates,
    CodeArray,
    Decisions,
    FloatArray,
    ReasonCode,
    RowArray,
    Side,
    SignalState,
)
from routing_assets.decisions.gates import pass_gates
from routing_assets.decisions.harm import harmful_rows
from training_assets.contracts import Route

Behaviour = Literal["ROUTE_BOTH", "PREFER_CS", "PREFER_SYMBOL", "EVIDENCE"]
BOTH_PASSED: dict[Behaviour, tuple[Route, ReasonCode]] = {
    "ROUTE_BOTH": (Route.BOTH, ReasonCode.BOTH_PASSED),
    "PREFER_CS": (Route.CROSS_SECTIONAL, ReasonCode.PREFERRED),
    "PREFER_SYMBOL": (Route.SYMBOL_SPECIFIC, ReasonCode.PREFERRED),
    "EVIDENCE": (Route.BOTH, ReasonCode.DIFFERENCE_UNCLEAR),
}


def route_candidates(candidates: Candidates, config: RoutingConfig) -> Decisions:
    """Route every (target, symbol) that has a SYMBOL_SPECIFIC row.

    The pooled side of a pair is its target's CROSS_SECTIONAL row, DISALLOWED by `NO_METRICS` where there is none.
    """
    side = pass_gates(candidates, config)
    pooled_row_of_target = np.full(len(candidates.targets), -1, np.int64)
    pooled = np.flatnonzero(~candidates.local)
    pooled_row_of_target[candidates.target_codes[pooled]] = pooled
    rows = np.flatnonzero(candidates.local)
    pooled_rows = pooled_row_of_target[candidates.target_codes[rows]]
    cs_states, cs_reasons = _pooled_side(side, pooled_rows)
    harmful = harmful_rows(candidates, config)[rows] & (pooled_rows >= 0)
    cs_states[harmful], cs_reasons[harmful] = STATES.index(SignalState.DISALLOWED), REASONS.index(ReasonCode.POOLED_HARMFUL)
    local_states, local_reasons = side.states[rows], side.reasons[rows]
    routes, reasons = combine(cs_states, local_states, config.both_strong_behavior, *difference_interval(candidates, rows))
    if config.block_on_leakage:
        leaks = candidates.words("leakage_status")[rows] == VOCABULARIES["leakage_status"].index(LeakageStatus.BLOCKED)
        routes[leaks], reasons[leaks] = ROUTES.index(Route.BLOCKED), REASONS.index(ReasonCode.PAIR_LEAKS)
    lane = routes == ROUTES.index(Route.EXPERIMENTAL_ONLY)
    reasons[lane & side.closed[rows]] = REASONS.index(ReasonCode.NO_LOCAL_JOB)
    over = over_the_cap(
        lane,
        candidates.target_codes[rows],
        np.where(local_states == STATES.index(SignalState.EXPERIMENTAL), 0, 1 + side.closed[rows]),
        candidates.numbers("score_ci_low")[rows],
        config.experimental.max_fraction_symbols_per_target,
    )
    routes[over], reasons[over] = ROUTES.index(Route.BLOCKED), REASONS.index(ReasonCode.EXPERIMENTAL_CAP)
    return Decisions(candidates, side, rows, pooled_rows, pooled_row_of_target, cs_states, local_states, cs_reasons, local_reasons, reasons, routes)


def combination_table(behaviour: Behaviour) -> NDArray[np.int8]:
    """Route codes by (cross-sectional state, local state), shape (4, 4); for EVIDENCE the entry of a pair without a clear difference."""
    passing = (SignalState.STRONG, SignalState.WEAK_BUT_OK)
    table = np.empty((len(STATES), len(STATES)), np.int8)
    for i, pooled in enumerate(STATES):
        for j, local in enumerate(STATES):
            if pooled in passing and local in passing:
                route = BOTH_PASSED[behaviour][0]
            elif pooled in passing:
                route = Route.CROSS_SECTIONAL
            elif local in passing:
                route = Route.SYMBOL_SPECIFIC
            else:
                route = Route.EXPERIMENTAL_ONLY if SignalState.EXPERIMENTAL in (pooled, local) else Route.BLOCKED
            table[i, j] = ROUTES.index(route)
    return table


def combine(
    cs_states: CodeArray, local_states: CodeArray, behaviour: Behaviour, difference_low: FloatArray, difference_high: FloatArray
) -> tuple[CodeArray, CodeArray]:
    """Routes and policy reasons of pairs, before the cap.

    Parameters
    ----------
    difference_low, difference_high : shape (n_pairs,), interval of local minus pooled score on the same rows, NaN where not computed; only
        EVIDENCE reads it: wholly above zero the local side alone is trained, wholly below the pooled one, else both.

    Returns
    -------
    routes, reasons : shape (n_pairs,), positions in `ROUTES` and `REASONS`; reason -1 where the states explain the route.
    """
    routes = combination_table(behaviour)[cs_states, local_states]
    n_passing = STATES.index(SignalState.WEAK_BUT_OK) + 1
    both = (cs_states < n_passing) & (local_states < n_passing)
    reasons = np.where(both, REASONS.index(BOTH_PASSED[behaviour][1]), -1).astype(np.int8)
    if behaviour == "EVIDENCE":
        better, worse = both & (difference_low > 0.0), both & (difference_high < 0.0)
        routes[better], reasons[better] = ROUTES.index(Route.SYMBOL_SPECIFIC), REASONS.index(ReasonCode.LOCAL_BETTER)
        routes[worse], reasons[worse] = ROUTES.index(Route.CROSS_SECTIONAL), REASONS.index(ReasonCode.POOLED_BETTER)
    return routes, reasons


def difference_interval(candidates: Candidates, rows: RowArray) -> tuple[FloatArray, FloatArray]:
    """Local minus pooled, lower and upper confidence bound, shape (n_pairs,); both NaN unless both are known."""
    low, high = (candidates.numbers(f"local_minus_pooled_ci_{end}")[rows] for end in ("low", "high"))
    unknown = np.isnan(low) | np.isnan(high)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def over_the_cap(experimental: BoolArray, targets: RowArray, places: RowArray, lower_bounds: FloatArray, max_fraction: float) -> BoolArray:
    """Experimental pairs beyond the share of their target's symbols that the lane holds.

    The share is rounded down, so that it is never exceeded: three symbols at 0.2 leave none. Lower places go first; within a place the best lower
    bounds of the local score, since it is the local model that the lane trains, unknown ones last; ties by symbol name.

    Parameters
    ----------
    experimental, targets, places, lower_bounds : shape (n_pairs,), pairs of a target in the order of their symbols' names. Places: 0 where
        the local side is EXPERIMENTAL, 1 where the pooled side alone is, 2 where besides no local model may be trained.

    Returns
    -------
    shape (n_pairs,), True where a pair is in the lane's queue and beyond its cap.
    """
    n_symbols = np.bincount(targets) if targets.size else np.zeros(0, np.int64)
    caps = np.floor(n_symbols * max_fraction + 1e-9).astype(np.int64)
    queue = np.flatnonzero(experimental)
    over = np.zeros(experimental.shape, bool)
    if not queue.size:
        return over
    keys = np.where(np.isnan(lower_bounds[queue]), np.inf, -lower_bounds[queue])
    queue = queue[np.lexsort((queue, keys, places[queue], targets[queue]))]
    queue_targets = targets[queue]
    first = np.searchsorted(queue_targets, queue_targets, side="left")
    over[queue] = np.arange(queue.size) - first >= caps[queue_targets]
    return over


def decisions_table(decisions: Decisions) -> pa.Table:
    """Decisions as a table: `target, symbol, route, cs_state, local_state, cs_reason, local_reason, policy_reason, q_value`."""
    candidates = decisions.candidates
    rows = pa.array(decisions.rows)
    q_value = next(measure for result in decisions.side.gates for measure in result.measures if measure.name == "q_value")

    def words(codes: NDArray[np.int8], vocabulary: tuple[str, ...]) -> pa.Array:
        indices = pa.array(codes.astype(np.int32), mask=codes < 0)
        return pa.DictionaryArray.from_arrays(indices, pa.array([str(word) for word in vocabulary]))

    return pa.table(
        {
            "target": candidates.table.column("target").take(rows),
            "symbol": candidates.table.column("symbol").take(rows),
            "route": words(decisions.routes, ROUTES),
            "cs_state": words(decisions.cs_states, STATES),
            "local_state": words(decisions.local_states, STATES),
            "cs_reason": words(decisions.cs_reasons, REASONS),
            "local_reason": words(decisions.local_reasons, REASONS),
            "policy_reason": words(decisions.policy_reasons, REASONS),
            "q_value": pa.array(q_value.values[decisions.rows], from_pandas=True),
        }
    )


def _pooled_side(side: Side, pooled_rows: RowArray) -> tuple[CodeArray, CodeArray]:
    """State and reason of each pair's pooled side, shape (n_pairs,) each."""
    absent = pooled_rows < 0
    states = np.where(absent, STATES.index(SignalState.DISALLOWED), side.states[pooled_rows]).astype(np.int8)
    reasons = np.where(absent, REASONS.index(ReasonCode.NO_METRICS), side.reasons[pooled_rows]).astype(np.int8)
    return states, reasons
