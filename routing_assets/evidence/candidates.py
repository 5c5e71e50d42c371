"""The routing candidates: every number the router decides by, one row a target's pooled side and one a pair's own side.

Belongs here: joining scores, stability, leakage and feature sets into the table. Does not: how any of them is computed, or any decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from config.schema import Config
from routing_assets.contracts import CANDIDATE_COLUMNS, CANDIDATE_SCHEMA, Candidates, Mode
from routing_assets.evidence.candidates_table import candidates_from_table
from routing_assets.evidence.feature_sets import feature_set_id, feature_sets
from routing_assets.evidence.screening import TargetScores, score_targets
from routing_assets.evidence.significance import candidate_q_values
from routing_assets.evidence.told import Told, unheard
from training_assets.leakage.status import allowed_features, side_statuses, unsafe_features
from training_assets.panel.panel import Panel
from training_assets.uncertainty import ScoreTable

_STABILITY_FIELDS = ("stability", "stability_score", "stability_ci_low", "mean_overlap", "std_overlap", "mean_tau", "std_tau", "n_snapshots")


def build_candidates(panel: Panel, selection: pd.DataFrame, audit: pd.DataFrame, stability: pd.DataFrame, config: Config, told: Told = unheard) -> Candidates:
    """Score every pair and put all evidence into one table.

    Scores use every feature that the audit allows, chosen again inside each training fold; the final lists only name what is trained with.

    Parameters
    ----------
    selection : of `select_features`; its targets are the ones routed.
    audit : of `audit_leakage`. stability : of `measure_stability`. told : hears of the screen's progress.

    Returns
    -------
    A validated table, ordered by target, mode and symbol; what was not computed is null.
    """
    final = feature_sets(panel, selection, audit)
    allowed = {target: allowed_features(audit, target, panel.feature_names) for target in final}
    frames = []
    for scores in score_targets(panel, allowed, config, told=told):
        frames.append(_target_frame(panel, scores, final[scores.info.name], audit, config))
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(CANDIDATE_COLUMNS))
    measured = stability[["target", "mode", "symbol", *_STABILITY_FIELDS]]
    table = table.merge(measured, on=["target", "mode", "symbol"], how="left")
    candidates = candidates_from_table(_as_arrow(table), "scored panel", panel.data_hash)
    q_values = candidate_q_values(candidates, config.routing.significance)
    position = CANDIDATE_COLUMNS.index("q_value")
    with_q = candidates.table.set_column(position, "q_value", pa.array(q_values, pa.float64(), mask=~np.isfinite(q_values)))
    return replace(candidates, table=with_q, corrected_by=config.routing.significance.name)


def _target_frame(panel: Panel, scores: TargetScores, features: Sequence[str], audit: pd.DataFrame, config: Config) -> pd.DataFrame:
    target, symbols, sides = scores.info.name, panel.symbols, scores.sides
    pooled_status, local_statuses = side_statuses(audit, target, symbols, features)
    shared: dict[str, Any] = {
        "target": target,
        "task_type": scores.info.task_type.value,
        "horizon_minutes": scores.info.horizon_minutes,
        "score_null": sides.null,
        "feature_set_id": feature_set_id(features),
    }
    pooled = pd.DataFrame(
        {**shared, "symbol": None, "mode": Mode.CROSS_SECTIONAL.value, "metric_name": sides.cross_sectional_metric, **_score_columns(sides.cross_sectional)}
    )
    pooled["leakage_status"] = pooled_status.value
    local = pd.DataFrame({"symbol": list(symbols), **shared, "mode": Mode.SYMBOL_SPECIFIC.value, "metric_name": sides.symbol_metric})
    local = local.assign(
        **_score_columns(sides.local),
        whole_target_p_value=sides.local_mean.p_value[0],
        pooled_score_on_symbol=sides.pooled_on_symbol.score,
        pooled_score_on_symbol_ci_high=sides.pooled_on_symbol_upper,
        local_minus_pooled=sides.local_minus_pooled.score,
        local_minus_pooled_ci_low=sides.local_minus_pooled.ci_low,
        local_minus_pooled_ci_high=sides.local_minus_pooled.ci_high,
        blended_score=sides.blended.score,
        screen_outcome=scores.screen_outcomes,
        leakage_status=local_statuses,
    )
    no_trees = np.zeros(1, bool)
    families = "LightGBM" in config.scoring.families
    _add_families(pooled, np.array([scores.gbm_pooled]), no_trees)
    _add_families(local, scores.gbm_fitted & families, scores.gbm_failed & families)
    unsafe = list(unsafe_features(audit, target, features))
    frame = pd.concat([pooled, local], ignore_index=True)
    frame["unsafe_features"] = [unsafe] * len(frame)
    return frame


def _score_columns(table: ScoreTable) -> Mapping[str, NDArray[Any]]:
    scored = np.isfinite(table.score)
    return {
        "score": table.score,
        "score_ci_low": table.ci_low,
        "score_ci_high": table.ci_high,
        "p_value": table.p_value,
        "sample_size": table.n_rows,
        "n_effective": np.where(scored, table.n_effective, np.nan),
    }


def _add_families(frame: pd.DataFrame, trees_fitted: NDArray[np.bool_], trees_failed: NDArray[np.bool_]) -> None:
    scored = np.isfinite(frame["score"].to_numpy(float))
    tried = trees_fitted | trees_failed
    frame["attempted_model_families"] = [["Ridge", "LightGBM"] if both else ["Ridge"] for both in tried]
    frame["failed_model_families"] = [
        [*(["Ridge"] if not ridge else []), *(["LightGBM"] if trees else [])] for ridge, trees in zip(scored, trees_failed, strict=True)
    ]
    frame["model_status"] = np.select([~scored, trees_failed], ["FAILED", "PARTIAL"], "OK")


def _as_arrow(table: pd.DataFrame) -> pa.Table:
    columns = []
    for field in CANDIDATE_SCHEMA:
        values = table[field.name] if field.name in table else pd.Series([None] * len(table))
        if pa.types.is_list(field.type):
            columns.append(pa.array(values.tolist(), field.type))
        elif pa.types.is_string(field.type):
            columns.append(pa.array([None if pd.isna(value) else str(value) for value in values], field.type))
        else:
            numbers = values.to_numpy(float)
            columns.append(pa.array(numbers, pa.float64(), mask=~np.isfinite(numbers)).cast(field.type))
    return pa.table(columns, schema=CANDIDATE_SCHEMA)
