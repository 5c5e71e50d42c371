"""Why a pair is routed as it is: every number, its bound, the margin, and the nearest change that would flip the route.

Belongs here: reading decisions. Does not: making them (`gates`, `policy`), or comparing plans (`comparison`).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from config.sections.routing import RoutingConfig
from routing_assets.contracts import REASONS, ROUTES, STATES, Decisions, Measure, Mode, ReasonCode, SignalState
from routing_assets.decisions.gates import GATES, states_of
from routing_assets.decisions.harm import UPPER_BOUND, pooled_upper_bounds, score_nulls
from routing_assets.decisions.policy import combine, difference_interval
from routing_assets.decisions.routing_plan import UNWRITTEN, measure_items, pair_reasons
from training_assets.contracts import Route

LOWER_IS_BETTER = ("q_value", "experimental_p_value")


@dataclass(frozen=True)
class MeasuredNumber:
    """One number of one side and the bound it was held against; `margin` is positive where it passes, null where it has no number."""

    side: Mode
    gate: str
    name: str
    value: Any
    comparison: str
    bound: Any
    passed: bool
    margin: float | None


@dataclass(frozen=True)
class Flip:
    """One change of one number that would change the outcome; `distance` is the change over the bound, null for a word."""

    side: Mode
    name: str
    outcome: str
    distance: float | None
    text: str


@dataclass(frozen=True)
class Explanation:
    """The decision on a pair, or on a target's pooled side (`symbol` None), and everything behind it; flips nearest first."""

    target: str
    symbol: str | None
    outcome: str
    cs_state: SignalState
    local_state: SignalState | None
    reasons: tuple[str, ...]
    numbers: tuple[MeasuredNumber, ...]
    flips: tuple[Flip, ...]

    def text(self) -> str:
        """The explanation for a terminal."""
        name = self.target if self.symbol is None else f"{self.target} / {self.symbol}"
        states = f"cross-sectional {self.cs_state}" + ("" if self.local_state is None else f", local {self.local_state}")
        lines = [f"{name}: {self.outcome}", f"  {states}", f"  because: {', '.join(self.reasons) or 'nothing refuses'}"]
        for side in Mode:
            rows = [number for number in self.numbers if number.side is side]
            lines += [f"  {side}"] * bool(rows) + [f"    {_number_line(number)}" for number in rows]
        lines += [f"  nearest change: {self.flips[0].text}" if self.flips else "  no single change of one number flips it"]
        return "\n".join(lines + [f"  also: {flip.text}" for flip in self.flips[1:4]])


def explain(decisions: Decisions, config: RoutingConfig, target: str, symbol: str | None = None) -> Explanation:
    """Explain one pair, or a target's pooled side.

    Parameters
    ----------
    config : the settings the decisions were made with.

    Raises
    ------
    KeyError
        The candidates hold no such target, or no such symbol of it.
    """
    candidates = decisions.candidates
    if target not in candidates.targets:
        raise KeyError(f"target '{target}' is not among the {len(candidates.targets)} targets of the candidates")
    pooled_row = int(decisions.pooled_row_of_target[candidates.targets.index(target)])
    if symbol is None:
        return _explain_pooled(decisions, target, pooled_row)
    pair = _pair_of(decisions, target, symbol)
    row = int(decisions.rows[pair])
    sides = [(Mode.SYMBOL_SPECIFIC, row)] + ([(Mode.CROSS_SECTIONAL, pooled_row)] if pooled_row >= 0 else [])
    return Explanation(
        target=target,
        symbol=symbol,
        outcome=str(ROUTES[decisions.routes[pair]]),
        cs_state=STATES[decisions.cs_states[pair]],
        local_state=STATES[decisions.local_states[pair]],
        reasons=tuple(pair_reasons(decisions)[pair]),
        numbers=tuple(number for side, side_row in sides for number in _numbers(decisions, side, side_row)) + _pair_numbers(decisions, config, pair),
        flips=_pair_flips(decisions, config, pair, sides),
    )


