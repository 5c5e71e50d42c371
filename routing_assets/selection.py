"""Which features a target's models are given: a consensus of four selectors that has to beat random canaries.

Belongs here: the selectors, the canaries, the consensus. Does not: selection inside a scoring fold (`gbm_screen`), leakage.

Canaries are real features shifted in time by a random amount within each symbol: as persistent and as heavy-tailed as the features, and
unrelated to the label. Source of the idea: Kursa & Rudnicki 2010 (Boruta). Everything here sees rows before the holdout only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import TaskType
from training_assets.metrics import contributions, grouped_midranks
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.splits import inner_split, pre_holdout_mask

Floats = NDArray[np.float64]

SELECTORS = ("rank_ic", "linear", "gain", "permutation")
MAX_ROWS = 40_000
CLIP = 6.0
SELECTION_COLUMNS = ("target", "feature", *SELECTORS, "consensus", "canary_bound", "rank", "selected")


@dataclass(frozen=True)
class _Data:
    """Standardised features and canaries of the rows selection may see; `fit` and `inner` are purged against each other."""

    z: NDArray[np.float32]  # (n, n_features + n_canaries)
    labels: NDArray[np.float32]
    fit: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    n_canaries: int


def select_features(panel: Panel, targets: Sequence[str], config: Config) -> pd.DataFrame:
    """Score every feature for every target and mark the selected ones.

    Returns
    -------
    One row a (target, feature), columns `SELECTION_COLUMNS`, best first within a target. Selector columns are percentile ranks in [0, 1] among features
    and canaries; `consensus` is their mean; `canary_bound` the best canary's consensus, which a selected feature exceeds. With
    `features.auto_select` off every feature is selected and selectors are not run (NaN).
    """
    frames = [_select(panel, target, config) for target in targets]
    if not frames:
        return pd.DataFrame(columns=list(SELECTION_COLUMNS))
    return pd.concat(frames, ignore_index=True)


def selected_features(selection: pd.DataFrame, target: str) -> tuple[str, ...]:
    """Names of a target's selected features, best first; every feature, best first, up to the selection's own cut, where none beat the canaries."""
    rows = selection[selection["target"] == target]
    chosen = rows[rows["selected"]]
    return tuple(chosen["feature"] if len(chosen) else rows["feature"])


def _select(panel: Panel, target: str, config: Config) -> pd.DataFrame:
    names = panel.feature_names
    info = panel.target_infos[panel.target_code(target)]
    ends = panel.label_end_codes[panel.target_code(target)]
    usable = pre_holdout_mask(panel.holdout_start_code, ends)
    if not config.features.auto_select or usable.sum() < config.splits.min_train_rows or not names:
        nothing = np.full(len(names), np.nan)
        return _frame(target, names, np.tile(nothing, (len(SELECTORS), 1)), nothing, np.nan, np.ones(len(names), bool))
    data = _data(panel, info, usable, config)
    importances = np.stack([_rank_ic(data), _linear(data), *_tree_importances(data, info, config.seed)])
    percentiles = np.stack([(grouped_midranks(one, np.zeros(one.size, np.int64)) - 1) / max(one.size - 1, 1) for one in importances])
    consensus = percentiles.mean(axis=0)
    n_features = len(names)
    bound = float(consensus[n_features:].max()) if data.n_canaries else -1.0
    beats = consensus[:n_features] > bound
    order = np.argsort(-consensus[:n_features], kind="stable")
    within = np.zeros(n_features, bool)
    within[order[: config.features.top_m]] = True
    return _frame(target, names, percentiles[:, :n_features], consensus[:n_features], bound, beats & within)


def _frame(target: str, names: Sequence[str], percentiles: Floats, consensus: Floats, bound: float, selected: NDArray[np.bool_]) -> pd.DataFrame:
    frame = pd.DataFrame({"target": target, "feature": list(names)})
    for position, selector in enumerate(SELECTORS):
        frame[selector] = percentiles[position]
    frame["consensus"], frame["canary_bound"], frame["selected"] = consensus, bound, selected
    frame = frame.sort_values(["consensus", "feature"], ascending=[False, True], kind="stable", na_position="last").reset_index(drop=True)
    frame["rank"] = np.arange(1, len(frame) + 1)
    return frame[list(SELECTION_COLUMNS)]


def _data(panel: Panel, info: TargetInfo, usable: NDArray[np.bool_], config: Config) -> _Data:
    """Rows thinned to whole timestamps so that at most `MAX_ROWS` remain."""
    code = panel.target_code(info.name)
    step = max(1, -(-int(usable.sum()) // MAX_ROWS))
    rows = np.flatnonzero(usable & (panel.time_codes % step == 0))
    generator = np.random.default_rng([config.seed, code, 7])
    n_features, n_canaries = len(panel.feature_names), config.features.n_canaries
    sources = generator.integers(0, n_features, n_canaries)
    z = np.empty((rows.size, n_features + n_canaries), np.float32)
    fit, inner = inner_split(panel.time_codes[rows], panel.label_end_codes[code][rows], np.ones(rows.size, bool), config.splits.inner_fraction)
    shifted = _shifted_rows(panel, rows, generator, n_canaries)
    for column in range(n_features + n_canaries):
        source = column if column < n_features else int(sources[column - n_features])
        values = panel.features[source][rows if column < n_features else shifted[column - n_features]]
        z[:, column] = _standardised(values, fit)
    return _Data(z, np.asarray(panel.labels[code])[rows], fit, inner, n_canaries)


def _shifted_rows(panel: Panel, rows: NDArray[np.int64], generator: np.random.Generator, n_canaries: int) -> NDArray[np.int64]:
    """For each canary, the row a random circular shift within the symbol's rows before the holdout puts in place of each row."""
    symbols = np.searchsorted(panel.symbol_offsets, rows, side="right") - 1
    starts = panel.symbol_offsets[:-1]
    lengths = np.array([np.searchsorted(panel.time_codes[a:b], panel.holdout_start_code) for a, b in zip(starts, panel.symbol_offsets[1:], strict=True)])
    lengths = np.maximum(lengths, 1)
    shares = generator.uniform(0.25, 0.75, n_canaries)
    shift = (shares[:, None] * lengths[None, :]).astype(np.int64)
    return np.asarray(starts[symbols][None, :] + (rows - starts[symbols] + shift[:, symbols]) % lengths[symbols])


