"""Synthetic bars for the tests of features: ragged, with gaps, and hostile on request."""

from dataclasses import replace

import numpy as np

from training_assets.panel.panel import Bars

DAY_NS = 86_400_000_000_000
HOUR_NS = 3_600_000_000_000
START_NS = 1_577_923_200_000_000_000  # 2020-01-02, a Thursday


def ragged_bars(seed: int = 0, n_times: int = 420, n_symbols: int = 6, hourly: bool = False) -> Bars:
    """Random walks whose symbols start and end at different times and miss bars; the last symbol has one bar only."""
    rng = np.random.default_rng(seed)
    kept = rng.random((n_symbols, n_times)) > 0.03
    for symbol in range(n_symbols):
        kept[symbol, : 7 * symbol] = False
        kept[symbol, n_times - 5 * symbol :] = False
    kept[1, 300:312] = False
    kept[-1] = False
    kept[-1, n_times // 2] = True
    if hourly:
        day, hour = np.divmod(np.arange(n_times), 7)
        times = START_NS + day * DAY_NS + (14 + hour) * HOUR_NS
        sessions = day.astype(np.int32)
    else:
        week, day = np.divmod(np.arange(n_times), 5)
        times = START_NS + (7 * week + day) * DAY_NS
        sessions = np.zeros(n_times, np.int32)
    # A time that no symbol has a bar of is no time of these bars.
    used = kept.any(axis=0)
    kept, times, sessions = kept[:, used], times[used], sessions[used]
    codes = [np.flatnonzero(row).astype(np.int32) for row in kept]
    return Bars(
        symbols=tuple(f"S{symbol}" for symbol in range(n_symbols)),
        times_ns=times,
        symbol_offsets=np.concatenate([[0], np.cumsum([part.size for part in codes])]),
        time_codes=np.concatenate(codes),
        values=np.concatenate([walk(rng, part.size) for part in codes], axis=1),
        session_codes=sessions,
        interval_minutes=60 if hourly else 1_440,
        supplied_names=(),
        supplied=np.zeros((0, sum(part.size for part in codes))),
    )


def walk(rng: np.random.Generator, n_bars: int) -> np.ndarray:
    """Open, high, low, close and volume of a random walk, shape (5, n_bars)."""
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, n_bars)))
    open_ = close * np.exp(rng.normal(0.0, 0.01, n_bars))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, 0.005, n_bars)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, 0.005, n_bars)))
    return np.stack([open_, high, low, close, rng.lognormal(10.0, 0.5, n_bars)])


def only_symbol(bars: Bars, symbol: int) -> Bars:
    """The same bars and times with one symbol left."""
    rows = slice(int(bars.symbol_offsets[symbol]), int(bars.symbol_offsets[symbol + 1]))
    return replace(
        bars,
        symbols=(bars.symbols[symbol],),
        symbol_offsets=np.array([0, rows.stop - rows.start]),
        time_codes=bars.time_codes[rows],
        values=bars.values[:, rows],
        supplied=bars.supplied[:, rows],
    )


def with_values(bars: Bars, rows: np.ndarray, factor: np.ndarray) -> Bars:
    """The bars with the prices and volumes of some rows multiplied; a bar stays a valid bar."""
    values = bars.values.copy()
    values[:, rows] *= factor
    return replace(bars, values=values)
