"""Panels whose truth is known because it was drawn: noise, shared, own, opposite, mixed and moving signals, and the routing of them.

Features and labels are supplied as they are; no bar, feature builder or target builder takes part, so that a false route is the statistics' own.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from config.schema import Config
from config.sections.base import TaskType
from routing_assets.decisions.policy import decisions_table, route_candidates
from routing_assets.evidence.candidates import build_candidates
from routing_assets.evidence.stability import measure_stability
from training_assets.leakage.status import AUDIT_COLUMNS
from training_assets.panel.alignment import align_bars
from training_assets.panel.build import build_panel
from training_assets.panel.panel import FeatureInfo, Panel, TargetInfo

DAY_NS = 86_400_000_000_000
FIRST_NS = 946_857_600_000_000_000  # 2000-01-03


@dataclass(frozen=True)
class Label:
    """One target: `values` of shape (n_symbols, n_rows), looking `horizon_bars` ahead."""

    name: str
    values: np.ndarray
    horizon_bars: int = 1
    binary: bool = False


def autoregressive(rng: np.random.Generator, persistence: np.ndarray, n_symbols: int, n_rows: int, shared: float = 0.0) -> np.ndarray:
    """Unit-variance AR(1) features, shape (n_features, n_symbols, n_rows); a share of the variance of each is common to all symbols.

    Parameters
    ----------
    persistence : shape (n_features,), coefficient of each; 0 is white.
    """
    shape = (persistence.size, n_symbols, n_rows)
    shocks = np.sqrt(1.0 - shared) * rng.normal(size=shape) + np.sqrt(shared) * rng.normal(size=(shape[0], 1, n_rows))
    scale = np.sqrt(1.0 - persistence**2)[:, None]
    out = np.empty(shape, np.float32)
    state = shocks[..., 0]
    out[..., 0] = state
    for row in range(1, n_rows):
        state = persistence[:, None] * state + scale * shocks[..., row]
        out[..., row] = state
    return out


def persistences(rng: np.random.Generator, n_features: int) -> np.ndarray:
    """Half of the coefficients in [0.9, 0.99], half white."""
    return np.where(np.arange(n_features) % 2 == 0, rng.uniform(0.9, 0.99, n_features), 0.0)


def overlapping_noise(rng: np.random.Generator, n_symbols: int, n_rows: int, horizon_bars: int, shared: float = 0.0) -> np.ndarray:
    """Sums of the next `horizon_bars` shocks, unit variance, shape (n_symbols, n_rows); a share of the shocks is common to all symbols."""
    width = n_rows + horizon_bars
    shocks = np.sqrt(1.0 - shared) * rng.normal(size=(n_symbols, width)) + np.sqrt(shared) * rng.normal(size=(1, width))
    sums = np.cumsum(shocks, axis=1)
    return (sums[:, horizon_bars:] - sums[:, :-horizon_bars]) / np.sqrt(horizon_bars)


def panel_of(features: np.ndarray, labels: list[Label], first_rows: np.ndarray | None = None, holdout_fraction: float = 0.15, seed: int = 0) -> Panel:
    """A daily panel of drawn features and labels.

    Parameters
    ----------
    features : shape (n_features, n_symbols, n_rows).
    first_rows : shape (n_symbols,), the row each symbol starts at; None is 0 for all.
    """
    n_features, n_symbols, n_rows = features.shape
    first = np.zeros(n_symbols, np.int64) if first_rows is None else first_rows
    present = np.arange(n_rows)[None, :] >= first[:, None]
    times = np.broadcast_to(np.arange(n_rows), present.shape)
    values, ends, infos = [], [], []
    for label in labels:
        known = present & (times + label.horizon_bars < n_rows)
        value = (label.values > 0).astype(float) if label.binary else label.values
        values.append(np.where(known, value, np.nan)[present])
        ends.append(np.where(known, times + label.horizon_bars, -1)[present])
        task = TaskType.BINARY_CLASSIFICATION if label.binary else TaskType.REGRESSION
        infos.append(TargetInfo(label.name, task, label.horizon_bars, label.horizon_bars * 1440, "supplied", "drawn", (0.0, 1.0) if label.binary else ()))
    return Panel(
        symbols=tuple(f"S{number:03d}" for number in range(n_symbols)),
        times_ns=FIRST_NS + DAY_NS * np.arange(n_rows, dtype=np.int64),
        symbol_offsets=np.r_[0, np.cumsum(present.sum(axis=1))].astype(np.int64),
        time_codes=times[present].astype(np.int32),
        session_codes=np.zeros(n_rows, np.int32),
        interval_minutes=1440,
        feature_infos=tuple(FeatureInfo(f"f{number:02d}", 1, 0, False, "supplied") for number in range(n_features)),
        features=np.ascontiguousarray(features[:, present], np.float32),
        target_infos=tuple(infos),
        labels=np.stack(values).astype(np.float32),
        label_end_codes=np.stack(ends).astype(np.int32),
        bar_values=np.ones((5, int(present.sum())), np.float32),
        holdout_start_code=round(n_rows * (1.0 - holdout_fraction)),
        data_hash=f"{seed:016x}",
    )


def routed(panel: Panel, config: Config) -> pd.DataFrame:
    """Candidates and routes of every pair: `decisions_table` beside the candidates' own columns; every feature counts as audited and safe."""
    every = [(target, feature, rank, True, True) for target in panel.target_names for rank, feature in enumerate(panel.feature_names, 1)]
    selection = pd.DataFrame(every, columns=["target", "feature", "rank", "selected", "given"])
    audit = audited_safe(panel)
    candidates = build_candidates(panel, selection, audit, measure_stability(panel, selection, audit, config), config)
    decisions = decisions_table(route_candidates(candidates, config.routing)).to_pandas()
    table = candidates.table.to_pandas()
    cross = table[table["mode"] == "CROSS_SECTIONAL"].set_index("target")[["score", "p_value", "q_value", "stability"]].add_prefix("cs_")
    local = table[table["mode"] != "CROSS_SECTIONAL"].drop(columns="q_value")
    return decisions.merge(local, on=["target", "symbol"], validate="one_to_one").merge(cross, left_on="target", right_index=True)


