"""Sums over stretches of time from which any snapshot's correlations follow, without reading a row again.

Belongs here: the sums by symbol and sub-block, and correlations of weighted sets of them. Does not: which sets are drawn (`stability`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_assets.evidence.gram_sums import as_slice
from routing_assets.evidence.target_ridges import label_columns
from training_assets.panel.panel import Panel
from training_assets.splits import pre_holdout_mask

Floats = NDArray[np.float64]

MIN_ROWS_A_SUB_BLOCK = 5


@dataclass(frozen=True)
class BlockMoments:
    """Sums by symbol and sub-block: rows n, features x and x^2, labels y and y^2, products xy.

    Shapes (n_symbols, n_sub_blocks) for n, y, yy; with a last axis n_features for x, xx, xy.
    """

    n: Floats
    x: Floats
    xx: Floats
    y: Floats
    yy: Floats
    xy: Floats

    def pooled(self) -> "BlockMoments":
        return BlockMoments(*(getattr(self, name).sum(axis=0, keepdims=True) for name in ("n", "x", "xx", "y", "yy", "xy")))

    def correlations(self, weights: Floats) -> Floats:
        """Correlation of each feature with the label in each weighted set of sub-blocks.

        Parameters
        ----------
        weights : shape (n_snapshots, n_sub_blocks).

        Returns
        -------
        Shape (n_symbols, n_snapshots, n_features); NaN where a set has too few rows or no variation.
        """
        n, y, yy = (np.einsum("sb,kb->sk", one, weights) for one in (self.n, self.y, self.yy))
        x, xx, xy = (np.einsum("sbf,kb->skf", one, weights, optimize=True) for one in (self.x, self.xx, self.xy))
        with np.errstate(divide="ignore", invalid="ignore"):
            count = np.where(n >= MIN_ROWS_A_SUB_BLOCK, n, np.nan)
            covariance = xy / count[..., None] - (x / count[..., None]) * (y / count)[..., None]
            x_variance = xx / count[..., None] - (x / count[..., None]) ** 2
            y_variance = yy / count - (y / count) ** 2
            scale = x_variance * y_variance[..., None]
            return np.asarray(np.where(scale > 1e-18, covariance / np.sqrt(np.where(scale > 1e-18, scale, 1.0)), 0.0) + 0.0 * count[..., None])


def block_moments(panel: Panel, targets: Sequence[str], codes: NDArray[np.int64], n_sub_blocks: int) -> tuple[BlockMoments, ...]:
    """Moments by symbol and equal stretches of that symbol's own rows before the holdout."""
    n_symbols, n_features = len(panel.symbols), codes.size
    labels = [_numeric_label(panel, target) for target in targets]
    shapes = {"n": (), "x": (n_features,), "xx": (n_features,), "y": (), "yy": (), "xy": (n_features,)}
    sums = [{name: np.zeros((n_symbols, n_sub_blocks, *tail)) for name, tail in shapes.items()} for _ in targets]
    for symbol in range(n_symbols):
        start, stop = int(panel.symbol_offsets[symbol]), int(panel.symbol_offsets[symbol + 1])
        stop = start + int(np.searchsorted(panel.time_codes[start:stop], panel.holdout_start_code))
        if stop - start < n_sub_blocks * 2:
            continue
        edges = np.linspace(0, stop - start, n_sub_blocks + 1).astype(int)[:-1]
        z = np.asarray(panel.features[:, start:stop][as_slice(codes)], np.float32)
        centre = np.nanmedian(z, axis=1, keepdims=True) if z.size else z
        spread = np.nanstd(z, axis=1, keepdims=True)
        z = np.clip(np.nan_to_num((z - centre) / np.where(spread > 0, spread, 1.0)), -5.0, 5.0)
        for position, label in enumerate(labels):
            y = label[start:stop]
            known = np.isfinite(y)
            weight, y = known.astype(np.float32), np.where(known, y, 0.0).astype(np.float32)
            out = sums[position]
            for name, values in (("n", weight), ("y", y), ("yy", y * y), ("x", z * weight), ("xx", z * z * weight), ("xy", z * y)):
                out[name][symbol] = np.add.reduceat(values, edges, axis=-1).T
    return tuple(BlockMoments(**one) for one in sums)


def _numeric_label(panel: Panel, target: str) -> Floats:
    """One column: the label clipped to its 1st and 99th percentile, class codes as they are ordered; NaN outside the rows before the holdout."""
    code = panel.target_code(target)
    columns = label_columns(panel, target)
    label = np.asarray(columns[:, 0] if columns.shape[1] == 1 else panel.labels[code], np.float64)
    label = np.where(pre_holdout_mask(panel.holdout_start_code, panel.label_end_codes[code]), label, np.nan)
    known = label[np.isfinite(label)]
    if known.size:
        label = np.clip(label, *np.quantile(known, [0.01, 0.99])) if np.unique(known[:50]).size > 2 else label
        label = label - known.mean()
    return label
