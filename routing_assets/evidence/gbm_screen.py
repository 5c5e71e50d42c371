"""Small boosted trees for what the closed-form screen leaves open: one thread a fit, one process a core.

Belongs here: the fits, their predictions, and running many of them. Does not: which pairs are fitted (`routing_assets.evidence.screening`), or scores.
Features are chosen inside each training window, by correlation with the label there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import TaskType
from config.sections.scoring import ScoringConfig
from resources.worker_pool import TaskResult, WorkerError, run_tasks
from routing_assets.evidence.gram_sums import as_slice
from training_assets.panel.panel import Panel
from training_assets.splits import Fold

Rows = NDArray[np.int64]

MAX_CENTRE_ROWS = 500  # of a symbol, thinned evenly; a mean prediction needs no more
# Below this many fits the start of worker processes costs more than it saves.
MIN_FITS_FOR_WORKERS = 150
FIT_LIMIT_SECONDS = 600.0


@dataclass(frozen=True)
class GbmTask:
    """One fit: rows to train on, rows to predict, and the training rows over which the mean prediction is wanted.

    `train`, `test`, `centre_on` : panel rows.
    """

    train: Rows
    test: Rows
    centre_on: Rows
    task_type: TaskType
    n_classes: int


@dataclass(frozen=True)
class GbmItem:
    """A unit of work of the screen: one fold of the pooled side (`symbol` is None), or all folds of one symbol."""

    target: str
    symbol: int | None
    fold: int | None


@dataclass(frozen=True)
class GbmAnswer:
    """Predictions of one item, and their mean and standard deviation over each symbol's training rows.

    `rows` : shape (n,), panel rows. `predictions` : shape (n, n_columns). `centres`, `sizes` : shape (n_symbols, n_folds, n_columns), the item's
    symbols (all, or its one) and folds (its one, or all); NaN where nothing was fitted, all symbols' for a symbol without training rows.
    """

    item: GbmItem
    rows: Rows
    predictions: NDArray[np.float32]
    centres: NDArray[np.float32]
    sizes: NDArray[np.float32]


@dataclass(frozen=True)
class GbmSetting:
    """What every item needs beside the panel: the config, and by target its folds and feature positions."""

    config: Config
    folds: Mapping[str, Sequence[Fold]]
    feature_codes: Mapping[str, NDArray[np.int64]]


def run_items(panel: Panel, setting: GbmSetting, items: Sequence[GbmItem], workers: int) -> Iterator[GbmAnswer]:
    """Fit every item, in worker processes where the panel lies on disk and the work is worth them; one that cannot be fitted gives no answer.

    An item whose worker died is fitted once more, so that what happens to a process changes no score.

    Raises
    ------
    WorkerError
        An item killed two workers, or failed in one.
    """
    n_fits = sum(1 if item.symbol is None else len(setting.folds[item.target]) for item in items)
    if workers > 1 and panel.folder is not None and n_fits >= MIN_FITS_FOR_WORKERS:
        ordered = sorted(items, key=lambda item: item.symbol is not None)
        crashed: list[GbmItem] = []
        for result in run_tasks(_prepare, (panel.folder, setting), _work, ordered, workers, FIT_LIMIT_SECONDS):
            if result.crashed:
                crashed.append(result.item)
            else:
                yield from _answers(panel, result)
        for result in run_tasks(_prepare, (panel.folder, setting), _work, crashed, workers, FIT_LIMIT_SECONDS):
            yield from _answers(panel, result)
        return
    for item in items:
        answer = fit_item(panel, setting, item)
        if answer is not None:
            yield answer


def _answers(panel: Panel, result: TaskResult[GbmItem, GbmAnswer | None]) -> Iterator[GbmAnswer]:
    if result.error is not None:
        item = result.item
        place = item.target if item.symbol is None else f"{item.target}/{panel.symbols[item.symbol]}"
        raise WorkerError(f"{place}: the boosted trees that its score needs could not be fitted: {result.error}; plan with fewer workers, or without it")
    if result.value is not None:
        yield result.value


def _prepare(folder: Path, setting: GbmSetting) -> tuple[Panel, GbmSetting]:
    return Panel.read(folder), setting


def _work(state: tuple[Panel, GbmSetting], item: GbmItem) -> GbmAnswer | None:
    return fit_item(*state, item)


def fit_item(panel: Panel, setting: GbmSetting, item: GbmItem) -> GbmAnswer | None:
    """Fit one item; None where no fold has enough rows or more than one label."""
    config, folds = setting.config, setting.folds[item.target]
    code = panel.target_code(item.target)
    info = panel.target_infos[code]
    span = slice(0, panel.n_rows) if item.symbol is None else slice(int(panel.symbol_offsets[item.symbol]), int(panel.symbol_offsets[item.symbol + 1]))
    times, ends, labels = panel.time_codes[span], panel.label_end_codes[code][span], np.asarray(panel.labels[code])
    n_symbols = len(panel.symbols) if item.symbol is None else 1
    n_columns = len(info.classes) if info.task_type is TaskType.MULTICLASS_CLASSIFICATION else 1
    some = folds if item.fold is None else [folds[item.fold]]
    moments = np.full((2, n_symbols, len(some), n_columns), np.nan, np.float32)
    rows, predictions = [], []
    for number, fold in enumerate(some):
        test = np.flatnonzero(fold.test_mask(times, ends)) + span.start
        everything = np.flatnonzero(fold.train_mask(times, ends)) + span.start
        step = -(-everything.size // config.scoring.gbm_max_rows) if everything.size else 1
        train = everything[panel.time_codes[everything] % step == 0] if step > 1 else everything
        if test.size == 0 or train.size < config.splits.min_train_rows:
            continue
        centre_on = train[:: max(1, train.size // (MAX_CENTRE_ROWS * n_symbols))]
        task = GbmTask(train, test, centre_on, info.task_type, len(info.classes))
        fitted = gbm_predictions(panel, labels, task, setting.feature_codes[item.target], config.scoring, config.seed)
        if fitted is not None:
            rows.append(test)
            predictions.append(fitted[0])
            of_symbols = _training_moments(panel, centre_on, fitted[1])
            moments[:, :, number] = of_symbols if item.symbol is None else of_symbols[:, item.symbol, None]
    return GbmAnswer(item, np.concatenate(rows), np.concatenate(predictions), moments[0], moments[1]) if rows else None


def _training_moments(panel: Panel, centre_on: Rows, predictions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and standard deviation of predictions over each symbol's training rows; over all of them for symbols that have none.

    Shape (2, n_symbols, n_columns).
    """
    symbols = np.searchsorted(panel.symbol_offsets, centre_on, side="right") - 1
    counts = np.bincount(symbols, minlength=len(panel.symbols))[:, None]

    def mean_by_symbol(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.stack([np.bincount(symbols, weights=column, minlength=len(panel.symbols)) for column in values.T], axis=1)
        return np.where(counts > 0, sums / np.maximum(counts, 1), values.mean(axis=0)[None, :])

    means = mean_by_symbol(predictions.astype(np.float64))
    return np.stack([means, np.sqrt(mean_by_symbol((predictions - means[symbols]) ** 2))]).astype(np.float32)


def gbm_predictions(
    panel: Panel, labels: NDArray[np.float32], task: GbmTask, feature_codes: NDArray[np.int64], config: ScoringConfig, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Fit on `task.train`, predict `task.test` and `task.centre_on`.

    Returns
    -------
    Shapes (n_test, n_columns) and (n_centre_on, n_columns): the value, the probability of class 1, or a probability a class; None where the training
    labels hold one value only.
    """
    import lightgbm

    known = labels[task.train]
    if known.size == 0 or known.min() == known.max():
        return None
    chosen = strongest_features(panel, task.train, known, feature_codes, config.gbm_features)
    data = lightgbm.Dataset(_matrix(panel, chosen, task.train), label=_clipped(known, task.task_type), free_raw_data=True, params={"verbose": -1})
    # The booster that trained predicts; written to text and read back, as the default is, it costs a tenth of the fit.
    booster = lightgbm.train(_parameters(task, config, seed), data, num_boost_round=config.gbm_rounds, keep_training_booster=True)
    rows = np.concatenate([task.test, task.centre_on])
    predicted = np.asarray(booster.predict(_matrix(panel, chosen, rows), num_threads=1), np.float32).reshape(rows.size, -1)
    return predicted[: task.test.size], predicted[task.test.size :]


def strongest_features(panel: Panel, rows: Rows, labels: NDArray[np.float32], feature_codes: NDArray[np.int64], n_features: int) -> NDArray[np.int64]:
    """The features most correlated with the label on the training rows, in panel order; extremes are clipped, what is not known counts as the mean."""
    if feature_codes.size <= n_features:
        return feature_codes
    step = max(1, rows.size // 10_000)
    sample = rows[::step]
    block = np.asarray(panel.features[:, as_slice(sample)][as_slice(feature_codes)], np.float32)
    centre = np.nan_to_num(np.nanmean(block, axis=1, keepdims=True)) if np.isnan(block).any() else block.mean(axis=1, keepdims=True)
    z = np.nan_to_num(block - centre)
    spread = z.std(axis=1, keepdims=True)
    np.clip(z, -4.0 * spread, 4.0 * spread, out=z)
    target = labels[::step] - labels[::step].mean()
    strength = np.abs(z @ target) / np.where(spread > 0, spread, np.inf)[:, 0]
    return np.sort(feature_codes[np.argsort(-strength, kind="stable")[:n_features]])


def _matrix(panel: Panel, feature_codes: NDArray[np.int64], rows: Rows) -> NDArray[np.float32]:
    matrix = np.empty((rows.size, feature_codes.size), np.float32)
    for position, code in enumerate(feature_codes):
        matrix[:, position] = panel.features[code][rows]
    return matrix


def _clipped(labels: NDArray[np.float32], task_type: TaskType) -> NDArray[np.float32]:
    if task_type is not TaskType.REGRESSION:
        return labels
    low, high = np.quantile(labels, [0.01, 0.99])
    return np.clip(labels, low, high)


def _parameters(task: GbmTask, config: ScoringConfig, seed: int) -> dict[str, Any]:
    objective = {TaskType.REGRESSION: "regression", TaskType.BINARY_CLASSIFICATION: "binary", TaskType.MULTICLASS_CLASSIFICATION: "multiclass"}
    parameters: dict[str, Any] = {
        "objective": objective[task.task_type],
        "num_leaves": config.gbm_leaves,
        "learning_rate": config.gbm_learning_rate,
        "max_bin": config.gbm_max_bins,
        "min_data_in_leaf": max(5, min(200, task.train.size // 20)),
        "feature_fraction": 0.5,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbose": -1,
    }
    if task.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        parameters["num_class"] = task.n_classes
    return parameters