def audited_safe(panel: Panel) -> pd.DataFrame:
    """An audit that looked at every target and found nothing."""
    found_nothing = {
        "symbol": None,
        "feature": None,
        "detector": "none",
        "statistic": 0.0,
        "threshold": 0.0,
        "status": "SAFE",
        "accepted": False,
        "message": "",
    }
    return pd.DataFrame([{"target": target, **found_nothing} for target in panel.target_names]).reindex(columns=list(AUDIT_COLUMNS))


def noise_panel(seed: int, n_rows: int, n_symbols: int, shared: float, n_targets: int = 4, n_features: int = 20, horizon_bars: int = 12) -> Panel:
    """Targets and features without any relation; `shared` is the share of both that all symbols have in common."""
    rng = np.random.default_rng([seed, n_rows])
    features = autoregressive(rng, persistences(rng, n_features), n_symbols, n_rows, shared)
    labels = [Label(f"noise{code}_12b", overlapping_noise(rng, n_symbols, n_rows, horizon_bars, shared), horizon_bars) for code in range(n_targets)]
    return panel_of(features, labels, seed=seed)


def persistent_noise_panel(seed: int, n_rows: int, n_symbols: int, decay: float, shared: float = 0.0, horizon_bars: int = 10) -> Panel:
    """Labels that persist beyond their horizon, as volatilities do (means of the next bars of AR(1) states), beside features that persist as long."""
    rng = np.random.default_rng([seed, n_rows, 3])
    features = autoregressive(rng, np.where(np.arange(12) % 2 == 0, decay, 0.0), n_symbols, n_rows, shared)
    states = np.cumsum(autoregressive(rng, np.full(3, decay), n_symbols, n_rows + horizon_bars, shared), axis=2)
    means = (states[..., horizon_bars:] - states[..., :-horizon_bars]) / horizon_bars
    labels = [Label(f"level{code}_{horizon_bars}b", values, horizon_bars) for code, values in enumerate(means)]
    return panel_of(features, labels, seed=seed)


def binary_noise(seed: int, n_rows: int, n_symbols: int) -> Panel:
    """Noise features, and the sign of 12-bar overlapping noise."""
    rng = np.random.default_rng([seed, n_rows, 2])
    features = autoregressive(rng, persistences(rng, 20), n_symbols, n_rows)
    labels = [Label(f"up{code}_12b", overlapping_noise(rng, n_symbols, n_rows, 12), 12, binary=True) for code in range(2)]
    return panel_of(features, labels, seed=seed)


