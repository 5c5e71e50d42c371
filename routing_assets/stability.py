"""Whether the same features carry a signal from one stretch of time to the next.

Belongs here: snapshots of feature selection, Nogueira's measure, overlap and rank agreement, persistence of association, and the
names STABLE, DRIFTING, DIVERGED, UNKNOWN. Does not: what a stability allows (`gates`).

Snapshots come from block bootstraps inside time blocks of the rows before the holdout; each selects the clusters of correlated features
most associated with the label. Nogueira, Sechidis & Brown 2018 (JMLR 18) corrects agreement for chance and has an interval. It cannot
tell a weak signal that stays from a strong one that moves, so the association of the earlier half is also held against that of the
later half, relative to the signal's own strength.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from config.schema import Config
from config.sections.base import Stability
from config.sections.routing import StabilityClassification
from routing_assets.ridge_screen import as_slice
from routing_assets.screening import label_columns
from training_assets.leakage.status import allowed_features
from training_assets.panel.panel import Panel
from training_assets.splits import pre_holdout_mask

Floats = NDArray[np.float64]

SUB_BLOCKS = 8  # units of the block bootstrap inside one time block
MIN_ROWS_A_SUB_BLOCK = 5
STABILITY_COLUMNS = (
    "target",
    "symbol",
    "mode",
    "stability",
    "stability_score",
    "stability_ci_low",
    "mean_overlap",
    "std_overlap",
    "mean_tau",
    "std_tau",
    "n_snapshots",
    "persistence",
    "persistence_ci_high",
)


@dataclass(frozen=True)
class Agreement:
    """Nogueira's measure of a set of selections with its confidence interval."""

    score: Floats
    ci_low: Floats
    ci_high: Floats


