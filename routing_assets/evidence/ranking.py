"""Which targets are worth routing: ranked by the lower bound of out-of-sample skill.

Belongs here: one skill for targets of different tasks, the cut to the best, and the table where somebody else chose. Does not: scores themselves (`screening`).
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from config.schema import Config
from routing_assets.evidence.screening import TargetScores, score_targets
from training_assets.metrics import METRIC_NAMES
from training_assets.panel.panel import Panel
from training_assets.splits import pre_holdout_mask

RANKING_COLUMNS = (
    "target",
    "task_type",
    "metric_name",
    "skill",
    "skill_ci_low",
    "pooled_score",
    "pooled_ci_low",
    "local_mean_score",
    "local_mean_ci_low",
    "n_labelled",
    "rank",
    "selected",
    "reason",
)


def rank_targets(panel: Panel, config: Config) -> pd.DataFrame:
    """Rank every target of the panel and mark the ones that are routed.

    Skill is the distance of a score from its null as a share of the distance to a perfect score, so that a rank correlation (null 0) and an
    AUC (null 0.5) stand on one scale; a target's skill is the better of its pooled side and the mean of its local sides, by lower
    bound, from the closed-form screen alone.

    Returns
    -------
    One row a target, best first, columns `RANKING_COLUMNS`; scores are NaN where they could not be computed.
    """
    quick = config.model_copy(update={"scoring": config.scoring.model_copy(update={"families": ("Ridge",)})})
    rows = [_row(scores) for scores in score_targets(panel, dict.fromkeys(panel.target_names, panel.feature_names), quick)]
    table = pd.DataFrame(rows, columns=[*RANKING_COLUMNS[:-3]])
    table = table.sort_values(["skill_ci_low", "target"], ascending=[False, True], na_position="last", kind="stable").reset_index(drop=True)
    table["rank"] = np.arange(1, len(table) + 1)
    cut = config.targets.top_n if config.targets.auto_rank else len(table)
    labelled = table["n_labelled"] > 0
    table["selected"] = (table["rank"] <= cut) & labelled
    table["reason"] = np.select(
        [~labelled, table["rank"] > cut],
        ["no labelled row before the holdout", f"beyond the best {cut} (targets.top_n)"],
        "ranked" if config.targets.auto_rank else "ranking is off (targets.auto_rank)",
    )
    return table


def targets_as_given(panel: Panel, given: Collection[str]) -> pd.DataFrame:
    """The table of `rank_targets` where a candidates table says which targets are routed: by name, nothing scored, the labelled ones of `given` selected."""
    rows = []
    for code, info in sorted(enumerate(panel.target_infos), key=lambda item: item[1].name):
        before = pre_holdout_mask(panel.holdout_start_code, panel.label_end_codes[code])
        n_labelled = int((np.isfinite(panel.labels[code]) & before).sum())
        rows.append((info.name, info.task_type.value, METRIC_NAMES[info.task_type], *[np.nan] * 6, n_labelled))
    table = pd.DataFrame(rows, columns=[*RANKING_COLUMNS[:-3]])
    named, labelled = table["target"].isin(given), table["n_labelled"] > 0
    reasons = np.select([~named, ~labelled], ["not in the candidates given", "no labelled row before the holdout"], "in the candidates given")
    return table.assign(rank=np.arange(1, len(table) + 1), selected=named & labelled, reason=reasons)


def _row(scores: TargetScores) -> tuple[object, ...]:
    pooled, local = scores.sides.cross_sectional, scores.sides.local_mean
    sides = [(_skill(side.ci_low[0], scores.sides.null), _skill(side.score[0], scores.sides.null)) for side in (pooled, local)]
    known = [side for side in sides if np.isfinite(side[0])]
    low, skill = max(known) if known else (np.nan, np.nan)
    return (
        scores.info.name,
        scores.info.task_type.value,
        scores.sides.cross_sectional_metric,
        skill,
        low,
        pooled.score[0],
        pooled.ci_low[0],
        local.score[0],
        local.ci_low[0],
        int(scores.n_labelled.sum()),
    )


def _skill(score: float, null: float) -> float:
    return float((score - null) / (1.0 - null))
