"""The gates: what one side of a pair must pass, in order, and the state it comes out with.

Belongs here: one function a gate, the registry `GATES`, the experimental lane's bounds. Does not: how two sides combine (`policy`).
Every function sees all rows at once. A new gate is one function and one entry, and a code in `ReasonCode`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.sections.base import LeakageStatus, Stability, TaskType
from config.sections.routing import RegressionTiers, RoutingConfig, ScoreBounds
from routing_assets.contracts import (
    REASONS,
    STATES,
    VOCABULARIES,
    BoolArray,
    Candidates,
    CodeArray,
    Comparison,
    FloatArray,
    GateResult,
    Measure,
    ModelStatus,
    ReasonCode,
    Side,
    SignalState,
)
from routing_assets.evidence.significance import candidate_q_values

TIER_EDGES_MINUTES = (60.0, 240.0, 1440.0)  # short below the first, very_long from the last


@dataclass(frozen=True)
class Gate:
    """One entry of `GATES`: the reason code of its refusal, the function that finds it, and what it is for."""

    code: ReasonCode
    check: Callable[[Candidates, RoutingConfig], GateResult]
    description: str


def no_metrics(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Refuse a side without an out-of-sample score."""
    scores = candidates.numbers("score")
    return GateResult((Measure("score_computed", ">=", np.isfinite(scores) * 1.0, np.ones(scores.size), np.isfinite(scores)),), _closed(candidates))


