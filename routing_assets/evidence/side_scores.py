"""Scores of a target's sides and of local minus pooled, on the rows where each is known.

Belongs here: which rows count for which side, by fold and symbol, and the intervals of the paired difference. Does not: the predictions (`sides`), or the
statistics themselves (`training_assets.metrics`, `.contributions`, `.uncertainty`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import TaskType
from routing_assets.evidence.sides import SidePredictions
from training_assets.contributions import Contributions, centred_contributions
from training_assets.metrics import CENTRED_METRIC_NAMES, SCORE_NULLS, score_pooled
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.uncertainty import ScoreTable, combine_segments, one_sided_bound, score_clustered_by_time, score_groups, table_from_influence

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SideScores:
    """Scores of one target's sides; tables of shape (n_symbols,), `cross_sectional` and `local_mean` of shape (1,).

    `local_mean` is the local models' mean score over all symbols, rows of one timestamp counted once; `pooled_on_symbol` the pooled model's score on each
    symbol alone, and `pooled_on_symbol_upper` that score's upper bound at `routing.harmful_confidence`.
    """

    cross_sectional_metric: str
    symbol_metric: str
    null: float
    cross_sectional: ScoreTable
    local_mean: ScoreTable
    local: ScoreTable
    pooled_on_symbol: ScoreTable
    pooled_on_symbol_upper: Floats
    blended: ScoreTable
    local_minus_pooled: ScoreTable


def score_sides(panel: Panel, info: TargetInfo, sides: SidePredictions, config: Config) -> SideScores:
    """Score the sides of one target on its labelled out-of-sample rows."""
    labels = np.asarray(panel.labels[panel.target_code(info.name)], np.float64)[sides.rows]
    symbols = panel.symbol_codes[sides.rows].astype(np.int64)
    n_symbols, n_folds = len(panel.symbols), int(sides.folds.max()) + 1 if sides.folds.size else 1
    segments = symbols * n_folds + sides.folds
    scoring = config.scoring
    null = SCORE_NULLS[info.task_type]

    def parts_of(deviations: Floats) -> Contributions:
        return contributions_where_known(info.task_type, deviations, labels, sides.label_centres, segments, n_symbols * n_folds)

    def table_of(parts: Contributions) -> ScoreTable:
        return score_groups(parts, segments, symbols, n_symbols, info.horizon_bars, null, scoring.confidence, scoring.hac_horizons)

    pooled, local, blended = (parts_of(one) for one in (sides.pooled, sides.local, sides.blended))
    known = np.isfinite(sides.pooled_everywhere).all(axis=1)
    cross, metric = score_pooled(
        info.task_type,
        _flat(info, sides.pooled_everywhere[known]),
        labels[known],
        panel.time_codes[sides.rows][known],
        sides.folds[known],
        info.horizon_bars,
        scoring.confidence,
        scoring.hac_horizons,
        scoring.min_symbols_per_timestamp,
    )
    if metric != "rank_ic_by_time":
        metric = CENTRED_METRIC_NAMES[info.task_type]
        # Ranks within a fold would centre on the fold's own means, where random walks score above chance (`centred_contributions`).
        cross = score_clustered_by_time(pooled, segments, panel.time_codes[sides.rows], info.horizon_bars, null, scoring.confidence, scoring.hac_horizons)
    pooled_table = table_of(pooled)
    difference = _paired_difference(local, pooled, segments, symbols, n_symbols, info.horizon_bars, config)
    local_mean = score_clustered_by_time(local, segments, panel.time_codes[sides.rows], info.horizon_bars, null, scoring.confidence, scoring.hac_horizons)
    upper = one_sided_bound(pooled_table, config.routing.harmful_confidence)
    return SideScores(
        metric, CENTRED_METRIC_NAMES[info.task_type], null, cross, local_mean, table_of(local), pooled_table, upper, table_of(blended), difference
    )


def contributions_where_known(
    task_type: TaskType, deviations: Floats, labels: Floats, label_centres: Floats, segments: NDArray[np.int64], n_segments: int
) -> Contributions:
    """Contributions of the rows that have a prediction; NaN on the others."""
    known = np.isfinite(deviations).all(axis=1)
    parts = centred_contributions(task_type, deviations[known], labels[known], label_centres[known], segments[known], n_segments)
    influence = np.full(labels.size, np.nan)
    influence[known] = parts.influence
    return Contributions(parts.scores, influence, parts.counts)


def _paired_difference(
    local: Contributions, pooled: Contributions, segments: NDArray[np.int64], symbols: NDArray[np.int64], n_symbols: int, horizon_bars: int, config: Config
) -> ScoreTable:
    """Local minus pooled on the rows where both are scored, with the interval of the difference itself.

    The intervals of a target's symbols hold together (Bonferroni): that the best of many differences is above zero says little.
    """
    both = np.isfinite(local.influence) & np.isfinite(pooled.influence)
    one = Contributions(local.scores - pooled.scores, np.where(both, local.influence - pooled.influence, np.nan), local.counts)
    scores, influence, used = combine_segments(one, segments, symbols, n_symbols)
    together = 1.0 - (1.0 - config.scoring.confidence) / max(int(np.isfinite(scores).sum()), 1)
    return table_from_influence(scores, influence, used, symbols, n_symbols, horizon_bars, 0.0, together, config.scoring.hac_horizons)


def _flat(info: TargetInfo, predictions: Floats) -> Floats:
    return predictions if info.task_type is TaskType.MULTICLASS_CLASSIFICATION else predictions[:, 0]
