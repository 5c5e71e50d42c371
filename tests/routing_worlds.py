"""Panels whose truth is known because it was drawn: noise, shared, own, opposite, mixed and moving signals, and the routing of them.

Features and labels are supplied as they are; no bar, feature builder or target builder takes part, so that a false route is the statistics' own.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from config.schema import Config
from config.sections.base import TaskType
from routing_assets.candidates import build_candidates
from routing_assets.policy import decisions_table, route_candidates
from routing_assets.stability import measure_stability
from training_assets.leakage.status import empty_audit
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
    every = [(target, feature, rank, True) for target in panel.target_names for rank, feature in enumerate(panel.feature_names, 1)]
    selection = pd.DataFrame(every, columns=["target", "feature", "rank", "selected"])
    audit = audited_safe(panel)
    candidates = build_candidates(panel, selection, audit, measure_stability(panel, selection, audit, config), config)
    decisions = decisions_table(route_candidates(candidates, config.routing)).to_pandas()
    table = candidates.table.to_pandas()
    cross = table[table["mode"] == "CROSS_SECTIONAL"].set_index("target")[["score", "p_value", "q_value", "stability"]].add_prefix("cs_")
    local = table[table["mode"] != "CROSS_SECTIONAL"].drop(columns="q_value")
    return decisions.merge(local, on=["target", "symbol"], validate="one_to_one").merge(cross, left_on="target", right_index=True)


def audited_safe(panel: Panel) -> pd.DataFrame:
    """An audit that looked at every target and found nothing."""
    found_nothing = {"symbol": None, "feature": None, "detector": "none", "statistic": 0.0, "threshold": 0.0, "status": "SAFE", "accepted": False, "message": ""}
    return pd.DataFrame([{"target": target, **found_nothing} for target in panel.target_names])[list(empty_audit().columns)]