def planted_panel(kind: str, strength: float, seed: int, n_symbols: int = 40, n_rows: int = 2_520, n_features: int = 12, beside_noise: bool = False) -> Panel:
    """One-bar labels with a signal of information coefficient `strength`; 2,520 rows leave 1,500 that are scored.

    Parameters
    ----------
    kind : `shared` (one feature, one sign), `own` (each symbol a feature and a sign of its own), `opposite` (one feature, the sign of every other symbol
        turned), `mixed` (shared and own), `short` (shared, and every fourth symbol starts 250 bars before the holdout).
    """
    rng = np.random.default_rng([seed, 7])
    features = autoregressive(rng, persistences(rng, n_features), n_symbols, n_rows)
    weights, numbers = np.zeros((n_symbols, n_features)), np.arange(n_symbols)
    common, own, signs = rng.choice(n_features), rng.choice(n_features, n_symbols), rng.choice([-1.0, 1.0], n_symbols)
    if kind in ("shared", "mixed", "short"):
        weights[:, common] += 1.0
    if kind in ("own", "mixed"):
        weights[numbers, own] += signs
    if kind == "opposite":
        weights[:, common] += np.where(numbers % 2, 1.0, -1.0)
    signal = np.einsum("fsn,sf->sn", features, weights)
    signal /= np.maximum(signal.std(axis=1, keepdims=True), 1e-9)
    values = strength * signal + np.sqrt(1.0 - strength**2) * rng.normal(size=signal.shape)
    labels = [Label("y_1b", values), *([Label("noise_1b", rng.normal(size=signal.shape))] if beside_noise else [])]
    first = np.where(numbers % 4 == 0, round(n_rows * 0.85) - 250, 0) if kind == "short" else None
    return panel_of(features, labels, first, seed=seed)


def moving_panel(
    strength: float, seed: int, n_symbols: int = 40, n_rows: int = 2_520, n_features: int = 12, moves_at: float = 0.5, horizon_bars: int = 1
) -> Panel:
    """A shared signal that is carried by one feature up to the share `moves_at` of the time before the holdout, and by another one afterwards."""
    rng = np.random.default_rng([seed, 8])
    features = autoregressive(rng, persistences(rng, n_features), n_symbols, n_rows)
    first, second = rng.choice(n_features, 2, replace=False)
    signal = np.where(np.arange(n_rows) < n_rows * 0.85 * moves_at, features[first], features[second])
    noise = overlapping_noise(rng, n_symbols, n_rows, horizon_bars)
    return panel_of(features, [Label(f"y_{horizon_bars}b", strength * signal + noise, horizon_bars)], seed=seed)


def grid_panel(n_rows: int, heterogeneity: float, seed: int, n_symbols: int = 30, n_features: int = 20, strength: float = 0.1) -> Panel:
    """Dense linear signals of which the share `heterogeneity` is each symbol's own."""
    rng = np.random.default_rng([seed, n_rows, 9])
    features = rng.normal(size=(n_features, n_symbols, n_rows)).astype(np.float32)
    weights = np.sqrt(1.0 - heterogeneity) * rng.normal(size=n_features) + np.sqrt(heterogeneity) * rng.normal(size=(n_symbols, n_features))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    values = strength * np.einsum("fsn,sf->sn", features, weights) + rng.normal(size=(n_symbols, n_rows))
    return panel_of(features, [Label("y_1b", values)], seed=seed)


def random_walk_panel(config: Config, seed: int, n_symbols: int, n_rows: int, shared: float = 0.3) -> Panel:
    """Bars of random walks with a common factor, through the built-in features and targets of the configuration."""
    rng = np.random.default_rng([seed, 10])
    market, frames = rng.normal(size=n_rows), {}
    for number in range(n_symbols):
        close = 100.0 * np.exp(np.cumsum(0.01 * (np.sqrt(shared) * market + np.sqrt(1.0 - shared) * rng.normal(size=n_rows))))
        opened = np.r_[100.0, close[:-1]]
        high = np.maximum(opened, close) * np.exp(0.003 * np.abs(rng.normal(size=n_rows)))
        low = np.minimum(opened, close) * np.exp(-0.003 * np.abs(rng.normal(size=n_rows)))
        times = pd.bdate_range("2000-01-03", periods=n_rows, tz="UTC")
        volume = 1e6 * np.exp(rng.normal(size=n_rows))
        frames[f"S{number:02d}"] = pd.DataFrame({"timestamp": times, "open": opened, "high": high, "low": low, "close": close, "volume": volume})
    bars = align_bars(frames, config.data, config.targets).bars
    return build_panel(bars, config, f"{seed:016x}").panel
