"""Small panels of bars for the tests of targets: written out by hand, or random and ragged."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.panel import Bars

DAY_MINUTES = 1_440
MINUTE_NS = 60_000_000_000


def bars_from(series: dict[str, tuple[list[int], NDArray[np.float64]]], n_times: int, interval_minutes: int = DAY_MINUTES, session_length: int = 0) -> Bars:
    """Bars from time codes and an array of shape (4, n) of open, high, low, close for each symbol; sessions of equal length, or none."""
    codes = np.concatenate([np.array(times, np.int32) for times, _ in series.values()])
    prices = np.concatenate([values for _, values in series.values()], axis=1)
    offsets = np.r_[0, np.cumsum([len(times) for times, _ in series.values()])].astype(np.int64)
    sessions = (np.arange(n_times) // session_length if session_length else np.zeros(n_times)).astype(np.int32)
    times_ns = np.arange(n_times, dtype=np.int64) * interval_minutes * MINUTE_NS
    values = np.vstack([prices, np.full(prices.shape[1], 1_000.0)])
    return Bars(tuple(series), times_ns, offsets, codes, values, sessions, interval_minutes, (), np.zeros((0, codes.size)))


def flat_candles(closes: list[float]) -> NDArray[np.float64]:
    """Open, high, low and close all at the close."""
    return np.tile(np.array(closes, float), (4, 1))


def one_symbol(closes: list[float], **kwargs: int) -> Bars:
    """One symbol without gaps, candles without wicks."""
    return bars_from({"A": (list(range(len(closes))), flat_candles(closes))}, len(closes), **kwargs)


def with_prices(bars: Bars, highs: list[float] | None = None, lows: list[float] | None = None) -> Bars:
    """The same bars with other highs or lows."""
    values = bars.values.copy()
    if highs is not None:
        values[1] = highs
    if lows is not None:
        values[2] = lows
    return dataclasses.replace(bars, values=values)


def with_supplied(bars: Bars, **columns: list[float]) -> Bars:
    """The same bars with supplied columns."""
    return dataclasses.replace(bars, supplied_names=tuple(columns), supplied=np.array(list(columns.values()), float))


def random_bars(seed: int, n_symbols: int = 5, n_times: int = 160, interval_minutes: int = DAY_MINUTES, session_length: int = 0) -> Bars:
    """Random walks with wicks; symbols start and end at different times, and some bars are missing."""
    rng = np.random.default_rng(seed)
    series = {}
    for symbol in range(n_symbols):
        first, last = (0, n_times) if symbol == 0 else (int(rng.integers(0, n_times // 4)), int(rng.integers(3 * n_times // 4, n_times)))
        times = [code for code in range(first, last) if symbol == 0 or rng.random() > 0.04]
        close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, len(times))))
        opened = close * np.exp(rng.normal(0.0, 0.01, len(times)))
        high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 0.01, len(times))))
        low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 0.01, len(times))))
        series[f"S{symbol}"] = (times, np.vstack([opened, high, low, close]))
    return bars_from(series, n_times, interval_minutes, session_length)


def future_removed(bars: Bars, cut: int) -> tuple[Bars, NDArray[np.bool_]]:
    """The bars as they were known before time code `cut` opened, and the rows that are left."""
    kept = bars.time_codes < cut
    counts = np.add.reduceat(kept.astype(np.int64), bars.symbol_offsets[:-1])
    shorter = dataclasses.replace(
        bars,
        times_ns=bars.times_ns[:cut],
        session_codes=bars.session_codes[:cut],
        symbol_offsets=np.r_[0, np.cumsum(counts)].astype(np.int64),
        time_codes=bars.time_codes[kept],
        values=bars.values[:, kept],
        supplied=bars.supplied[:, kept],
    )
    return shorter, kept


def future_replaced(bars: Bars, cut: int, seed: int) -> Bars:
    """The same bars with wild prices from time code `cut` on."""
    rng = np.random.default_rng(seed)
    later = bars.time_codes >= cut
    values = bars.values.copy()
    values[:4, later] = np.sort(values[:4, later] * np.exp(rng.normal(0.0, 1.0, (4, int(later.sum())))), axis=0)[[1, 3, 0, 2]]
    return dataclasses.replace(bars, values=values)