def leakage(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Refuse by leakage status; SUSPECT leaves the experimental lane open, whatever the allow-list says."""
    allowed: list[LeakageStatus] = [status for status in config.allowed_feature_leakage_status if status not in (LeakageStatus.SUSPECT, LeakageStatus.BLOCKED)]
    if not config.block_on_leakage:  # the schema allows this in dev_mode only
        allowed.append(LeakageStatus.BLOCKED)
    if config.dev_mode and LeakageStatus.UNKNOWN not in allowed:
        allowed.append(LeakageStatus.UNKNOWN)
    measure = _word_measure(candidates, "leakage_status", LeakageStatus.UNKNOWN, (tuple(allowed), tuple(allowed)))
    return GateResult((measure,), measure.values == VOCABULARIES["leakage_status"].index(LeakageStatus.SUSPECT))


def sample_size(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Refuse too few rows, or too few effective rows; rows must be known, effective rows count where known. `dev_mode` asks for none."""
    least = config.min_sample_size
    rows, effective = candidates.numbers("sample_size"), candidates.numbers("n_effective")
    row_bounds = np.where(candidates.local, least.symbol, least.cross_sectional).astype(float)
    effective_bounds = np.where(candidates.local, least.effective_symbol, least.effective_cross_sectional).astype(float)
    if config.dev_mode:
        row_bounds, effective_bounds = np.full(rows.size, np.nan), np.full(rows.size, np.nan)
    return GateResult(
        (
            Measure("sample_size", ">=", rows, row_bounds, (rows >= row_bounds) | np.isnan(row_bounds)),
            Measure("n_effective", ">=", effective, effective_bounds, ~(effective < effective_bounds)),
        ),
        _closed(candidates),
    )


def families_failed(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Refuse a side on which too few screening families succeeded; families nobody listed are not held against it, a FAILED status is."""
    successes = _list_lengths(candidates, "attempted_model_families") - np.nan_to_num(_list_lengths(candidates, "failed_model_families"))
    bounds = np.full(successes.size, float(config.require_min_successful_families))
    not_failed = tuple(status for status in ModelStatus if status is not ModelStatus.FAILED)
    status = candidates.words("model_status")
    failed = status == VOCABULARIES["model_status"].index(ModelStatus.FAILED)
    return GateResult(
        (
            Measure("n_successful_families", ">=", np.maximum(successes, 0.0), bounds, ~(successes < bounds)),
            Measure("model_status", "in", status, np.zeros(status.size, np.int8), ~failed, VOCABULARIES["model_status"], (not_failed,)),
        ),
        _closed(candidates),
    )


def unsafe_features(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Where only safe features are wanted, refuse a side that uses another, or whose features nobody checked."""
    n_unsafe = _list_lengths(candidates, "unsafe_features")
    bounds = np.full(n_unsafe.size, 0.0 if config.require_safe_features_only else np.nan)
    passed = (n_unsafe <= 0.0) | np.isnan(bounds)
    return GateResult((Measure("n_unsafe_features", "<=", n_unsafe, bounds, passed),), _closed(candidates))


def not_significant(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Refuse a q above `significance.max_q`, and an unknown one unless the method is none."""
    q_values = candidate_q_values(candidates, config.significance)
    passed = q_values <= config.significance.max_q
    if config.significance.method == "none":
        passed |= np.isnan(q_values)
    return GateResult((Measure("q_value", "<=", q_values, np.full(q_values.size, config.significance.max_q), passed),), ~_closed(candidates))


def stability(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Refuse a stability that is not in the side's allow-list; a null one is UNKNOWN."""
    allowed = (config.stability_allowlist.cross_sectional, config.stability_allowlist.symbol)
    return GateResult((_word_measure(candidates, "stability", Stability.UNKNOWN, allowed),), ~_closed(candidates))


def score(candidates: Candidates, config: RoutingConfig) -> GateResult:
    """Refuse a score below the bound of its side, task and horizon tier."""
    bounds = _score_bounds(candidates, config.cross_sectional.min_score, config.symbol.min_score)
    return GateResult((_number_measure("score", ">=", candidates.numbers("score"), bounds),), ~_closed(candidates))


GATES: tuple[Gate, ...] = (
    Gate(ReasonCode.NO_METRICS, no_metrics, "no out-of-sample score"),
    Gate(ReasonCode.LEAKAGE, leakage, "leakage status not allowed"),
    Gate(ReasonCode.SAMPLE_SIZE, sample_size, "too few rows or effective rows"),
    Gate(ReasonCode.FAMILIES_FAILED, families_failed, "too few screening families succeeded"),
    Gate(ReasonCode.UNSAFE_FEATURES, unsafe_features, "features that are not safe"),
    Gate(ReasonCode.NOT_SIGNIFICANT, not_significant, "not told from noise at the false-discovery rate"),
    Gate(ReasonCode.STABILITY, stability, "selected features change too much"),
    Gate(ReasonCode.SCORE, score, "score below the bound of its task and horizon"),
)


def pass_gates(candidates: Candidates, config: RoutingConfig) -> Side:
    """Hold every row against every gate.

    Returns
    -------
    Side with one state a row: STRONG or WEAK_BUT_OK where no gate refuses, EXPERIMENTAL where every gate that refuses leaves the lane
    open and the row is within the lane's own bounds, else DISALLOWED.
    """
    results = tuple(gate.check(candidates, config) for gate in GATES)
    refusals = np.stack([result.refused for result in results])
    lane = lane_measures(candidates, config)
    in_bounds = ~GateResult(lane, ~_closed(candidates)).refused & config.enable_experimental_lane
    strong = _number_measure(
        "strong_score", ">=", candidates.numbers("score"), _score_bounds(candidates, config.cross_sectional.strong_score, config.symbol.strong_score)
    )
    closed = np.stack([result.refused & ~result.lane_open for result in results])
    refused = np.asarray(refusals.any(axis=0))
    states = states_of(refused, np.asarray(closed.any(axis=0)), in_bounds, strong.passed)
    codes = np.array([REASONS.index(gate.code) for gate in GATES], np.int8)
    reasons = np.where(refused, codes[refusals.argmax(axis=0)], REASONS.index(ReasonCode.PASSED)).astype(np.int8)
    return Side(results, refusals, lane, in_bounds, strong, states, reasons)


def states_of(refused: BoolArray, closed: BoolArray, in_lane_bounds: BoolArray, strong: BoolArray) -> CodeArray:
    """States from what the gates said, each shape (n_rows,): any refusal, any refusal that closes the lane, the lane's bounds, the strong score."""
    state = {name: code for code, name in enumerate(STATES)}
    passed = np.where(strong, state[SignalState.STRONG], state[SignalState.WEAK_BUT_OK])
    missed = np.where(in_lane_bounds & ~closed, state[SignalState.EXPERIMENTAL], state[SignalState.DISALLOWED])
    states: CodeArray = np.where(refused, missed, passed).astype(np.int8)
    return states


def lane_measures(candidates: Candidates, config: RoutingConfig) -> tuple[Measure, ...]:
    """The experimental lane's own bounds: score by task, p (unknown never passes), stability."""
    least = config.experimental.min_score
    bounds = _by_task(candidates, np.full(candidates.n_rows, least.classification), np.full(candidates.n_rows, least.regression))
    allowed = config.experimental.allowed_stabilities
    return (
        _number_measure("experimental_score", ">=", candidates.numbers("score"), bounds),
        _number_measure("experimental_p_value", "<=", candidates.numbers("p_value"), np.full(candidates.n_rows, config.experimental.max_p)),
        _word_measure(candidates, "stability", Stability.UNKNOWN, (allowed, allowed), "experimental_stability"),
    )


def _closed(candidates: Candidates) -> BoolArray:
    return np.zeros(candidates.n_rows, bool)


def _number_measure(name: str, comparison: Comparison, values: FloatArray, bounds: FloatArray) -> Measure:
    """A number that must be known and within its bound."""
    return Measure(name, comparison, values, bounds, values >= bounds if comparison == ">=" else values <= bounds)


def _word_measure(candidates: Candidates, column: str, unknown: str, allowed: tuple[tuple[str, ...], tuple[str, ...]], name: str = "") -> Measure:
    """A word that must be in the allow-list of its side (pooled, local); null is `unknown`."""
    words = VOCABULARIES[column]
    codes = candidates.words(column)
    codes = np.where(codes < 0, np.int8(words.index(unknown)), codes)
    sides = candidates.local.astype(np.int8)
    table = np.array([[word in side for word in words] for side in allowed])
    return Measure(name or column, "in", codes, sides, table[sides, codes], words, tuple(tuple(str(word) for word in side) for side in allowed))


def _score_bounds(candidates: Candidates, pooled: ScoreBounds, local: ScoreBounds) -> FloatArray:
    """Shape (n_rows,), the bound of each row's side, task and horizon tier; an unknown horizon takes the default tier."""
    horizons = candidates.numbers("horizon_minutes")
    tiers = np.where(np.isnan(horizons), 0, 1 + np.searchsorted(TIER_EDGES_MINUTES, horizons, side="right"))
    regression = np.array([_tier_values(pooled.regression), _tier_values(local.regression)])
    sides = candidates.local.astype(np.int8)
    classification = np.array([pooled.classification, local.classification])
    return _by_task(candidates, classification[sides], regression[sides, tiers])


def _by_task(candidates: Candidates, classification: FloatArray, regression: FloatArray) -> FloatArray:
    """The bound of each row's task; the larger of the two where the table does not say which task it is."""
    task = candidates.words("task_type")
    known = np.where(task == VOCABULARIES["task_type"].index(TaskType.REGRESSION), regression, classification)
    return np.where(task < 0, np.maximum(classification, regression), known)


def _tier_values(tiers: RegressionTiers) -> list[float]:
    return [tiers.default if value is None else value for value in (tiers.default, tiers.short, tiers.medium, tiers.long, tiers.very_long)]


def _list_lengths(candidates: Candidates, column: str) -> NDArray[np.float64]:
    """Shape (n_rows,), entries of a list column, NaN where null."""
    lengths: NDArray[np.float64] = pc.list_value_length(candidates.table.column(column)).combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return lengths
