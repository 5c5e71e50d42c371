"""Closed-form ridge models for all pairs at once: pooled, local, and the local residual shrunk to the pooled one.

Belongs here: from a panel to out-of-sample predictions of every stage. Does not: the sums (`gram_sums`), the models they give (`ridge_models`),
scores of these predictions (`training_assets.metrics`), or which pairs go on to the GBM screen (`routing_assets.evidence.screening`).

Everything a pair needs (its fit, its penalty, its strength) is algebra on Gram sums: rows are read twice, once to sum and once to predict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from routing_assets.evidence.gram_sums import Floats, GramSums, Scaling, Singles, clipped_labels, gram_sums
from routing_assets.evidence.ridge_models import local_models, pooled_coefficients
from routing_assets.evidence.stages import Stages
from training_assets.panel.panel import Panel

KINDS = ("pooled", "local", "blended")


@dataclass(frozen=True)
class RidgePredictions:
    """Out-of-sample predictions of the three kinds on the same rows.

    Attributes
    ----------
    rows : shape (n,), panel rows that are scored, symbol after symbol, time ascending.
    stages : shape (n,), the tested stage (fold) each row belongs to, from 0.
    symbols : shape (n,), the symbol's position in the panel.
    pooled, local, blended : shape (n, n_columns), float32; NaN where no model could be fitted. One column, or one a class.
    centres, sizes : shape (n_symbols, n_stages, 3, n_columns), in the order of `KINDS`: mean and standard deviation of the model's predictions over
        the symbol's own training rows at that stage (all symbols' where it has none), known before the stage is tested.
    label_centres : shape (n_symbols, n_stages, n_columns), mean of the label over the same rows.
    strengths : shape (n_symbols,), strength of the local residual at the last stage, 0 is pooled; NaN without a local model.
    """

    rows: NDArray[np.int64]
    stages: NDArray[np.int64]
    symbols: NDArray[np.int64]
    pooled: Singles
    local: Singles
    blended: Singles
    centres: Singles
    sizes: Singles
    label_centres: Singles
    strengths: Floats


def ridge_predictions(
    panel: Panel, columns: NDArray[np.floating], feature_codes: NDArray[np.int64], stages: Stages, strengths: Sequence[float], min_train_rows: int
) -> RidgePredictions:
    """Fit and predict every symbol, every label column and every stage.

    Parameters
    ----------
    columns : shape (n_rows, n_columns), label columns of targets that share their missing rows (one-hot for classes).
    feature_codes : positions of the features in the panel.
    strengths : grid for the local residual, with 0.
    min_train_rows : a symbol with fewer rows than this at a stage has no local model there.
    """
    scaling = Scaling.fit(panel, feature_codes, stages.first_train == 0)
    sums = gram_sums(panel, scaling, clipped_labels(columns, stages.first_train == 0), stages)
    total = sums.total()
    pooled = pooled_coefficients(total)
    models = local_models(sums, pooled, strengths, min_train_rows)
    n_symbols, n_stages, n_columns = len(panel.symbols), stages.n_stages, columns.shape[1]
    scored = np.flatnonzero(stages.test >= 1)
    predicted = np.empty((len(KINDS), scored.size, n_columns), np.float32)
    centres, sizes = (np.empty((n_symbols, n_stages - 1, len(KINDS), n_columns), np.float32) for _ in range(2))
    label_centres = np.empty((n_symbols, n_stages - 1, n_columns), np.float32)
    edges = np.searchsorted(scored, panel.symbol_offsets)
    for code in range(n_symbols):
        kinds = np.concatenate([pooled.astype(np.float32), models.local[code], models.blended[code]], axis=2)[1:]
        mean, size, label_centres[code] = _training_moments(sums, total, code, kinds)
        centres[code], sizes[code] = mean.reshape(centres.shape[1:]), size.reshape(sizes.shape[1:])
        part = slice(int(edges[code]), int(edges[code + 1]))
        if part.stop > part.start:
            predicted[:, part] = _predictions(scaling.standardised(panel, scored[part]), stages.test[scored[part]] - 1, kinds)
    symbols = np.repeat(np.arange(n_symbols), np.diff(edges))
    return RidgePredictions(scored, stages.test[scored] - 1, symbols, predicted[0], predicted[1], predicted[2], centres, sizes, label_centres, models.strengths)


def _predictions(z: Singles, of_row: NDArray[np.int64], kinds: Singles) -> Singles:
    """Shape (3, n, n_columns): one symbol's predictions, each row by the models of its stage.

    Parameters
    ----------
    z : shape (p, n). of_row : shape (n,), tested stage from 0. kinds : shape (n_stages, p, 3 x n_columns).
    """
    out = np.empty((kinds.shape[2], of_row.size), np.float32)
    edges = np.r_[0, np.flatnonzero(np.diff(of_row)) + 1, of_row.size]
    for first, last in pairwise(edges.tolist()):
        np.matmul(kinds[of_row[first]].T, z[:, first:last], out=out[:, first:last])
    return np.moveaxis(out.reshape(len(KINDS), -1, of_row.size), 1, 2)


def _training_moments(sums: GramSums, total: GramSums, code: int, kinds: Singles) -> tuple[Floats, Floats, Floats]:
    """Mean and standard deviation of each model's predictions over the symbol's training rows, and the labels' mean; all symbols' rows where it has none.

    Shapes (n_stages, 3 x n_columns) twice and (n_stages, n_columns).
    """
    gram, labels = sums.gram[code, 1:], sums.cross[code, 1:, -1]
    empty = gram[:, -1, -1] == 0
    if empty.any():
        gram = np.where(empty[:, None, None], total.gram[0, 1:], gram)
        labels = np.where(empty[:, None], total.cross[0, 1:, -1], labels)
    counts = np.maximum(gram[:, -1, -1], 1.0).astype(np.float64)[:, None]
    products = gram @ kinds.astype(np.float64) / counts[..., None]
    mean = products[:, -1]
    return mean, np.sqrt(np.maximum((kinds * products).sum(axis=1) - mean**2, 0.0)), labels / counts
