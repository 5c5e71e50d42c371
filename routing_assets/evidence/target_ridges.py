"""The closed form of whole targets: targets that share features, horizon and missing labels are fitted from one set of sums.

Belongs here: a target's folds and label columns, which targets go together, and a target's part of what is predicted for several. Does not: the fits
(`ridge_screen`), what is made of their predictions (`sides`), or which pairs go on (`screening`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import TaskType
from routing_assets.evidence.ridge_screen import KINDS, RidgePredictions, ridge_predictions
from routing_assets.evidence.stages import nested_stages
from training_assets.panel.panel import Panel
from training_assets.splits import Fold, make_folds


def target_folds_of(panel: Panel, target: str, features: Sequence[str], config: Config) -> tuple[Fold, ...]:
    """The folds a target is scored on before the holdout."""
    info = panel.target_infos[panel.target_code(target)]
    wanted = set(features)
    lookback = max((one.lookback_bars + one.lag_bars for one in panel.feature_infos if one.name in wanted), default=0)
    return make_folds(panel.holdout_start_code, info.horizon_bars, lookback, config.splits)


def label_columns(panel: Panel, target: str) -> NDArray[np.float32]:
    """Shape (n_rows, n_columns): the label, or one indicator a class; NaN where missing."""
    labels, classes = np.asarray(panel.labels[panel.target_code(target)]), _indicated(panel, target)
    if not classes:
        return labels[:, None]
    return np.where(np.isfinite(labels)[:, None], labels[:, None] == np.arange(len(classes), dtype=np.float32), np.float32(np.nan)).astype(np.float32)


def _indicated(panel: Panel, target: str) -> tuple[float, ...]:
    """The classes that have an indicator each; none where the label itself is the one column."""
    info = panel.target_infos[panel.target_code(target)]
    return info.classes if info.task_type is TaskType.MULTICLASS_CLASSIFICATION else ()


def targets_that_share_sums(panel: Panel, features: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Targets that share features, horizon and missing labels share one set of Gram sums."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in panel.target_names:
        if name not in features:
            continue
        code = panel.target_code(name)
        key = (tuple(features[name]), panel.target_infos[code].horizon_bars, hashlib.sha256(panel.label_end_codes[code].tobytes()).hexdigest())
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def ridges_of_targets(panel: Panel, names: Sequence[str], codes: NDArray[np.int64], folds: Sequence[Fold], config: Config) -> dict[str, RidgePredictions]:
    columns = np.hstack([label_columns(panel, name) for name in names])
    ends = panel.label_end_codes[panel.target_code(names[0])]
    nested = [folds] if all(fold.train_after_from is None for fold in folds) else [[fold] for fold in folds]
    parts = []
    for some in nested:
        stages = nested_stages(some, panel.time_codes, ends, config.splits.inner_fraction)
        parts.append(ridge_predictions(panel, columns, codes, stages, config.scoring.shrinkage_grid, config.splits.min_train_rows))
    together = parts[0] if len(parts) == 1 else _in_row_order(parts)
    widths = np.cumsum([0, *(len(_indicated(panel, name)) or 1 for name in names)])
    return {name: _columns_of(together, slice(widths[i], widths[i + 1])) for i, name in enumerate(names)}


def _in_row_order(parts: Sequence[RidgePredictions]) -> RidgePredictions:
    """The passes of k-fold, one tested stage each, as one."""
    order = np.argsort(np.concatenate([one.rows for one in parts]), kind="stable")
    stages = np.concatenate([one.stages + number for number, one in enumerate(parts)])[order]
    of_rows = {name: np.concatenate([getattr(one, name) for one in parts])[order] for name in ("rows", "symbols", *KINDS)}
    of_stages = {name: np.concatenate([getattr(one, name) for one in parts], axis=1) for name in ("centres", "sizes", "label_centres")}
    return RidgePredictions(stages=stages, **of_rows, **of_stages, strengths=parts[-1].strengths)


def _columns_of(ridge: RidgePredictions, columns: slice) -> RidgePredictions:
    """One target's columns, without a copy."""
    return replace(ridge, **{name: getattr(ridge, name)[..., columns] for name in (*KINDS, "centres", "sizes", "label_centres")})


def ridge_of_stage(ridge: RidgePredictions, stage: int) -> RidgePredictions:
    """The rows of one stage, counted as stage 0."""
    part, one = ridge.stages == stage, slice(stage, stage + 1)
    of_rows = {name: getattr(ridge, name)[part] for name in ("rows", "symbols", *KINDS)}
    of_stages = {name: getattr(ridge, name)[:, one] for name in ("centres", "sizes", "label_centres")}
    return replace(ridge, **of_rows, **of_stages, stages=ridge.stages[part] - stage)
