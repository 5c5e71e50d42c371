"""What the router reads and writes: candidates, decisions, the routing plan. Plain frozen values and schemas.

Belongs here: vocabulary and shapes. Does not: reading a table (`candidates_table`), deciding (`gates`, `policy`), text (`plan_documents`).
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from config.sections.base import LeakageStatus, Stability, TaskType
from training_assets.contracts import Route

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
CodeArray = NDArray[np.int8]
RowArray = NDArray[np.int64]


class Mode(StrEnum):
    """Which side of a pair a candidate row describes."""

    CROSS_SECTIONAL = "CROSS_SECTIONAL"
    SYMBOL_SPECIFIC = "SYMBOL_SPECIFIC"


class SignalState(StrEnum):
    """What the gates make of one side."""

    STRONG = "STRONG"
    WEAK_BUT_OK = "WEAK_BUT_OK"
    EXPERIMENTAL = "EXPERIMENTAL"
    DISALLOWED = "DISALLOWED"


class ModelStatus(StrEnum):
    """How the screening fits of a side ended: all well, some failed, none succeeded."""

    OK = "OK"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"


class ScreenOutcome(StrEnum):
    """What the closed form made of a pair: kept for boosted trees, refused, or refused and drawn to be carried through all the same."""

    KEPT = "KEPT"
    AUDITED = "AUDITED"
    REFUSED = "REFUSED"


class ReasonCode(StrEnum):
    """Why a side is refused (the gates, in their order) or why the policy chose as it did."""

    NO_METRICS = "NO_METRICS"
    LEAKAGE = "LEAKAGE"
    SAMPLE_SIZE = "SAMPLE_SIZE"
    FAMILIES_FAILED = "FAMILIES_FAILED"
    UNSAFE_FEATURES = "UNSAFE_FEATURES"
    NOT_SIGNIFICANT = "NOT_SIGNIFICANT"
    STABILITY = "STABILITY"
    SCORE = "SCORE"
    PASSED = "PASSED"
    POOLED_HARMFUL = "POOLED_HARMFUL"
    PAIR_LEAKS = "PAIR_LEAKS"
    EXPERIMENTAL_CAP = "EXPERIMENTAL_CAP"
    NO_LOCAL_JOB = "NO_LOCAL_JOB"
    BOTH_PASSED = "BOTH_PASSED"
    PREFERRED = "PREFERRED"
    LOCAL_BETTER = "LOCAL_BETTER"
    POOLED_BETTER = "POOLED_BETTER"
    DIFFERENCE_UNCLEAR = "DIFFERENCE_UNCLEAR"
    NO_SYMBOL_POOLED = "NO_SYMBOL_POOLED"


# Codes in arrays are positions in these tuples.
MODES = tuple(Mode)
STATES = tuple(SignalState)
ROUTES = tuple(Route)
REASONS = tuple(ReasonCode)
VOCABULARIES: dict[str, tuple[str, ...]] = {
    "mode": tuple(Mode),
    "task_type": tuple(TaskType),
    "stability": tuple(Stability),
    "leakage_status": tuple(LeakageStatus),
    "model_status": tuple(ModelStatus),
    "screen_outcome": tuple(ScreenOutcome),
}

_TEXT = ("target", "symbol", "mode", "task_type", "metric_name", "stability", "leakage_status", "feature_set_id", "model_status", "screen_outcome")
_COUNTS = ("horizon_minutes", "sample_size", "n_snapshots")
_LISTS = ("unsafe_features", "attempted_model_families", "failed_model_families")
CANDIDATE_COLUMNS = (
    "target",
    "symbol",
    "mode",
    "task_type",
    "metric_name",
    "horizon_minutes",
    "score",
    "score_null",
    "score_ci_low",
    "score_ci_high",
    "p_value",
    "whole_target_p_value",
    "q_value",
    "sample_size",
    "n_effective",
    "pooled_score_on_symbol",
    "pooled_score_on_symbol_ci_high",
    "local_minus_pooled",
    "local_minus_pooled_ci_low",
    "local_minus_pooled_ci_high",
    "blended_score",
    "stability",
    "stability_score",
    "stability_ci_low",
    "mean_overlap",
    "std_overlap",
    "mean_tau",
    "std_tau",
    "n_snapshots",
    "leakage_status",
    "feature_set_id",
    "unsafe_features",
    "attempted_model_families",
    "failed_model_families",
    "model_status",
    "screen_outcome",
)


def _arrow_type(column: str) -> pa.DataType:
    if column in _TEXT:
        return pa.string()
    if column in _COUNTS:
        return pa.int64()
    return pa.list_(pa.string()) if column in _LISTS else pa.float64()


CANDIDATE_SCHEMA = pa.schema([(column, _arrow_type(column)) for column in CANDIDATE_COLUMNS])
"""The routing candidates table; a number that was not computed is null. `pooled_score_on_symbol_ci_high` (one-sided, at
`routing.harmful_confidence`) is what `POOLED_HARMFUL` is held against; `blended_score` is the shrunk local residual's; `whole_target_p_value`, the
same on every pair of a target, is that of the mean local score over its symbols, rows of one timestamp counted once; `screen_outcome` is null on pooled
rows and where no boosted trees are tried."""


@dataclass(frozen=True)
class Candidates:
    """A validated candidates table, rows ordered by target, mode, symbol.

    Attributes
    ----------
    table : columns of `CANDIDATE_SCHEMA`, text columns dictionary-encoded; no NaN, no infinity, every enum value known.
    targets, symbols : distinct names, ascending.
    target_codes, symbol_codes : shape (n_rows,), positions in them; symbol code -1 on a cross-sectional row.
    data_hash : content hash of the panel the scores come from, where the table says it.
    corrected_by : how `q_value` was corrected (`Significance.name`), where the table says it.
    """

    table: pa.Table
    targets: tuple[str, ...]
    symbols: tuple[str, ...]
    target_codes: RowArray
    symbol_codes: RowArray
    data_hash: str | None = None
    corrected_by: str | None = None

    @property
    def n_rows(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def local(self) -> BoolArray:
        """Shape (n_rows,), True on SYMBOL_SPECIFIC rows."""
        return self.symbol_codes >= 0

    def numbers(self, column: str) -> FloatArray:
        """Shape (n_rows,), NaN where null."""
        values = self.table.column(column).combine_chunks().cast(pa.float64())
        result: FloatArray = values.to_numpy(zero_copy_only=False)
        return result

    def words(self, column: str) -> CodeArray:
        """Shape (n_rows,), positions in `VOCABULARIES[column]`, -1 where null."""
        column_values = self.table.column(column).combine_chunks()
        place = {word: code for code, word in enumerate(VOCABULARIES[column])}
        lookup = np.array([place[word] for word in column_values.dictionary.to_pylist()] + [-1], np.int8)
        indices = column_values.indices.fill_null(len(lookup) - 1).to_numpy(zero_copy_only=False)
        codes: CodeArray = lookup[indices]
        return codes


Comparison = Literal[">=", "<=", ">", "<", "in"]


@dataclass(frozen=True)
class Measure:
    """One quantity held against one bound, for every row.

    Attributes
    ----------
    values : shape (n_rows,); a number, NaN where not computed, or a position in `words`, -1 where not stated.
    bounds : shape (n_rows,); a number, NaN where nothing is asked, or a position in `bound_words`.
    passed : shape (n_rows,).
    """

    name: str
    comparison: Comparison
    values: NDArray[Any]
    bounds: NDArray[Any]
    passed: BoolArray
    words: tuple[str, ...] = ()
    bound_words: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class GateResult:
    """What one gate says: its measures, and where a refusal still leaves the experimental lane open (shape (n_rows,))."""

    measures: tuple[Measure, ...]
    lane_open: BoolArray

    @property
    def refused(self) -> BoolArray:
        """Shape (n_rows,), True where any measure failed."""
        refused = np.zeros(self.lane_open.shape, bool)
        for measure in self.measures:
            refused |= ~measure.passed
        return refused


@dataclass(frozen=True)
class Side:
    """Every candidate row after the gates; a row is one side, pooled or local.

    Attributes
    ----------
    gates : results in the order of `GATES`.
    refusals : shape (n_gates, n_rows), True where a gate refuses.
    lane : measures of the experimental lane.
    in_lane_bounds : shape (n_rows,), True where the lane is enabled and all its measures passed.
    strong : the strong score's measure.
    states : shape (n_rows,), positions in `STATES`.
    reasons : shape (n_rows,), position in `REASONS` of the first gate that refuses, or of PASSED.
    """

    gates: tuple[GateResult, ...]
    refusals: BoolArray
    lane: tuple[Measure, ...]
    in_lane_bounds: BoolArray
    strong: Measure
    states: CodeArray
    reasons: CodeArray

    @cached_property
    def closed(self) -> BoolArray:
        """Shape (n_rows,), True where a gate refuses that leaves no experimental lane open."""
        return np.asarray(np.stack([result.refused & ~result.lane_open for result in self.gates]).any(axis=0))

    @cached_property
    def in_lane_reach(self) -> BoolArray:
        """Shape (n_rows,), True where gates refuse and all of those leave the experimental lane open."""
        return np.asarray(self.refusals.any(axis=0) & ~self.closed)


@dataclass(frozen=True)
class Decisions:
    """Every pair's route, columnar; pairs in the order of the candidates' SYMBOL_SPECIFIC rows.

    Attributes
    ----------
    rows : shape (n_pairs,), the pair's own candidate row.
    pooled_rows : shape (n_pairs,), its target's cross-sectional row, -1 where there is none.
    pooled_row_of_target : shape (n_targets,), the same by target.
    cs_states, local_states : shape (n_pairs,), positions in `STATES`; cs as it is available to this symbol.
    cs_reasons, local_reasons : shape (n_pairs,), positions in `REASONS`.
    policy_reasons : shape (n_pairs,), position in `REASONS`, -1 where the two sides explain the route by themselves.
    routes : shape (n_pairs,), positions in `ROUTES`.
    """

    candidates: Candidates
    side: Side
    rows: RowArray
    pooled_rows: RowArray
    pooled_row_of_target: RowArray
    cs_states: CodeArray
    local_states: CodeArray
    cs_reasons: CodeArray
    local_reasons: CodeArray
    policy_reasons: CodeArray
    routes: CodeArray

    @property
    def n_pairs(self) -> int:
        return int(self.rows.size)


@dataclass(frozen=True)
class RoutingPlan:
    """The routing plan as it is written: `metadata`, and `targets` by name; see the contract, section 4."""

    metadata: dict[str, Any]
    targets: dict[str, dict[str, Any]]

    @property
    def plan_id(self) -> str:
        return str(self.metadata["plan_id"])

    def document(self) -> dict[str, Any]:
        """The plan as one mapping, ready for JSON."""
        return {"metadata": self.metadata, "targets": self.targets}