def nogueira(selections: NDArray[np.bool_], confidence: float) -> Agreement:
    """Stability of feature selection, corrected for chance.

    Parameters
    ----------
    selections : shape (..., n_snapshots, n_features).

    Returns
    -------
    Arrays of shape (...): 0 is what chance gives, 1 is always the same; NaN where every snapshot selects nothing or everything.
    """
    chosen = selections.astype(float)
    n_snapshots, n_features = chosen.shape[-2:]
    frequency = chosen.mean(axis=-2)
    sizes = chosen.sum(axis=-1)
    share = sizes.mean(axis=-1) / n_features
    chance = share * (1.0 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (n_snapshots / (n_snapshots - 1) * frequency * (1.0 - frequency)).mean(axis=-1)
        score = 1.0 - variance / np.where(chance > 0, chance, np.nan)
        size_share = sizes / n_features
        parts = (chosen * frequency[..., None, :]).mean(axis=-1) - size_share * share[..., None]
        parts += 0.5 * score[..., None] * (2.0 * share[..., None] * size_share - size_share - share[..., None] + 1.0)
        parts /= np.where(chance > 0, chance, np.nan)[..., None]
        error = np.sqrt(4.0 / n_snapshots**2 * ((parts - parts.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1))
    half = special.ndtri(0.5 + 0.5 * confidence) * error
    return Agreement(score, score - half, score + half)


def classify(score_ci_low: Floats, persistence_ci_high: Floats, bounds: StabilityClassification) -> NDArray[np.str_]:
    """Names of measured stabilities; UNKNOWN only where the measure could not be computed.

    Parameters
    ----------
    score_ci_low : shape (n,), lower bound of Nogueira's measure.
    persistence_ci_high : shape (n,), upper bound of the share of association that lasts; NaN is not held against.
    """
    with np.errstate(invalid="ignore"):
        moved = persistence_ci_high < bounds.min_persistence
        names = np.select(
            [np.isnan(score_ci_low), moved | (score_ci_low < bounds.drifting_lower_bound), score_ci_low < bounds.stable_lower_bound],
            [Stability.UNKNOWN.value, Stability.DIVERGED.value, Stability.DRIFTING.value],
            Stability.STABLE.value,
        )
    return np.asarray(names)


def measure_stability(panel: Panel, selection: pd.DataFrame, audit: pd.DataFrame, config: Config, earlier: pd.DataFrame | None = None) -> pd.DataFrame:
    """Stability of every target's pooled side and of every pair's own side.

    Parameters
    ----------
    selection, audit : the targets that are routed, and the features that the audit leaves each of them.
    earlier : an earlier plan's stability table; a drop of the measure against it is DRIFTING or DIVERGED.

    Returns
    -------
    One row a side, columns `STABILITY_COLUMNS`; symbol is None on the pooled side.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for target in dict.fromkeys(selection["target"]):
        groups.setdefault(allowed_features(audit, target, panel.feature_names), []).append(target)
    frames = [_measure_group(panel, targets, names, config) for names, targets in groups.items()]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(STABILITY_COLUMNS))
    table = table.sort_values(["target", "mode", "symbol"], kind="stable", na_position="first").reset_index(drop=True)
    return table if earlier is None else _against_earlier(table, earlier, config.routing.stability_classification)


def _measure_group(panel: Panel, targets: Sequence[str], names: Sequence[str], config: Config) -> pd.DataFrame:
    bounds = config.routing.stability_classification
    codes = panel.feature_codes(tuple(names))
    moments = _block_moments(panel, targets, codes, bounds.n_blocks * SUB_BLOCKS)
    weights = _snapshot_weights(bounds, np.random.default_rng([config.seed, 13]))
    clusters = _clusters(panel, codes, bounds.cluster_correlation)
    rows = []
    for position, target in enumerate(targets):
        per_symbol = moments.of_target(position)
        for sides, symbols in ((per_symbol.pooled(), [None]), (per_symbol, list(panel.symbols))):
            rows.append(_side_frame(target, symbols, sides, weights, clusters, config))
    return pd.concat(rows, ignore_index=True)


def _side_frame(target: str, symbols: Sequence[str | None], moments: "_Moments", weights: Floats, clusters: NDArray[np.int64], config: Config) -> pd.DataFrame:
    bounds = config.routing.stability_classification
    association = _by_cluster(np.abs(moments.correlations(weights)), clusters)
    n_clusters = association.shape[-1]
    top = max(1, min(bounds.top_k, -(-n_clusters // 4)))
    order = np.argsort(-np.nan_to_num(association, nan=-1.0), axis=-1, kind="stable")[..., :top]
    selections = np.zeros(association.shape, bool)
    np.put_along_axis(selections, order, True, axis=-1)
    usable = np.isfinite(association).any(axis=-1)
    measured = usable.all(axis=-1) & (n_clusters > top)
    agreement = nogueira(selections, config.scoring.confidence)
    low = np.where(measured, agreement.ci_low, np.nan)
    persistence, persistence_high = _persistence(moments, clusters, config)
    overlap = _pairwise_overlap(selections)
    tau = _pairwise_tau(association.reshape(len(symbols), bounds.n_blocks, bounds.n_bootstraps, n_clusters).mean(axis=2))
    return pd.DataFrame(
        {
            "target": target,
            "symbol": list(symbols),
            "mode": "CROSS_SECTIONAL" if symbols == [None] else "SYMBOL_SPECIFIC",
            "stability": classify(low, persistence_high, bounds),
            "stability_score": np.where(measured, agreement.score, np.nan),
            "stability_ci_low": low,
            "mean_overlap": np.where(measured, overlap[0], np.nan),
            "std_overlap": np.where(measured, overlap[1], np.nan),
            "mean_tau": np.where(measured, tau[0], np.nan),
            "std_tau": np.where(measured, tau[1], np.nan),
            "n_snapshots": np.where(measured, weights.shape[0], 0),
            "persistence": persistence,
            "persistence_ci_high": persistence_high,
        }
    )


@dataclass(frozen=True)
class _Moments:
    """Sums by symbol and sub-block: rows n, features x and x^2, labels y and y^2, products xy.

    Shapes (n_symbols, n_sub_blocks) for n, y, yy; with a last axis n_features for x, xx, xy.
    """

    n: Floats
    x: Floats
    xx: Floats
    y: Floats
    yy: Floats
    xy: Floats

    def pooled(self) -> "_Moments":
        return _Moments(*(getattr(self, name).sum(axis=0, keepdims=True) for name in ("n", "x", "xx", "y", "yy", "xy")))

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


@dataclass(frozen=True)
class _GroupMoments:
    moments: tuple[_Moments, ...]

    def of_target(self, position: int) -> _Moments:
        return self.moments[position]


def _block_moments(panel: Panel, targets: Sequence[str], codes: NDArray[np.int64], n_sub_blocks: int) -> _GroupMoments:
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
    return _GroupMoments(tuple(_Moments(**one) for one in sums))


def _numeric_label(panel: Panel, target: str) -> Floats:
    """One column: the label clipped to its 1st and 99th percentile, class codes as they are ordered; NaN outside the rows before the holdout."""
    code = panel.target_code(target)
    columns = label_columns(panel, target)
    label = columns[:, 0] if columns.shape[1] == 1 else np.asarray(panel.labels[code], np.float64)
    label = np.where(pre_holdout_mask(panel.holdout_start_code, panel.label_end_codes[code]), label, np.nan)
    known = label[np.isfinite(label)]
    if known.size:
        label = np.clip(label, *np.quantile(known, [0.01, 0.99])) if np.unique(known[:50]).size > 2 else label
        label = label - known.mean()
    return label


def _snapshot_weights(bounds: StabilityClassification, generator: np.random.Generator) -> Floats:
    """Shape (n_blocks x n_bootstraps, n_sub_blocks): each snapshot draws sub-blocks of one sliding stretch of time with replacement."""
    n_sub_blocks = bounds.n_blocks * SUB_BLOCKS
    length = max(2, round(bounds.window_fraction * n_sub_blocks))
    weights = np.zeros((bounds.n_blocks, bounds.n_bootstraps, n_sub_blocks))
    for block, start in enumerate(np.linspace(0, n_sub_blocks - length, bounds.n_blocks).round().astype(int)):
        weights[block, :, start : start + length] = generator.multinomial(length, np.full(length, 1.0 / length), bounds.n_bootstraps)
    return weights.reshape(-1, n_sub_blocks)


def _persistence(moments: _Moments, clusters: NDArray[np.int64], config: Config) -> tuple[Floats, Floats]:
    """How much of the association of the earlier half is there in the later half, and its upper bound.

    The cross product of the two halves' associations over the mean of their squares less what noise alone gives: 1 where the
    association stays, 0 where it moves to other features, -1 where it turns round. The bound is the bootstrap's over sub-blocks; NaN where there is
    no association to speak of.
    """
    n_sub_blocks, n_draws = moments.n.shape[1], 40
    generator = np.random.default_rng([config.seed, 17])
    half = n_sub_blocks // 2
    weights = np.zeros((2, n_draws + 1, n_sub_blocks))
    for part, (start, stop) in enumerate(((0, half), (half, n_sub_blocks))):
        weights[part, 0, start:stop] = 1.0
        weights[part, 1:, start:stop] = generator.multinomial(stop - start, np.full(stop - start, 1.0 / (stop - start)), n_draws)
    association = moments.correlations(weights.reshape(-1, n_sub_blocks))
    signed = _strongest_of_cluster(association, clusters).reshape(association.shape[0], 2, n_draws + 1, -1)
    noise = signed[:, :, 1:].var(axis=2)
    early, late = signed[:, 0], signed[:, 1]
    cross = (early * late).sum(axis=-1)
    energy = (0.5 * (early**2 + late**2)).sum(axis=-1)
    point_energy = energy[:, 0] - 0.5 * noise.sum(axis=(1, 2))
    # A bootstrap draw carries the sample's noise and its own: subtract both.
    drawn_energy = energy[:, 1:] - noise.sum(axis=(1, 2))[:, None]
    spread = (cross[:, 1:] - 0.0).std(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        clear = point_energy > 2.0 * drawn_energy.std(axis=1)
        value = np.where(clear, cross[:, 0] / np.where(clear, point_energy, 1.0), np.nan)
        high = value + special.ndtri(config.scoring.confidence) * spread / np.where(clear, point_energy, np.nan)
    return value, high


def _clusters(panel: Panel, codes: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Cluster number of each feature: average-linkage groups of features whose absolute correlation exceeds the threshold."""
    rows = np.flatnonzero(panel.time_codes < panel.holdout_start_code)
    rows = rows[:: max(1, rows.size // 20_000)]
    if codes.size < 2 or rows.size < 10:
        return np.arange(codes.size)
    z = np.stack([panel.features[code][rows] for code in codes]).astype(np.float64)
    z -= np.nanmean(z, axis=1, keepdims=True) if z.size else 0.0
    z = np.nan_to_num(z)
    norms = np.sqrt((z**2).sum(axis=1))
    z /= np.where(norms > 0, norms, 1.0)[:, None]
    distance = np.clip(1.0 - np.abs(z @ z.T), 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    tree = hierarchy.linkage(squareform(distance, checks=False), method="average")
    return np.asarray(hierarchy.fcluster(tree, 1.0 - threshold, criterion="distance") - 1, np.int64)


def _by_cluster(association: Floats, clusters: NDArray[np.int64]) -> Floats:
    """Largest association in each cluster; shape (..., n_clusters)."""
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], np.arange(clusters.max() + 1))
    return np.asarray(np.maximum.reduceat(association[..., order], starts, axis=-1))


def _strongest_of_cluster(association: Floats, clusters: NDArray[np.int64]) -> Floats:
    """Signed association of the member that is strongest over all snapshots; shape (..., n_clusters)."""
    strength = np.nan_to_num(np.abs(association)).mean(axis=1)
    best = np.stack([np.flatnonzero(clusters == c)[strength[:, clusters == c].argmax(axis=1)] for c in range(clusters.max() + 1)], axis=-1)
    return np.asarray(np.take_along_axis(association, best[:, None, :], axis=-1))


def _pairwise_overlap(selections: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of Jaccard's overlap over all pairs of snapshots; shape (n_sides,) each."""
    chosen = selections.astype(np.float32)
    common = chosen @ np.swapaxes(chosen, -1, -2)
    sizes = chosen.sum(axis=-1)
    union = sizes[..., :, None] + sizes[..., None, :] - common
    first, second = np.triu_indices(selections.shape[-2], 1)
    overlap = (common / np.maximum(union, 1.0))[..., first, second].astype(np.float64)
    return overlap.mean(axis=-1), overlap.std(axis=-1)


def _pairwise_tau(association: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of Kendall's tau between blocks' importance orders; shape (n_sides,) each.

    Parameters
    ----------
    association : shape (n_sides, n_blocks, n_clusters).
    """
    n_clusters = association.shape[-1]
    first, second = np.triu_indices(n_clusters, 1)
    if first.size == 0:
        nothing = np.full(association.shape[0], np.nan)
        return nothing, nothing
    signs = np.sign(association[..., first] - association[..., second])
    tau = signs @ np.swapaxes(signs, -1, -2) / first.size
    one, other = np.triu_indices(association.shape[1], 1)
    return tau[..., one, other].mean(axis=-1), tau[..., one, other].std(axis=-1)


def _against_earlier(table: pd.DataFrame, earlier: pd.DataFrame, bounds: StabilityClassification) -> pd.DataFrame:
    """Lower the stability of sides whose measure fell against an earlier plan's."""
    keys = ["target", "mode", "symbol"]
    before = earlier[[*keys, "stability_score"]].rename(columns={"stability_score": "earlier_score"})
    joined = table.merge(before, on=keys, how="left")
    drop = (joined["earlier_score"] - joined["stability_score"]).to_numpy(float)
    with np.errstate(invalid="ignore"):
        diverged, drifting = drop > 2 * bounds.max_drop, drop > bounds.max_drop
    names = table["stability"].to_numpy(str)
    names = np.where(diverged & (names != Stability.UNKNOWN.value), Stability.DIVERGED.value, names)
    names = np.where(drifting & (names == Stability.STABLE.value), Stability.DRIFTING.value, names)
    return table.assign(stability=names)