def _explain_pooled(decisions: Decisions, target: str, row: int) -> Explanation:
    if row < 0:
        return Explanation(target, None, "DISABLED", SignalState.DISALLOWED, None, (str(ReasonCode.NO_METRICS),), (), ())
    state, reason = STATES[decisions.side.states[row]], REASONS[decisions.side.reasons[row]]
    flips = [
        _flip(Mode.CROSS_SECTIONAL, measure, row, str(STATES[new])) for measure, new in _one_step_states(decisions, row) if new != decisions.side.states[row]
    ]
    reasons = () if reason is ReasonCode.PASSED else (str(reason),)
    return Explanation(target, None, str(state), state, None, reasons, tuple(_numbers(decisions, Mode.CROSS_SECTIONAL, row)), _nearest(flips))


def _pair_of(decisions: Decisions, target: str, symbol: str) -> int:
    candidates = decisions.candidates
    if symbol in candidates.symbols:
        wanted = (candidates.target_codes == candidates.targets.index(target)) & (candidates.symbol_codes == candidates.symbols.index(symbol))
        rows = np.flatnonzero(wanted)
        if rows.size:
            return int(np.searchsorted(decisions.rows, rows[0]))
    raise KeyError(f"target '{target}' has no symbol '{symbol}' among its candidates")


def _pair_flips(decisions: Decisions, config: RoutingConfig, pair: int, sides: list[tuple[Mode, int]]) -> tuple[Flip, ...]:
    """Changes of one number of one side that change the route; none where the pair leaks, since nothing else counts there."""
    policy_reason = decisions.policy_reasons[pair]
    if policy_reason >= 0 and REASONS[policy_reason] is ReasonCode.PAIR_LEAKS:
        return ()
    interval = difference_interval(decisions.candidates, decisions.rows[pair : pair + 1])
    flips = []
    for side, row in sides:
        if side is Mode.CROSS_SECTIONAL and REASONS[decisions.cs_reasons[pair]] is ReasonCode.POOLED_HARMFUL:
            continue
        for measure, new in _one_step_states(decisions, row):
            states = [np.array([new if side is mode else old[pair]], np.int8) for mode, old in _states(decisions)]
            route = ROUTES[int(combine(states[0], states[1], config.both_strong_behavior, *interval)[0][0])]
            if route is not ROUTES[decisions.routes[pair]] and not (route is Route.EXPERIMENTAL_ONLY and policy_reason >= 0):
                flips.append(_flip(side, measure, row, str(route)))
    return _nearest(flips)


def _states(decisions: Decisions) -> tuple[tuple[Mode, Any], tuple[Mode, Any]]:
    return (Mode.CROSS_SECTIONAL, decisions.cs_states), (Mode.SYMBOL_SPECIFIC, decisions.local_states)


def _one_step_states(decisions: Decisions, row: int) -> list[tuple[Measure, int]]:
    """For each measure of a row, the state the side would have if that one measure came out the other way."""
    side = decisions.side
    outcomes = []
    for place, result in enumerate(side.gates):
        for measure in result.measures:
            if measure.name == UNWRITTEN or (not measure.words and np.isnan(measure.bounds[row])):
                continue
            others = all(other.passed[row] for other in result.measures if other is not measure)
            refusals = side.refusals[:, row].copy()
            refusals[place] = bool(measure.passed[row]) or not others
            closed = any(refused and not gate.lane_open[row] for refused, gate in zip(refusals, side.gates, strict=True))
            outcomes.append((measure, _state(bool(refusals.any()), closed, bool(side.in_lane_bounds[row]), bool(side.strong.passed[row]))))
    if side.refusals[:, row].any() and side.in_lane_reach[row]:
        missed = [measure for measure in side.lane if not measure.passed[row]]
        if len(missed) == 1:
            outcomes.append((missed[0], _state(True, False, True, False)))
    return outcomes


def _state(refused: bool, closed: bool, in_lane_bounds: bool, strong: bool) -> int:
    return int(states_of(*(np.array([flag]) for flag in (refused, closed, in_lane_bounds, strong)))[0])


