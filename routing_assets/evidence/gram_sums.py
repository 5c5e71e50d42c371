"""Gram sums of every symbol by stage, on features in one scale: all that a closed-form model of a pair is made of.

Belongs here: the scale, the sums, one read of each training row. Does not: solves (`ridge_models`), predictions (`ridge_screen`), or stages (`stages`).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from routing_assets.evidence.stages import Stages
from training_assets.panel.panel import Panel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

CLIP_STANDARD_DEVIATIONS = 6.0
LABEL_CLIP_QUANTILE = 0.01


@dataclass(frozen=True)
class Scaling:
    """Mean and scale of features, fitted on the rows that every stage may train on."""

    feature_codes: NDArray[np.int64]
    mean: Singles
    scale: Singles

    @classmethod
    def fit(cls, panel: Panel, feature_codes: NDArray[np.int64], reference: NDArray[np.bool_]) -> "Scaling":
        """Moments of the finite values on the reference rows; a feature that does not vary there keeps its unit."""
        rows = np.flatnonzero(reference)
        mean, scale = np.zeros(feature_codes.size, np.float32), np.ones(feature_codes.size, np.float32)
        for position, code in enumerate(feature_codes):
            values = panel.features[code][rows]
            finite = np.isfinite(values)
            values = values if finite.all() else values[finite]
            if values.size > 1:
                mean[position] = values.mean(dtype=np.float64)
                deviation = values.std(dtype=np.float64)
                scale[position] = deviation if deviation > 0 else 1.0
        return cls(feature_codes, mean, scale)

    def standardised(self, panel: Panel, rows: NDArray[np.int64]) -> Singles:
        """Shape (n_features + 1, n), the last row ones; what is not known stands at the mean. Rows ascend within one symbol."""
        z = np.empty((self.feature_codes.size + 1, rows.size), np.float32)
        into = z[:-1]
        np.subtract(panel.features[:, as_slice(rows)][as_slice(self.feature_codes)], self.mean[:, None], out=into)
        into *= (1.0 / self.scale)[:, None]
        np.clip(into, -CLIP_STANDARD_DEVIATIONS, CLIP_STANDARD_DEVIATIONS, out=into)
        into[np.isnan(into)] = 0.0
        z[-1] = 1.0
        return z


@dataclass(frozen=True)
class GramSums:
    """Sums of [features, 1] over each symbol's rows: cumulative by stage for training, by stage for validation.

    `gram`, `held_gram` : shape (n_symbols, n_stages, p, p), of products; `cross`, `held_cross` : shape (n_symbols, n_stages, p, n_columns), with the
    labels. Validation sums of stage j hold the rows that entered training at j and lie after the window of j - 1. The last of the p is the constant.
    """

    gram: NDArray[np.floating]
    cross: NDArray[np.floating]
    held_gram: NDArray[np.floating]
    held_cross: NDArray[np.floating]

    @property
    def n_rows(self) -> NDArray[np.floating]:
        """Shape (n_symbols, n_stages), training rows."""
        return self.gram[..., -1, -1]

    def total(self) -> "GramSums":
        """Over all symbols, in double precision; `n_symbols` is 1."""
        return GramSums(*(one.sum(axis=0, keepdims=True, dtype=np.float64) for one in (self.gram, self.cross, self.held_gram, self.held_cross)))


def gram_sums(panel: Panel, scaling: Scaling, labels: Singles, stages: Stages) -> GramSums:
    """Sum every symbol's rows, each read once.

    Parameters
    ----------
    labels : shape (n_rows, n_columns), finite (`clipped_labels`).
    """
    n_symbols, p, n_columns = len(panel.symbols), scaling.feature_codes.size + 1, labels.shape[1]
    shapes = ((n_symbols, stages.n_stages, p, p), (n_symbols, stages.n_stages, p, n_columns))
    gram, held_gram = np.zeros(shapes[0], np.float32), np.zeros(shapes[0], np.float32)
    cross, held_cross = np.zeros(shapes[1], np.float32), np.zeros(shapes[1], np.float32)
    for code in range(n_symbols):
        start, stop = int(panel.symbol_offsets[code]), int(panel.symbol_offsets[code + 1])
        rows = np.flatnonzero(stages.first_train[start:stop] < stages.n_stages) + start
        span = as_slice(rows)
        z, y, keys = scaling.standardised(panel, rows), labels[span], 2 * stages.first_train[span] + stages.validates[span]
        if (np.diff(keys) < 0).any():
            order = np.argsort(keys, kind="stable")
            z, y, keys = z[:, order], y[order], keys[order]
        edges = np.r_[0, np.flatnonzero(np.diff(keys)) + 1, keys.size]
        for first, last in pairwise(edges.tolist()):
            stage, validates = divmod(int(keys[first]), 2) if keys.size else (0, 0)
            block = z[:, first:last]
            into = (held_gram, held_cross) if validates else (gram, cross)
            np.matmul(block, block.T, out=into[0][code, stage])
            np.matmul(block, y[first:last], out=into[1][code, stage])
    gram += held_gram
    cross += held_cross
    return GramSums(np.cumsum(gram, axis=1, out=gram), np.cumsum(cross, axis=1, out=cross), held_gram, held_cross)


def clipped_labels(columns: NDArray[np.floating], reference: NDArray[np.bool_]) -> Singles:
    """Labels clipped to quantiles of the reference rows, zero where missing (those rows take no part); shape (n_rows, n_columns)."""
    out, rows = np.empty(columns.shape, np.float32), np.flatnonzero(reference)
    for position, column in enumerate(columns.T):
        known = column[rows].astype(np.float64)
        low, high = np.nanquantile(known, [LABEL_CLIP_QUANTILE, 1 - LABEL_CLIP_QUANTILE]) if known.size else (0.0, 0.0)
        out[:, position] = column if low == high else np.clip(column, low, high)
    out[np.isnan(out)] = 0.0
    return out


def as_slice(positions: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """A slice where positions are consecutive (no copy), else the positions."""
    if positions.size and positions[-1] - positions[0] + 1 == positions.size:
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions
