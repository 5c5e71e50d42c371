"""What one number or one word of one side would have to be for another route, for all pairs at once.

Belongs here: every single change and what the gates and the policy make of it, and the nearest one of each pair. Does not: text (`explain`), or any
rule of its own: states come from the gates' measures, routes from the policy's table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from config.sections.base import LeakageStatus
from config.sections.routing import RoutingConfig
from routing_assets.contracts import (
    REASONS,
    ROUTES,
    STATES,
    BoolArray,
    CodeArray,
    Decisions,
    FloatArray,
    Measure,
    Mode,
    ReasonCode,
    RowArray,
    Side,
    SignalState,
)
from routing_assets.decisions.gates import states_of
from routing_assets.decisions.harm import UPPER_BOUND, pooled_upper_bounds, score_nulls
from routing_assets.decisions.policy import combine, difference_interval
from routing_assets.decisions.routing_plan import COUNTS, UNWRITTEN
from training_assets.contracts import Route

PROBABILITIES = ("q_value", "experimental_p_value")
LEAST_PROBABILITY = 1e-16


@dataclass(frozen=True)
class Step:
    """One change of one side, on some rows.

    Attributes
    ----------
    measure : the quantity and its bound, for every candidate row. word : what a word becomes, None where a number crosses its bound.
    applies : shape (n_rows,), where there is such a change. outcomes : shape (n_rows,), positions in `STATES`, or in `ROUTES` where rows are pairs.
    distances : shape (n_rows,), the change over the bound; counts to the next count, p and q as normal deviates, a bound of zero by half
        the interval's width; infinite for words and for what was not computed.
    """

    mode: Mode
    measure: Measure
    word: str | None
    applies: BoolArray
    outcomes: CodeArray
    distances: FloatArray


@dataclass(frozen=True)
class NearestFlips:
    """For each pair the nearest single change of one number that changes its route.

    Attributes
    ----------
    sides : shape (n_pairs,), 0 pooled, 1 local, -1 where no single change flips the pair.
    names : names of measures. measures : shape (n_pairs,), positions in `names`, -1 where there is none.
    outcomes : shape (n_pairs,), positions in `ROUTES` of the route it would be, -1 where there is none.
    distances : shape (n_pairs,), as `Step.distances`.
    words : shape (n_pairs,), for a word the ones that it may become, bit k for the k-th word of the measure; 0 for a number.
    """

    sides: CodeArray
    names: tuple[str, ...]
    measures: CodeArray
    outcomes: CodeArray
    distances: FloatArray
    words: CodeArray


def nearest_flips(decisions: Decisions, config: RoutingConfig) -> NearestFlips:
    """The first of `explain(...).flips` of every pair, in columns.

    Parameters
    ----------
    config : the settings the decisions were made with.
    """
    n_pairs = decisions.n_pairs
    steps = sorted(pair_steps(decisions, config, np.arange(n_pairs)), key=lambda step: (step.mode, step.measure.name))
    names = tuple(sorted({step.measure.name for step in steps}))
    sides, chosen, results = (np.full(n_pairs, -1, np.int8) for _ in range(3))
    words = np.zeros(n_pairs, np.int8)
    nearest = np.full(n_pairs, np.inf)
    for step in steps:
        side, name = int(step.mode is Mode.SYMBOL_SPECIFIC), names.index(step.measure.name)
        bit = np.int8(0 if step.word is None else 1 << step.measure.words.index(step.word))
        same = step.applies & (sides == side) & (chosen == name) & (step.distances == nearest)
        words[same & (step.outcomes == results)] |= bit
        flips = step.applies & ((step.distances < nearest) | (results < 0) | (same & (step.outcomes < results)))
        words[flips] = bit
        sides[flips], chosen[flips] = side, name
        results[flips], nearest[flips] = step.outcomes[flips], step.distances[flips]
    return NearestFlips(sides, names, chosen, results, nearest, words)


def pair_steps(decisions: Decisions, config: RoutingConfig, pairs: RowArray) -> Iterator[Step]:
    """Every single change that flips some of these pairs' routes; arrays of shape (n_pairs,), outcomes in `ROUTES`.

    A leaking pair is blocked whatever else is said of it, so that only its leakage status can flip it; a harmful pooled side is not available,
    so that nothing of it but the harm can. A route into the experimental lane is told while the lane has room, never where it has none.
    """
    rows, pooled_rows = decisions.rows[pairs], decisions.pooled_rows[pairs]
    has_pool = pooled_rows >= 0
    cs_states, local_states = decisions.cs_states[pairs], decisions.local_states[pairs]
    low, high = difference_interval(decisions.candidates, rows)
    policy_reasons = decisions.policy_reasons[pairs]
    leaks = policy_reasons == REASONS.index(ReasonCode.PAIR_LEAKS)
    harmful = decisions.cs_reasons[pairs] == REASONS.index(ReasonCode.POOLED_HARMFUL)
    lane_is_full = policy_reasons == REASONS.index(ReasonCode.EXPERIMENTAL_CAP)

    def flip(mode: Mode, step: tuple[Measure, str | None], applies: BoolArray, routes: CodeArray, distances: FloatArray) -> Step:
        applies = applies & (routes != decisions.routes[pairs]) & ~(lane_is_full & (routes == ROUTES.index(Route.EXPERIMENTAL_ONLY)))
        return Step(mode, *step, applies, routes, distances)

    def routed(cs: CodeArray, local: CodeArray, ends: tuple[FloatArray, FloatArray] = (low, high)) -> CodeArray:
        return combine(cs, local, config.both_strong_behavior, *ends)[0]

    for step in side_steps(decisions.side, config, np.where(has_pool, pooled_rows, 0), Mode.CROSS_SECTIONAL):
        applies = step.applies & has_pool & ~harmful & ~leaks
        yield flip(step.mode, (step.measure, step.word), applies, routed(step.outcomes, local_states), step.distances)
    for step in side_steps(decisions.side, config, rows, Mode.SYMBOL_SPECIFIC):
        routes, applies = routed(cs_states, step.outcomes), step.applies & ~leaks
        if step.measure.name == "leakage_status":
            applies = step.applies
            if step.word == LeakageStatus.BLOCKED and config.block_on_leakage:
                routes = np.full_like(routes, ROUTES.index(Route.BLOCKED))
        yield flip(step.mode, (step.measure, step.word), applies, routes, step.distances)
    harm = harm_measure(decisions, config)
    known = has_pool & ~np.isnan(harm.values[rows]) & ~np.isnan(harm.bounds[rows]) & ~leaks
    disallowed = np.int8(STATES.index(SignalState.DISALLOWED))
    available = np.where(harmful, decisions.side.states[np.where(has_pool, pooled_rows, 0)], disallowed).astype(np.int8)
    scale = 0.5 * (decisions.candidates.numbers("score_ci_high") - decisions.candidates.numbers("score_ci_low"))
    yield flip(Mode.CROSS_SECTIONAL, (harm, None), known, routed(available, local_states), _distances(harm, rows, scale))
    if config.both_strong_behavior == "EVIDENCE":
        width = 0.5 * np.abs(high - low)
        for place, measure in enumerate(difference_measures(decisions)):
            ends = [low, high]
            ends[place] = np.where(measure.passed[rows], 0.0, 1.0 if place == 0 else -1.0)
            distances = np.abs(measure.values[rows]) / np.maximum(width, 1e-12)
            yield flip(Mode.SYMBOL_SPECIFIC, (measure, None), ~np.isnan(low) & ~leaks, routed(cs_states, local_states, (ends[0], ends[1])), distances)


def harm_measure(decisions: Decisions, config: RoutingConfig) -> Measure:
    """The pooled score's upper bound on each row's symbol, held against the null."""
    values, bounds = pooled_upper_bounds(decisions.candidates, config), score_nulls(decisions.candidates)
    return Measure(UPPER_BOUND, ">=", values, bounds, ~(values < bounds))


def difference_measures(decisions: Decisions) -> tuple[Measure, Measure]:
    """The two ends of the interval of local minus pooled, held against zero: local is better above, pooled below."""
    low, high = difference_interval(decisions.candidates, np.arange(decisions.candidates.n_rows))
    zero = np.zeros(low.size)
    return Measure("local_minus_pooled_ci_low", ">", low, zero, low > 0.0), Measure("local_minus_pooled_ci_high", "<", high, zero, high < 0.0)


def side_steps(side: Side, config: RoutingConfig, rows: RowArray, mode: Mode) -> Iterator[Step]:
    """Every single change of sides of one mode; arrays of shape (n_rows,), outcomes in `STATES`.

    A quantity that several bounds ask about changes for all of them: a score just below one bound may still be above another. q stays as it is when
    p changes, since it follows from the other pairs too.
    """
    gate_of = {measure.name: place for place, result in enumerate(side.gates) for measure in result.measures}
    lane = {measure.name: measure for measure in side.lane}
    lane_passed = {name: measure.passed[rows] for name, measure in lane.items()}

    def outcome(refused: Mapping[int, BoolArray], in_lane: Mapping[str, BoolArray], opened: Mapping[int, bool], strong: BoolArray) -> CodeArray:
        refusals = side.refusals[:, rows].copy()
        lane_open = np.stack([result.lane_open[rows] for result in side.gates])
        for place, flags in refused.items():
            refusals[place] = flags
        for place, flag in opened.items():
            lane_open[place] = flag
        within = np.logical_and.reduce(list({**lane_passed, **in_lane}.values())) & config.enable_experimental_lane
        return states_of(np.asarray(refusals.any(axis=0)), np.asarray((refusals & ~lane_open).any(axis=0)), np.asarray(within), strong)

    strong = side.strong.passed[rows]
    for place, result in enumerate(side.gates):
        for measure in result.measures:
            if measure.name == UNWRITTEN:
                continue
            others = np.ones(rows.size, bool)
            for other in result.measures:
                others &= other.passed[rows] | (other is measure)
            if measure.words:
                allowed = np.array([[word in words for word in measure.words] for words in measure.bound_words])[measure.bounds[rows].astype(np.int64)]
                for code, word in enumerate(measure.words):
                    in_lane = {}
                    if measure.name == "stability":
                        held = lane["experimental_stability"]
                        in_lane["experimental_stability"] = np.full(rows.size, word in held.bound_words[0])
                    opened = {place: word == LeakageStatus.SUSPECT} if measure.name == "leakage_status" else {}
                    states = outcome({place: ~(allowed[:, code] & others)}, in_lane, opened, strong)
                    yield Step(mode, measure, word, measure.values[rows] != code, states, np.full(rows.size, np.inf))
                continue
            passed, bounds = measure.passed[rows], measure.bounds[rows]
            refused, in_lane, strong_then = {place: passed | ~others}, {}, strong
            if measure.name == "score":
                refused[gate_of[UNWRITTEN]] = np.zeros(rows.size, bool)
                in_lane["experimental_score"] = _still(lane["experimental_score"].bounds[rows], bounds, passed)
                strong_then = _still(side.strong.bounds[rows], bounds, passed)
            states = outcome(refused, in_lane, {}, strong_then)
            yield Step(mode, measure, None, ~np.isnan(bounds), states, _distances(measure, rows))
    for name in ("experimental_score", "experimental_p_value"):
        measure = lane[name]
        passed, bounds = measure.passed[rows], measure.bounds[rows]
        refused, strong_then = {}, strong
        if name == "experimental_score":
            gate_bounds = next(held for held in side.gates[gate_of["score"]].measures if held.name == "score").bounds[rows]
            refused = {gate_of["score"]: ~_still(gate_bounds, bounds, passed), gate_of[UNWRITTEN]: np.zeros(rows.size, bool)}
            strong_then = _still(side.strong.bounds[rows], bounds, passed)
        states = outcome(refused, {name: ~passed}, {}, strong_then)
        yield Step(mode, measure, None, np.ones(rows.size, bool), states, _distances(measure, rows))


def _still(other_bounds: FloatArray, crossed: FloatArray, falls: BoolArray) -> BoolArray:
    """Whether a number that comes to a bound from below, or falls just under it, is at or above another bound."""
    return np.asarray(np.where(falls, crossed > other_bounds, crossed >= other_bounds))


def _distances(measure: Measure, rows: RowArray, zero_scale: FloatArray | None = None) -> FloatArray:
    """Distance to the bound; `zero_scale`, shape (n_candidate_rows,), is the unit where the bound is zero."""
    values, bounds = np.asarray(measure.values[rows], float), np.asarray(measure.bounds[rows], float)
    if measure.name in PROBABILITIES:
        deviates = [special.ndtri(np.clip(part, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)) for part in (values, bounds)]
        distances = np.abs(deviates[0] - deviates[1]) / np.maximum(np.abs(deviates[1]), 1.0)
    elif measure.name in COUNTS:
        beyond = np.where(measure.passed[rows], bounds + (1.0 if measure.comparison == "<=" else -1.0), bounds)
        distances = np.abs(values - beyond) / np.maximum(np.abs(bounds), 1.0)
    else:
        units = np.abs(bounds)
        if zero_scale is not None:
            units = np.where(units > 0.0, units, np.nan_to_num(zero_scale[rows], nan=1.0))
        distances = np.abs(values - bounds) / np.maximum(units, 1e-12)
    return np.asarray(np.nan_to_num(distances, nan=np.inf))