def _flip(side: Mode, measure: Measure, row: int, outcome: str) -> Flip:
    item = measure_items(measure, np.array([row]))[0]
    value, bound, passed = item["value"], item["bound"], item["passed"]
    prefix = f"{'pooled' if side is Mode.CROSS_SECTIONAL else 'local'} {measure.name}"
    would = f"would be {outcome}" + (" (while the lane has room)" if outcome == Route.EXPERIMENTAL_ONLY else "")
    if measure.words:
        change = f"outside {', '.join(bound)}" if passed else f"one of {', '.join(bound)}"
        return Flip(side, measure.name, outcome, None, f"{prefix} {value}: {would} if {change}")
    if value is None:
        return Flip(side, measure.name, outcome, None, f"{prefix} not computed: {would} at {_sign(measure, True)} {_shown(bound)}")
    distance = abs(value - bound) / max(abs(bound), 1e-12)
    text = f"{prefix} {_shown(value)} {_sign(measure, passed)} {_shown(bound)}: {would} at {_sign(measure, not passed)} {_shown(bound)}"
    return Flip(side, measure.name, outcome, distance, text + ("" if passed else _more_data(measure.name, value, bound)))


def _more_data(name: str, value: float, bound: float) -> str:
    """How much more data would get there, were the effect what it seems: z grows with the root of the sample, rows with the sample."""
    if name in ("sample_size", "n_effective") and value > 0:
        return f", about {bound / value:.1f} times the data"
    if name in LOWER_IS_BETTER and 0 < bound < value < 0.5:
        normal = NormalDist()
        return f", about {(normal.inv_cdf(bound) / normal.inv_cdf(value)) ** 2:.1f} times the data"
    return ""


def _nearest(flips: list[Flip]) -> tuple[Flip, ...]:
    return tuple(sorted(flips, key=lambda flip: (flip.distance is None, flip.distance or 0.0, flip.side, flip.name)))


def _numbers(decisions: Decisions, mode: Mode, row: int) -> list[MeasuredNumber]:
    side = decisions.side
    named = [(str(gate.code), measure) for gate, result in zip(GATES, side.gates, strict=True) for measure in result.measures]
    named.append(("STRONG", side.strong))
    if side.in_lane_reach[row]:
        named += [("EXPERIMENTAL", measure) for measure in side.lane]
    numbers = []
    for gate, measure in named:
        item = measure_items(measure, np.array([row]))[0]
        if measure.name != UNWRITTEN and item["bound"] is not None:
            margin = None
            if not measure.words and item["value"] is not None:
                margin = float((item["value"] - item["bound"]) * (1 if measure.comparison == ">=" else -1))
            numbers.append(MeasuredNumber(mode, gate, measure.name, item["value"], measure.comparison, item["bound"], item["passed"], margin))
    return numbers


def _pair_numbers(decisions: Decisions, config: RoutingConfig, pair: int) -> tuple[MeasuredNumber, ...]:
    """What the policy held beside the gates: the pooled score on the symbol, and the difference of the two sides."""
    candidates, row = decisions.candidates, int(decisions.rows[pair])
    numbers = []
    high, null_score = float(pooled_upper_bounds(candidates, config)[row]), float(score_nulls(candidates)[row])
    if np.isfinite(high) and np.isfinite(null_score):
        code = str(ReasonCode.POOLED_HARMFUL)
        numbers.append(MeasuredNumber(Mode.CROSS_SECTIONAL, code, UPPER_BOUND, high, ">=", null_score, high >= null_score, high - null_score))
    for name, sign, better in (("local_minus_pooled_ci_low", ">", 1), ("local_minus_pooled_ci_high", "<", -1)):
        value = candidates.table.column(name)[row].as_py()
        if value is not None:
            numbers.append(MeasuredNumber(Mode.SYMBOL_SPECIFIC, "EVIDENCE", name, value, sign, 0.0, value * better > 0, value * better))
    return tuple(numbers)


def _number_line(number: MeasuredNumber) -> str:
    bound = ", ".join(number.bound) if isinstance(number.bound, list) else _shown(number.bound)
    margin = "" if number.margin is None else f"  margin {number.margin:+.4g}"
    return f"{'ok ' if number.passed else 'NO '} {number.gate:<16} {number.name} {_shown(number.value)} {number.comparison} {bound}{margin}"


def _shown(value: Any) -> str:
    return "not computed" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _sign(measure: Measure, passed: bool) -> str:
    """How a value stands to its bound: the measure's own sign where it passes, the opposite where not."""
    if passed:
        return measure.comparison
    return "<" if measure.comparison == ">=" else ">"
