"""Synthetic markets of any size in files, seeded: one factor, volatility that clusters and is shared, a little momentum of the symbol's own.

Belongs here: bars and the settings that limit features and targets to a number. Does not: any measurement.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from training_assets.panel.features.registry import FEATURES

# One a builder and horizon, so that no two share everything but some share their missing labels, as configured targets do.
TARGETS = (
    ("forward_return", "5d"),
    ("forward_direction", "5d"),
    ("cross_sectional_percentile", "5d"),
    ("forward_realized_volatility", "10d"),
    ("volatility_rise", "10d"),
    ("triple_barrier", "10d"),
    ("forward_return", "21d"),
    ("forward_direction", "21d"),
    ("forward_realized_volatility", "21d"),
    ("market_excess_return", "5d"),
)


def write_market(folder: Path, n_symbols: int, n_bars: int, seed: int = 0) -> None:
    """Daily bars of `n_symbols` symbols as one Parquet file each; every tenth symbol starts late, by up to half of the bars."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng([seed, n_symbols, n_bars])
    times = pd.bdate_range("2005-01-03", periods=n_bars, tz="UTC", name="timestamp")
    volatility = np.exp(_persistent(generator, n_bars, 0.98, 0.35))
    market = 0.009 * volatility * generator.normal(size=n_bars)
    for number in range(n_symbols):
        own = np.exp(_persistent(generator, n_bars, 0.95, 0.3))
        returns = generator.uniform(0.6, 1.4) * market + 0.014 * volatility * own * generator.normal(size=n_bars)
        returns[1:] += 0.03 * returns[:-1]
        first = int(generator.integers(1, n_bars // 2)) if number % 10 == 9 else 0
        bars = _bars(generator, returns, own * volatility)
        pd.DataFrame(bars, index=times).iloc[first:].reset_index().to_parquet(folder / f"SYM{number:05d}.parquet", index=False)


def settings_of(n_features: int, n_targets: int) -> list[str]:
    """`--set` options for the first features of the registry and the first targets of `TARGETS`, all of which are routed."""
    daily = [feature.name for feature in FEATURES if feature.clock == "any" and feature.reach_bars <= 252]
    if n_features > len(daily) or n_targets > len(TARGETS):
        raise ValueError(f"at most {len(daily)} features and {len(TARGETS)} targets, not {n_features} and {n_targets}")
    # Evenly over the registry, so that every theme takes part in proportion.
    chosen = [daily[code] for code in np.linspace(0, len(daily) - 1, n_features).round().astype(int)]
    targets = ", ".join(f"{{builder: {builder}, horizon: {horizon}}}" for builder, horizon in TARGETS[:n_targets])
    return [f"features.include=[{', '.join(chosen)}]", f"targets.builtin=[{targets}]", "targets.auto_rank=false"]


def _persistent(generator: np.random.Generator, n: int, persistence: float, size: float) -> np.ndarray:
    """An AR(1) series of standard deviation `size`."""
    from scipy.signal import lfilter

    shocks = size * np.sqrt(1.0 - persistence**2) * generator.normal(size=n)
    return np.asarray(lfilter([1.0], [1.0, -persistence], shocks))


def _bars(generator: np.random.Generator, returns: np.ndarray, activity: np.ndarray) -> dict[str, np.ndarray]:
    close = 50.0 * np.exp(np.cumsum(returns))
    opened = np.r_[close[0], close[:-1]] * np.exp(0.002 * generator.normal(size=close.size))
    spread = np.abs(generator.normal(size=(2, close.size))) * 0.006 * activity
    high, low = np.maximum(opened, close) * np.exp(spread[0]), np.minimum(opened, close) * np.exp(-spread[1])
    volume = np.round(1e6 * activity * np.exp(0.3 * generator.normal(size=close.size)))
    return {"open": opened, "high": high, "low": low, "close": close, "volume": volume}
