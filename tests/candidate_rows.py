"""Candidate rows for the router's tests: one clean row a side, and the changes a test makes to it."""

from typing import Any

import pyarrow as pa

from routing_assets.contracts import CANDIDATE_SCHEMA, Candidates
from routing_assets.evidence.candidates_table import candidates_from_table

CLEAN: dict[str, Any] = {
    "target": "fwd_ret_12b",
    "task_type": "BINARY_CLASSIFICATION",
    "metric_name": "auc",
    "horizon_minutes": 60,
    "score": 0.56,
    "score_null": 0.5,
    "score_ci_low": 0.53,
    "score_ci_high": 0.59,
    "p_value": 1e-7,
    "sample_size": 20_000,
    "n_effective": 1_500.0,
    "stability": "STABLE",
    "leakage_status": "SAFE",
    "unsafe_features": [],
    "attempted_model_families": ["Ridge", "LightGBM"],
    "failed_model_families": [],
    "model_status": "OK",
}


def pooled(**changes: Any) -> dict[str, Any]:
    """A CROSS_SECTIONAL row that passes every gate."""
    return {**CLEAN, "mode": "CROSS_SECTIONAL", "symbol": None, **changes}


def local(symbol: str = "AAPL", **changes: Any) -> dict[str, Any]:
    """A SYMBOL_SPECIFIC row that passes every gate."""
    return {**CLEAN, "mode": "SYMBOL_SPECIFIC", "symbol": symbol, **changes}


def candidates(*rows: dict[str, Any], data_hash: str | None = "0123456789abcdef") -> Candidates:
    """A validated table of these rows."""
    return candidates_from_table(pa.Table.from_pylist(list(rows), schema=CANDIDATE_SCHEMA), data_hash=data_hash)


# What makes a side each state, from the clean row (symbol bounds: strong at .57, weak at .52).
STATE_CHANGES: dict[str, dict[str, Any]] = {
    "STRONG": {"score": 0.60},
    "WEAK_BUT_OK": {"score": 0.53},
    "EXPERIMENTAL": {"stability": "DIVERGED"},
    "DISALLOWED": {"sample_size": 10},
}