def _standardised(values: NDArray[np.float32], fit: NDArray[np.bool_]) -> NDArray[np.float32]:
    known = values[fit & np.isfinite(values)]
    if known.size < 2 or known.std() == 0:
        return np.zeros(values.size, np.float32)
    z = (values - known.mean()) / known.std()
    return np.asarray(np.clip(np.nan_to_num(z), -CLIP, CLIP), np.float32)


def _numeric_labels(data: _Data) -> Floats:
    labels = data.labels.astype(float)
    low, high = np.quantile(labels, [0.01, 0.99])
    return np.clip(labels, low, high) if low < high else labels


def _rank_ic(data: _Data) -> Floats:
    one = np.zeros(data.labels.size, np.int64)
    target = grouped_midranks(data.labels, one)
    target -= target.mean()
    out = np.zeros(data.z.shape[1])
    for column in range(out.size):
        ranks = grouped_midranks(data.z[:, column], one)
        ranks -= ranks.mean()
        norm = np.sqrt((ranks**2).sum())
        out[column] = abs(ranks @ target) / norm if norm > 0 else 0.0
    return out


def _linear(data: _Data) -> Floats:
    """Absolute ridge coefficients of the standardised columns."""
    labels = _numeric_labels(data)
    gram = (data.z.T @ data.z).astype(np.float64)
    gram[np.diag_indices_from(gram)] += 0.1 * data.z.shape[0]
    return np.asarray(np.abs(np.linalg.solve(gram, data.z.T.astype(np.float64) @ (labels - labels.mean()))))


def _tree_importances(data: _Data, info: TargetInfo, seed: int) -> tuple[Floats, Floats]:
    """Split gain of a boosted model fitted on the earlier part, and the loss of score on the later part when a column is permuted."""
    import lightgbm

    width = data.z.shape[1]
    fit_labels, inner_labels = data.labels[data.fit], data.labels[data.inner]
    if np.unique(fit_labels).size < 2 or inner_labels.size == 0:
        return np.zeros(width), np.zeros(width)
    objective = {TaskType.REGRESSION: "regression", TaskType.BINARY_CLASSIFICATION: "binary", TaskType.MULTICLASS_CLASSIFICATION: "multiclass"}
    parameters = {
        "objective": objective[info.task_type],
        "num_leaves": 15,
        "learning_rate": 0.08,
        "max_bin": 63,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.5,
    }
    parameters |= {"seed": seed, "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbose": -1}
    if info.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        parameters["num_class"] = len(info.classes)
    target = np.clip(fit_labels, *np.quantile(fit_labels, [0.01, 0.99])) if info.task_type is TaskType.REGRESSION else fit_labels
    booster = lightgbm.train(parameters, lightgbm.Dataset(data.z[data.fit], label=target), num_boost_round=60)
    gain = booster.feature_importance("gain").astype(float)
    return gain, _permutation_losses(booster, data.z[data.inner], inner_labels, info, gain, seed)


def _permutation_losses(booster: object, z: NDArray[np.float32], labels: NDArray[np.float32], info: TargetInfo, gain: Floats, seed: int) -> Floats:
    keep = slice(None, None, max(1, labels.size // 4_000))
    z, labels = z[keep].copy(), labels[keep]
    one = np.zeros(labels.size, np.int64)

    def score() -> float:
        predicted = booster.predict(z, num_threads=1)  # type: ignore[attr-defined]
        return float(np.nan_to_num(contributions(info.task_type, predicted, labels, one, 1).scores[0]))

    generator = np.random.default_rng([seed, 11])
    base, losses = score(), np.zeros(z.shape[1])
    for column in np.flatnonzero(gain > 0):
        kept = z[:, column].copy()
        z[:, column] = generator.permutation(kept)
        losses[column] = base - score()
        z[:, column] = kept
    return losses
