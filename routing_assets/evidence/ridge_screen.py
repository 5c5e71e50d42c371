"""Closed-form ridge models for all pairs at once: pooled, local, and the local residual shrunk to the pooled one.

Belongs here: Gram sums by symbol and stage, the solves, the choice of penalty and strength on earlier stages, predictions. Does not:
scores of these predictions (`training_assets.metrics`), or which pairs go on to the GBM screen (`routing_assets.evidence.screening`).

A *stage* is one training window with the rows it is tested on. Training windows are nested, so each row enters the Gram sums once, at
the first stage that may train on it, and what a later stage adds serves as validation of the models before it. Everything a pair needs
(its fit, its penalty, its strength) is algebra on these sums: rows are read twice, once to sum and once to predict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.panel import Panel
from training_assets.splits import Fold

Floats = NDArray[np.float64]

# Penalties in units of the number of training rows; features are standardised, so 1 halves what an uncorrelated feature explains.
PENALTIES = (0.1, 1.0, 10.0)
# A symbol's own validation loss is noisy; the panel's mean loss stands beside it with the weight of this many symbols.
PANEL_PRIOR_SYMBOLS = 5.0
CLIP_STANDARD_DEVIATIONS = 6.0
LABEL_CLIP_QUANTILE = 0.01


@dataclass(frozen=True)
class RidgePredictions:
    """Out-of-sample predictions of the three kinds on the same rows.

    Attributes
    ----------
    rows : shape (n,), panel rows that are scored, symbol after symbol, time ascending.
    stages : shape (n,), the stage (fold) each row belongs to, from 0.
    pooled, local, blended : shape (n, n_columns), float32; NaN where no model could be fitted. One column, or one a class.
    pooled_centres, local_centres, blended_centres : shape (n, n_columns), the model's mean prediction over the symbol's own training rows at
        that stage (all symbols' where it has none), known before the stage is tested.
    pooled_sizes, local_sizes, blended_sizes : shape (n, n_columns), the standard deviation of the model's predictions over those rows.
    label_centres : shape (n, n_columns), mean of the label over the same rows.
    strengths : shape (n_symbols,), strength of the local residual at the last stage, 0 is pooled; NaN without a local model.
    """

    rows: NDArray[np.int64]
    stages: NDArray[np.int64]
    pooled: NDArray[np.float32]
    local: NDArray[np.float32]
    blended: NDArray[np.float32]
    pooled_centres: NDArray[np.float32]
    local_centres: NDArray[np.float32]
    blended_centres: NDArray[np.float32]
    pooled_sizes: NDArray[np.float32]
    local_sizes: NDArray[np.float32]
    blended_sizes: NDArray[np.float32]
    label_centres: NDArray[np.float32]
    strengths: Floats


@dataclass(frozen=True)
class Stages:
    """Which stage a row first trains in, is tested in, and validates.

    `first_train` is `n_stages` for rows that never train; `test` is -1 for rows that are not scored; `validates` marks rows
    that, when they enter training, lie wholly after the training window before (purged).
    """

    n_stages: int
    first_train: NDArray[np.int64]
    test: NDArray[np.int64]
    validates: NDArray[np.bool_]


def nested_stages(folds: Sequence[Fold], time_codes: NDArray[np.int32], label_end_codes: NDArray[np.int32], inner_fraction: float) -> Stages:
    """Stages of nested folds (all of walk-forward, or one of k-fold), led by a warm-up stage that only serves validation.

    Parameters
    ----------
    folds : training windows must grow from one to the next.
    time_codes, label_end_codes : shape (n_rows,); -1 marks rows without a label, which take no part.
    """
    n_stages = len(folds) + 1
    first = np.full(time_codes.size, n_stages, np.int64)
    test = np.full(time_codes.size, -1, np.int64)
    for number in range(len(folds) - 1, -1, -1):
        first[folds[number].train_mask(time_codes, label_end_codes)] = number + 1
        test[folds[number].test_mask(time_codes, label_end_codes)] = number + 1
    trains_first = first == 1
    warm_up = _warm_up_start(time_codes[trains_first], inner_fraction)
    first[trains_first & (label_end_codes <= warm_up) & (time_codes + folds[0].purge_codes <= warm_up)] = 0
    starts = np.array([warm_up, *(fold.test_start for fold in folds)])
    earlier = starts[np.clip(first - 1, 0, n_stages - 1)]
    return Stages(n_stages, first, test, (first > 0) & (first < n_stages) & (time_codes >= earlier))


def ridge_predictions(
    panel: Panel, columns: Floats, feature_codes: NDArray[np.int64], stages: Stages, strengths: Sequence[float], min_train_rows: int
) -> RidgePredictions:
    """Fit and predict every symbol, every label column and every stage.

    Parameters
    ----------
    columns : shape (n_rows, n_columns), label columns of targets that share their missing rows (one-hot for classes).
    feature_codes : positions of the features in the panel.
    strengths : grid for the local residual, with 0.
    min_train_rows : a symbol with fewer rows than this at a stage has no local model there.
    """
    labels = _clipped_labels(columns, stages.first_train == 0)
    scaling = _Scaling.fit(panel, feature_codes, stages.first_train == 0)
    sums = [_symbol_sums(panel, code, scaling, labels, stages) for code in range(len(panel.symbols))]
    pooled = _pooled_coefficients(sums)
    models = _local_models(sums, pooled, np.asarray(sorted(strengths)), min_train_rows)
    total, label_total = _total(sums, "gram"), _total(sums, "cross")[:, -1, :]
    scored = np.flatnonzero(stages.test >= 1)
    shape = (scored.size, columns.shape[1])
    out = {name: np.full(shape, np.nan, np.float32) for name in _COLUMNS}
    for code in range(len(panel.symbols)):
        first, last = np.searchsorted(scored, panel.symbol_offsets[code : code + 2])
        rows = scored[first:last]
        if rows.size == 0:
            continue
        z, of_row = scaling.standardised(panel, rows), stages.test[rows]
        moments = _TrainingMoments.of(sums[code], total, label_total)
        for stage in np.unique(of_row):
            part = np.flatnonzero(of_row == stage)
            block = z[:, as_slice(part)].T
            out["label_centres"][first + part] = moments.labels[stage]
            for kind, by_stage in (("pooled", pooled), ("local", models.local[code]), ("blended", models.blended[code])):
                coefficients = by_stage[stage].astype(np.float64)
                out[kind][first + part] = block @ coefficients.astype(np.float32)
                out[f"{kind}_centres"][first + part], out[f"{kind}_sizes"][first + part] = moments.of_predictions(coefficients, int(stage))
    return RidgePredictions(scored, stages.test[scored] - 1, **out, strengths=models.strengths)


_KINDS = ("pooled", "local", "blended")
_COLUMNS = (*_KINDS, *(f"{kind}_centres" for kind in _KINDS), *(f"{kind}_sizes" for kind in _KINDS), "label_centres")


@dataclass(frozen=True)
class _TrainingMoments:
    """Moments over one symbol's training rows by stage; over all symbols' at stages where it has none.

    `second` : shape (n_stages, p, p), mean products of [features, 1]; `labels` : shape (n_stages, n_columns), mean label.
    """

    second: Floats
    labels: Floats

    @classmethod
    def of(cls, own: "_SymbolSums", total: NDArray[np.floating], label_total: NDArray[np.floating]) -> "_TrainingMoments":
        empty = own.gram[:, -1, -1] == 0
        gram = np.where(empty[:, None, None], total, own.gram)
        labels = np.where(empty[:, None], label_total, own.cross[:, -1, :])
        counts = np.maximum(gram[:, -1, -1], 1.0)
        return cls(gram / counts[:, None, None], labels / counts[:, None])

    def of_predictions(self, coefficients: Floats, stage: int) -> tuple[Floats, Floats]:
        """Mean and standard deviation of a model's predictions, shape (n_columns,) each."""
        products = self.second[stage] @ coefficients
        mean = products[-1]
        return mean, np.sqrt(np.maximum((coefficients * products).sum(axis=0) - mean**2, 0.0))


@dataclass(frozen=True)
class _Scaling:
    """Mean and scale of features, fitted on the rows that every stage may train on."""

    feature_codes: NDArray[np.int64]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, panel: Panel, feature_codes: NDArray[np.int64], reference: NDArray[np.bool_]) -> "_Scaling":
        rows = np.flatnonzero(reference)
        mean, scale = np.zeros(feature_codes.size, np.float32), np.ones(feature_codes.size, np.float32)
        for position, code in enumerate(feature_codes):
            values = panel.features[code][rows]
            values = values[np.isfinite(values)]
            if values.size > 1:
                mean[position] = values.mean(dtype=np.float64)
                deviation = values.std(dtype=np.float64)
                scale[position] = deviation if deviation > 0 else 1.0
        return cls(feature_codes, mean, scale)

    def standardised(self, panel: Panel, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Shape (n_features + 1, n), the last row ones; what is not known stands at the mean. Rows ascend within one symbol."""
        z = np.empty((self.feature_codes.size + 1, rows.size), np.float32)
        into = z[:-1]
        span = as_slice(rows)
        np.subtract(panel.features[:, span][as_slice(self.feature_codes)], self.mean[:, None], out=into)
        into *= (1.0 / self.scale)[:, None]
        np.clip(into, -CLIP_STANDARD_DEVIATIONS, CLIP_STANDARD_DEVIATIONS, out=into)
        into[np.isnan(into)] = 0.0
        z[-1] = 1.0
        return z


@dataclass(frozen=True)
class _SymbolSums:
    """Gram sums of one symbol: cumulative by stage for training, by stage for validation.

    `gram` (n_stages, p, p), `cross` (n_stages, p, n_columns): of [features, 1]; validation sums of stage j hold the rows that entered
    training at j and lie after the window of j - 1.
    """

    gram: NDArray[np.floating]
    cross: NDArray[np.floating]
    held_gram: NDArray[np.floating]
    held_cross: NDArray[np.floating]


def _symbol_sums(panel: Panel, code: int, scaling: _Scaling, labels: NDArray[np.float32], stages: Stages) -> _SymbolSums:
    start, stop = int(panel.symbol_offsets[code]), int(panel.symbol_offsets[code + 1])
    rows = np.flatnonzero(stages.first_train[start:stop] < stages.n_stages) + start
    z, y = scaling.standardised(panel, rows), labels[rows]
    entered, validates = stages.first_train[rows], stages.validates[rows]
    p, n_columns = z.shape[0], y.shape[1]
    gram, cross = np.zeros((stages.n_stages, p, p), np.float32), np.zeros((stages.n_stages, p, n_columns), np.float32)
    held_gram, held_cross = np.zeros_like(gram), np.zeros_like(cross)
    for stage in range(stages.n_stages):
        for mask, into_gram, into_cross in ((validates, held_gram, held_cross), (~validates, gram, cross)):
            part = np.flatnonzero((entered == stage) & mask)
            if part.size:
                block = z[:, as_slice(part)]
                into_gram[stage] = block @ block.T
                into_cross[stage] = block @ y[as_slice(part)]
    gram += held_gram
    cross += held_cross
    return _SymbolSums(np.cumsum(gram, axis=0), np.cumsum(cross, axis=0), held_gram, held_cross)


def _pooled_coefficients(sums: Sequence[_SymbolSums]) -> Floats:
    """Pooled coefficients of the penalty that did best so far, shape (n_stages, p, n_columns)."""
    total = _SymbolSums(*(_total(sums, name) for name in ("gram", "cross", "held_gram", "held_cross")))
    solutions = _solve(total.gram, total.cross, min_rows=2)
    none = np.zeros_like(solutions[0])
    gain, square = _validation_terms(solutions, none, total)
    best = np.cumsum(square - 2.0 * gain, axis=1).argmin(axis=0)
    return np.asarray(np.nan_to_num(np.take_along_axis(solutions, best[None, :, None, :], axis=0)[0]))


def _total(sums: Sequence[_SymbolSums], name: str) -> NDArray[np.floating]:
    total = getattr(sums[0], name).astype(np.float64)
    for one in sums[1:]:
        total += getattr(one, name)
    return np.asarray(total)


@dataclass(frozen=True)
class _LocalModels:
    """Coefficients by symbol, (n_symbols, n_stages, p, n_columns), float32, and the last stage's strengths (n_symbols,)."""

    local: NDArray[np.float32]
    blended: NDArray[np.float32]
    strengths: Floats


def _local_models(sums: Sequence[_SymbolSums], pooled: Floats, grid: Floats, min_rows: int) -> _LocalModels:
    """Local models and pooled models plus a share of the local residual; penalty and share chosen by validation so far.

    With own squared error L and the panel's mean M, the choice minimises L + `PANEL_PRIOR_SYMBOLS` x M. The loss of a share s of the residual
    model d over the pooled one is L0 - 2 s gain + s^2 square, so that no share needs a fit of its own.
    """
    none = np.zeros_like(pooled)
    local = np.empty((len(sums), len(PENALTIES), *pooled.shape), np.float32)
    residual = np.empty_like(local)
    own, shared = [], []
    weights = np.concatenate([_feature_weights(sums, none), _feature_weights(sums, pooled)], axis=2)
    for code, one in enumerate(sums):
        left = one.cross - one.gram.astype(np.float64) @ pooled
        both = _solve(one.gram, np.concatenate([one.cross, left], axis=2), min_rows, weights)
        local[code], residual[code] = both[..., : pooled.shape[2]], np.nan_to_num(both[..., pooled.shape[2] :])
        gain, square = _validation_terms(local[code], none, one)
        own.append(square - 2.0 * gain)
        gain, square = _validation_terms(residual[code], pooled, one)
        shared.append(grid[:, None, None, None] ** 2 * square - 2.0 * grid[:, None, None, None] * gain)
    own_choice = _with_panel_prior(np.cumsum(np.stack(own), axis=2)).argmin(axis=1)
    losses = _with_panel_prior(np.cumsum(np.stack(shared), axis=3))
    blend_choice = losses.reshape(len(sums), -1, *losses.shape[3:]).argmin(axis=1)
    share, penalty = grid[blend_choice // len(PENALTIES)], blend_choice % len(PENALTIES)
    chosen = np.take_along_axis(local, own_choice[:, None, :, None, :], axis=1)[:, 0]
    added = np.take_along_axis(residual, penalty[:, None, :, None, :], axis=1)[:, 0]
    blended = (pooled[None] + share[:, :, None, :] * added).astype(np.float32)
    strengths = np.where(np.isnan(chosen[:, -1]).any(axis=(1, 2)), np.nan, share[:, -1].mean(axis=1))
    return _LocalModels(chosen, blended, strengths)


def _with_panel_prior(losses: Floats) -> Floats:
    return np.asarray(losses + PANEL_PRIOR_SYMBOLS * losses.mean(axis=0, keepdims=True))


def _feature_weights(sums: "Sequence[_SymbolSums]", base: Floats) -> Floats:
    """How much of the symbols' own signals each feature carries, shape (n_stages, p, n_columns), largest 1.

    A symbol's own rows say little about which features matter to it; all symbols together say which features matter to symbols, with whatever
    sign. The mean over symbols of the product of a feature's associations in different stretches of time estimates the variance of its
    coefficient between symbols without the noise of either stretch: an empirical-Bayes prior variance (Morris 1983). Its standard error over symbols is
    added, so that weights differ by as much as the panel can tell: hardly with few symbols, or where all features carry as much.
    """
    weights = np.ones(base.shape)
    grams = np.stack([np.diff(one.gram, axis=0, prepend=0.0) for one in sums]).astype(np.float64)
    crosses = np.stack([np.diff(one.cross, axis=0, prepend=0.0) for one in sums]).astype(np.float64)
    for stage in range(1, base.shape[0]):
        gram, cross = grams[:, : stage + 1], crosses[:, : stage + 1]
        left = cross - gram @ base[stage]
        counts = gram[..., -1, -1][..., None, None]
        own = left - gram[..., :, -1:] * (left[..., -1:, :] / np.maximum(counts, 1.0))
        products = own.sum(axis=1) ** 2 - (own**2).sum(axis=1)
        pairs = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
        each = products / np.maximum(pairs, 1.0)
        energy = np.maximum(each.mean(axis=0), 0.0) + each.std(axis=0) / np.sqrt(len(sums))
        energy[-1] = 0.0
        largest = energy.max(axis=0)
        weights[stage] = np.where((largest > 0) & (energy > 0), energy / np.where(largest > 0, largest, 1.0), 1.0)
    return weights


def _solve(gram: NDArray[np.floating], cross: NDArray[np.floating], min_rows: int, weights: Floats | None = None) -> Floats:
    """Ridge solutions with a free intercept, shape (n_penalties, n_stages, p, n_columns); NaN where there are too few rows.

    Parameters
    ----------
    weights : shape (n_stages, p, n_columns), prior variance of each coefficient; None is 1 for all.
    """
    gram, cross = gram.astype(np.float64), cross.astype(np.float64)
    n_rows = gram[:, -1, -1]
    free = np.ones(gram.shape[-1])
    free[-1] = 0.0
    penalties = np.asarray(PENALTIES)[:, None] * n_rows[None, :]
    usable = n_rows >= max(min_rows, 2)
    solutions = np.full((len(PENALTIES), *cross.shape), np.nan)
    if not usable.any():
        return solutions
    if weights is None:
        systems = gram[None, usable] + penalties[:, usable, None, None] * np.diag(free)
        solutions[:, usable] = np.linalg.solve(systems, np.broadcast_to(cross[usable], (len(PENALTIES), *cross[usable].shape)))
        return solutions
    for column in range(cross.shape[2]):
        diagonal = free / weights[usable, :, column]
        systems = gram[None, usable] + penalties[:, usable, None, None] * (diagonal[:, :, None] * np.eye(free.size))
        right = np.broadcast_to(cross[usable, :, column : column + 1], (len(PENALTIES), *cross[usable, :, :1].shape))
        solutions[..., column][:, usable] = np.linalg.solve(systems, right)[..., 0]
    return solutions


def _validation_terms(solutions: NDArray[np.floating], base: Floats, sums: _SymbolSums) -> tuple[Floats, Floats]:
    """What a model of the stage before adds to a base model on the rows that enter at a stage.

    Returns
    -------
    gain : sum of (label - base) x prediction; square : sum of prediction squared; both (n_penalties, n_stages, n_columns), zero at stage 0,
        where nothing is known yet and the first entry of a grid wins.
    """
    before = np.nan_to_num(solutions[:, :-1]).astype(np.float64)
    held = sums.held_gram[1:].astype(np.float64)
    left = sums.held_cross[1:] - held @ base[:-1]
    gain = np.zeros((solutions.shape[0], solutions.shape[1], solutions.shape[3]))
    square = np.zeros_like(gain)
    gain[:, 1:] = (before * left).sum(axis=2)
    square[:, 1:] = (before * (held[None] @ before)).sum(axis=2)
    return gain, square


def _clipped_labels(columns: Floats, reference: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Labels clipped to quantiles of the reference rows, zero where missing (those rows take no part)."""
    known = columns[reference]
    if known.shape[0]:
        low, high = np.nanquantile(known, [LABEL_CLIP_QUANTILE, 1 - LABEL_CLIP_QUANTILE], axis=0)
        columns = np.where(low == high, columns, np.clip(columns, low, high))
    return np.nan_to_num(columns).astype(np.float32)


def as_slice(positions: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """A slice where positions are consecutive (no copy), else the positions."""
    if positions.size and positions[-1] - positions[0] + 1 == positions.size:
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def _warm_up_start(train_times: NDArray[np.int32], inner_fraction: float) -> int:
    return int(np.quantile(train_times, 1.0 - inner_fraction)) if train_times.size else 0
