"""Whether the same features carry a signal from one stretch of time to the next.

Belongs here: snapshots of feature selection, persistence of association, and the names STABLE, DRIFTING, DIVERGED, UNKNOWN. Does not:
measures of agreement (`agreement`), sums of the panel's rows (`block_moments`), or what a stability allows (`gates`).

Snapshots come from block bootstraps inside time blocks of the rows before the holdout; each selects the clusters of correlated features
most associated with the label. Nogueira, Sechidis & Brown 2018 (JMLR 18) corrects agreement for chance and has an interval. It cannot
tell a weak signal that stays from a strong one that moves, so the association of the earlier half is also held against that of the
later half, relative to the signal's own strength.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from config.schema import Config
from config.sections.base import Stability
from config.sections.routing import StabilityClassification
from routing_assets.evidence.agreement import nogueira, pairwise_overlap, pairwise_tau
from routing_assets.evidence.block_moments import BlockMoments, block_moments
from training_assets.leakage.status import allowed_features
from training_assets.panel.panel import Panel

Floats = NDArray[np.float64]

# Shares of the time before the holdout at which a signal may have moved.
CUTS = (0.4, 0.5, 0.6, 0.7)
SUB_BLOCKS = 8  # units of the block bootstrap inside one time block
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
    moments = block_moments(panel, targets, codes, bounds.n_blocks * SUB_BLOCKS)
    weights = _snapshot_weights(bounds, np.random.default_rng([config.seed, 13]))
    clusters = _clusters(panel, codes, bounds.cluster_correlation)
    rows = []
    for position, target in enumerate(targets):
        per_symbol = moments[position]
        pooled = _side_frame(target, [None], per_symbol.pooled(), weights, clusters, config)
        shared = float(pooled["persistence_ci_high"].iloc[0])
        rows += [pooled, _side_frame(target, list(panel.symbols), per_symbol, weights, clusters, config, shared)]
    return pd.concat(rows, ignore_index=True)


def _side_frame(
    target: str, symbols: Sequence[str | None], moments: BlockMoments, weights: Floats, clusters: NDArray[np.int64], config: Config, shared: float = np.nan
) -> pd.DataFrame:
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
    persistence, persistence_high = _persistence(moments, clusters, config, shared)
    overlap = pairwise_overlap(selections)
    tau = pairwise_tau(association.reshape(len(symbols), bounds.n_blocks, bounds.n_bootstraps, n_clusters).mean(axis=2))
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


def _snapshot_weights(bounds: StabilityClassification, generator: np.random.Generator) -> Floats:
    """Shape (n_blocks x n_bootstraps, n_sub_blocks): each snapshot draws sub-blocks of one sliding stretch of time with replacement."""
    n_sub_blocks = bounds.n_blocks * SUB_BLOCKS
    length = max(2, round(bounds.window_fraction * n_sub_blocks))
    weights = np.zeros((bounds.n_blocks, bounds.n_bootstraps, n_sub_blocks))
    for block, start in enumerate(np.linspace(0, n_sub_blocks - length, bounds.n_blocks).round().astype(int)):
        weights[block, :, start : start + length] = generator.multinomial(length, np.full(length, 1.0 / length), bounds.n_bootstraps)
    return weights.reshape(-1, n_sub_blocks)


def _persistence(moments: BlockMoments, clusters: NDArray[np.int64], config: Config, shared: float) -> tuple[Floats, Floats]:
    """How much of the association before some moment is there after it, and its upper bound, at the moment that speaks most for a move.

    A signal may move at any time, and what lies on the wrong side of the cut counts as lasting: several cuts are tried (`CUTS`), and the lowest bound
    counts. A signal that stays is many errors away from the bound at each of them, so that the choice costs little.

    Returns
    -------
    Shapes (n_sides,): 1 where the association stays, 0 where it moves to other features, -1 where it turns round; NaN where there is none to speak of.
    """
    cuts = [_persistence_at(round(cut * moments.n.shape[1]), moments, clusters, config, shared) for cut in CUTS]
    values, highs = (np.stack(part) for part in zip(*cuts, strict=True))
    lowest = np.where(np.isnan(highs), np.inf, highs).argmin(axis=0)[None, :]
    return np.take_along_axis(values, lowest, axis=0)[0], np.take_along_axis(highs, lowest, axis=0)[0]


def _persistence_at(cut: int, moments: BlockMoments, clusters: NDArray[np.int64], config: Config, shared: float) -> tuple[Floats, Floats]:
    """Persistence from the sub-blocks before `cut` to those after it.

    The cross product of the two parts' associations over the mean of their squares less what noise alone gives. The bound is the bootstrap's over
    sub-blocks. One symbol's rows seldom suffice to see a weak signal move; where they leave it open, the bound of all symbols' associations together
    holds for the symbol if it is lower, and `shared`, the bound of the pooled side's one association.
    """
    n_sub_blocks, n_draws = moments.n.shape[1], 40
    generator = np.random.default_rng([config.seed, 17])
    weights = np.zeros((2, n_draws + 1, n_sub_blocks))
    for part, (start, stop) in enumerate(((0, cut), (cut, n_sub_blocks))):
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
    value, half_width = _share(cross[:, 0], point_energy, spread, drawn_energy.std(axis=1), config.scoring.confidence)
    high = value + half_width
    if cross.shape[0] > 1 and np.isfinite(cross).all(axis=1).any():
        together = _share(*_over_symbols(cross, point_energy, drawn_energy), config.scoring.confidence)
        own_lasts = value - half_width >= config.routing.stability_classification.min_persistence
        high = np.where(own_lasts | np.isnan(cross[:, 0]), high, np.fmin(high, np.fmin(together[0] + together[1], shared)))
    return value, high


def _over_symbols(cross: Floats, point_energy: Floats, drawn_energy: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean cross product and energy over symbols and their errors, shape (1,) each; draws are of the same stretches of time for every symbol, so that what
    symbols have in common is in the errors."""
    known = np.isfinite(cross).all(axis=1) & np.isfinite(drawn_energy).all(axis=1)
    cross, energy, drawn = cross[known].mean(axis=0), point_energy[known].mean(keepdims=True), drawn_energy[known].mean(axis=0)
    return cross[:1], energy, cross[1:].std(keepdims=True), drawn.std(keepdims=True)


def _share(cross: Floats, energy: Floats, cross_error: Floats, energy_error: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Cross product over energy and its one-sided half width; NaN where the energy is not clear of its own error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.where(energy > 2.0 * energy_error, energy, np.nan)
    return cross / known, special.ndtri(confidence) * cross_error / known


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
