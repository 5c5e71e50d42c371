"""What the router reads and writes: candidates, decisions, the routing plan. Plain frozen values and schemas."""

from enum import StrEnum

import pyarrow as pa


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


_TEXT = ("target", "symbol", "mode", "task_type", "metric_name", "stability", "leakage_status", "feature_set_id", "model_status")
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
)


def _arrow_type(column: str) -> pa.DataType:
    if column in _TEXT:
        return pa.string()
    if column in _COUNTS:
        return pa.int64()
    return pa.list_(pa.string()) if column in _LISTS else pa.float64()


CANDIDATE_SCHEMA = pa.schema([(column, _arrow_type(column)) for column in CANDIDATE_COLUMNS])
"""The routing candidates table; a number that was not computed is null. `pooled_score_on_symbol_ci_high` (one-sided, at
`routing.harmful_confidence`) is what `POOLED_HARMFUL` is held against; `blended_score` is the shrunk local residual's."""
