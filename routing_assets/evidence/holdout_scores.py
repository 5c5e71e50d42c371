"""Scores on the untouched holdout of everything a pair could have been given: pooled, local, blended.

Belongs here: the one read of the holdout. Does not: what the route made of it (`regret`), or any choice: models, families and features are those of
the time before, and nothing measured here flows back into a route.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.schema import Config
from routing_assets.contracts import Candidates
from routing_assets.evidence.screening import TreeSides, predict_holdout
from routing_assets.evidence.side_scores import contributions_where_known
from routing_assets.evidence.sides import SidePredictions
from training_assets.contributions import Contributions
from training_assets.metrics import CENTRED_METRIC_NAMES, SCORE_NULLS
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.uncertainty import score_groups

Floats = NDArray[np.float64]

SIDES = ("CROSS_SECTIONAL", "SYMBOL_SPECIFIC", "BOTH")  # the three things a pair can be given, in the order of the arrays below
TREES = "LightGBM"


@dataclass(frozen=True)
class HoldoutScores:
    """One target on the holdout, the three `SIDES` on the same rows.

    Attributes
    ----------
    score, ci_low, ci_high : shape (3, n_symbols), NaN where not computable.
    n_rows : shape (3, n_symbols), rows behind each score.
    n_effective : shape (3, n_symbols), of them not overlapping.
    time_codes, symbol_codes : shape (n_rows_scored,), of the panel.
    influence : shape (3, n_rows_scored), what each row adds to its symbol's score; its mean over the symbol's rows is zero, and it is zero where a
        row is not scored.
    """

    info: TargetInfo
    metric: str
    null: float
    score: Floats
    ci_low: Floats
    ci_high: Floats
    n_rows: NDArray[np.int64]
    n_effective: Floats
    time_codes: NDArray[np.int64]
    symbol_codes: NDArray[np.int64]
    influence: Floats


def score_holdout(panel: Panel, features: Mapping[str, Sequence[str]], candidates: Candidates, config: Config) -> Iterator[HoldoutScores]:
    """Score the targets of `features` on the rows from `panel.holdout_start_code` on.

    Parameters
    ----------
    features : the features each target may use.
    candidates : say which sides boosted trees took part in before the holdout; the same take part here.
    """
    for info, sides in predict_holdout(panel, features, tree_sides(candidates, panel, tuple(features)), config):
        yield _scored(panel, info, sides, config)


def tree_sides(candidates: Candidates, panel: Panel, targets: Sequence[str]) -> dict[str, TreeSides]:
    """Which sides of each target were screened with boosted trees, by the families that the candidates say were attempted and did not fail."""
    attempted, failed = (candidates.table.column(name).to_pylist() for name in ("attempted_model_families", "failed_model_families"))
    with_trees = np.array([TREES in (tried or ()) and TREES not in (lost or ()) for tried, lost in zip(attempted, failed, strict=True)])
    symbols = np.array(pc.fill_null(candidates.table.column("symbol").cast("string"), "").to_pylist())
    result = {}
    for target in targets:
        own = candidates.target_codes == candidates.targets.index(target) if target in candidates.targets else np.zeros(candidates.n_rows, bool)
        local = np.isin(np.array(panel.symbols), symbols[own & candidates.local & with_trees])
        result[target] = TreeSides(bool((own & ~candidates.local & with_trees).any()), local)
    return result


def _scored(panel: Panel, info: TargetInfo, sides: SidePredictions, config: Config) -> HoldoutScores:
    labels = np.asarray(panel.labels[panel.target_code(info.name)], np.float64)[sides.rows]
    symbols = panel.symbol_codes[sides.rows].astype(np.int64)
    n_symbols, null = len(panel.symbols), SCORE_NULLS[info.task_type]
    tables, influences = [], []
    for deviations in (sides.pooled, sides.local, sides.blended):
        parts: Contributions = contributions_where_known(info.task_type, deviations, labels, sides.label_centres, symbols, n_symbols)
        tables.append(score_groups(parts, symbols, symbols, n_symbols, info.horizon_bars, null, config.scoring.confidence, config.scoring.hac_horizons))
        influences.append(np.nan_to_num(parts.influence))
    return HoldoutScores(
        info=info,
        metric=CENTRED_METRIC_NAMES[info.task_type],
        null=null,
        score=np.stack([table.score for table in tables]),
        ci_low=np.stack([table.ci_low for table in tables]),
        ci_high=np.stack([table.ci_high for table in tables]),
        n_rows=np.stack([table.n_rows for table in tables]),
        n_effective=np.stack([table.n_effective for table in tables]),
        time_codes=panel.time_codes[sides.rows].astype(np.int64),
        symbol_codes=symbols,
        influence=np.stack(influences),
    )
