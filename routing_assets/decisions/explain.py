"""Why a pair is routed as it is: every number, its bound, the margin, and the nearest change that would flip the route.

Belongs here: reading decisions. Does not: making them (`gates`, `policy`), or comparing plans (`comparison`).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from config.sections.routing import RoutingConfig
from routing_assets.contracts import REASONS, ROUTES, STATES, Decisions, Measure, Mode, ReasonCode, SignalState
from routing_assets.decisions.flips import PROBABILITIES, Step, difference_measures, harm_measure, pair_steps, side_steps
from routing_assets.decisions.gates import GATES
from routing_assets.decisions.harm import UPPER_BOUND
from routing_assets.decisions.routing_plan import UNWRITTEN, measure_items, pair_reasons
from training_assets.contracts import Route


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
    """One change of one number that would change the outcome; `distance` as of `flips.Step`, null for a word or a number that was not computed."""

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
        return _explain_pooled(decisions, config, target, pooled_row)
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
        flips=_pair_flips(decisions, config, pair),
    )


def _explain_pooled(decisions: Decisions, config: RoutingConfig, target: str, row: int) -> Explanation:
    if row < 0:
        return Explanation(target, None, "DISABLED", SignalState.DISALLOWED, None, (str(ReasonCode.NO_METRICS),), (), ())
    state, reason = STATES[decisions.side.states[row]], REASONS[decisions.side.reasons[row]]
    rows = np.array([row])
    steps = [step for step in side_steps(decisions.side, config, rows, Mode.CROSS_SECTIONAL) if step.applies[0] and STATES[step.outcomes[0]] is not state]
    flips = _flips([(step, str(STATES[step.outcomes[0]])) for step in steps], row, row)
    reasons = () if reason is ReasonCode.PASSED else (str(reason),)
    return Explanation(target, None, str(state), state, None, reasons, tuple(_numbers(decisions, Mode.CROSS_SECTIONAL, row)), flips)


def _pair_of(decisions: Decisions, target: str, symbol: str) -> int:
    candidates = decisions.candidates
    if symbol in candidates.symbols:
        wanted = (candidates.target_codes == candidates.targets.index(target)) & (candidates.symbol_codes == candidates.symbols.index(symbol))
        rows = np.flatnonzero(wanted)
        if rows.size:
            return int(np.searchsorted(decisions.rows, rows[0]))
    raise KeyError(f"target '{target}' has no symbol '{symbol}' among its candidates")


def _pair_flips(decisions: Decisions, config: RoutingConfig, pair: int) -> tuple[Flip, ...]:
    """Changes of one number that change the route, nearest first."""
    steps = [step for step in pair_steps(decisions, config, np.array([pair])) if step.applies[0]]
    told = [(step, str(ROUTES[step.outcomes[0]])) for step in sorted(steps, key=lambda step: int(step.outcomes[0]))]
    return _flips(told, int(decisions.pooled_rows[pair]), int(decisions.rows[pair]))


def _flips(steps: list[tuple[Step, str]], pooled_row: int, row: int) -> tuple[Flip, ...]:
    """The steps in words, nearest first; words of one measure that come to the same are one flip."""
    grouped: dict[tuple[Mode, str, str], list[Step]] = {}
    for step, outcome in steps:
        grouped.setdefault((step.mode, step.measure.name, outcome), []).append(step)
    flips = []
    for (mode, name, outcome), group in grouped.items():
        held = row if mode is Mode.SYMBOL_SPECIFIC or name == UPPER_BOUND else pooled_row
        flips.append(_flip(group, held, outcome))
    return tuple(sorted(flips, key=lambda flip: (flip.distance is None, flip.distance or 0.0, flip.side, flip.name)))


def _flip(group: list[Step], row: int, outcome: str) -> Flip:
    side, measure = group[0].mode, group[0].measure
    item = measure_items(measure, np.array([row]))[0]
    value, bound, passed = item["value"], item["bound"], item["passed"]
    prefix = f"{'pooled' if side is Mode.CROSS_SECTIONAL else 'local'} {measure.name}"
    would = f"would be {outcome}" + (" (while the lane has room)" if outcome == Route.EXPERIMENTAL_ONLY else "")
    words = [str(step.word) for step in group if step.word is not None]
    if words:
        return Flip(side, measure.name, outcome, None, f"{prefix} {_shown(value)}: {would} if {'one of ' if len(words) > 1 else ''}{', '.join(words)}")
    needed = f"{_sign(measure, not passed)} {_shown(bound)}"
    if value is None:
        return Flip(side, measure.name, outcome, None, f"{prefix} not computed: {would} at {needed}")
    text = f"{prefix} {_shown(value)} {_sign(measure, passed)} {_shown(bound)}: {would} at {needed}"
    return Flip(side, measure.name, outcome, float(group[0].distances[0]), text + ("" if passed else _more_data(measure.name, value, bound)))


def _more_data(name: str, value: float, bound: float) -> str:
    """How much more data would get there, were the effect what it seems: z grows with the root of the sample, rows with the sample."""
    if name in ("sample_size", "n_effective") and value > 0:
        return f", about {bound / value:.1f} times the data"
    if name in PROBABILITIES and 0 < bound < value < 0.5:
        normal = NormalDist()
        return f", about {(normal.inv_cdf(bound) / normal.inv_cdf(value)) ** 2:.1f} times the data"
    return ""


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
    row = int(decisions.rows[pair])
    harm = harm_measure(decisions, config)
    held = [(Mode.CROSS_SECTIONAL, str(ReasonCode.POOLED_HARMFUL), harm)] if np.isfinite(harm.values[row]) and np.isfinite(harm.bounds[row]) else []
    held += [(Mode.SYMBOL_SPECIFIC, "EVIDENCE", measure) for measure in difference_measures(decisions) if np.isfinite(measure.values[row])]
    numbers = []
    for side, code, measure in held:
        value, bound = float(measure.values[row]), float(measure.bounds[row])
        margin = (value - bound) * (1 if measure.comparison.startswith(">") else -1)
        numbers.append(MeasuredNumber(side, code, measure.name, value, measure.comparison, bound, bool(measure.passed[row]), margin))
    return tuple(numbers)


def _number_line(number: MeasuredNumber) -> str:
    bound = ", ".join(number.bound) if isinstance(number.bound, list) else _shown(number.bound)
    margin = "" if number.margin is None else f"  margin {number.margin:+.4g}"
    return f"{'ok ' if number.passed else 'NO '} {number.gate:<16} {number.name} {_shown(number.value)} {number.comparison} {bound}{margin}"


def _shown(value: Any) -> str:
    return "not computed" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _sign(measure: Measure, passed: bool) -> str:
    """How a value stands to its bound: the measure's own sign where it passes, the opposite where not."""
    return measure.comparison if passed else {">=": "<", "<=": ">", ">": "<=", "<": ">="}[measure.comparison]
