"""Targets that hold a symbol's return against the other symbols' of the same timestamp.

Belongs here: ranks, scores and excess over the cross-section. Does not: anything within one symbol.

A cross-section holds the symbols whose own label is complete at that timestamp, and no other. It is known when the last
of them is, so every label of a timestamp ends at the latest of their ends (missing bars make them differ).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import Labels, Params, Target
from training_assets.panel.targets.returns import simple_return
from training_assets.panel.targets.windows import Mask, Values, Windows, label_windows, trailing_volatility

MAD_TO_SIGMA = 1.4826  # of a normal distribution
SMALLEST_SPREAD = 1e-12


@dataclass(frozen=True)
class CrossSection:
    """Returns at the timestamps where enough symbols have one.

    Attributes
    ----------
    windows : the label windows.
    returns : shape (n_rows,), simple return over the horizon, NaN where the row is in no cross-section.
    member : shape (n_rows,), where it is.
    codes : shape (n_rows,), the rows' time codes.
    end_codes : shape (n_rows,), the latest end among the symbols of the timestamp, -1 where there is none.
    """

    windows: Windows
    returns: Values
    member: Mask
    codes: NDArray[np.int32]
    end_codes: NDArray[np.int32]


def cross_section(bars: Bars, horizon_bars: int, min_symbols: int, cross_sessions: bool, max_window_stretch: float) -> CrossSection:
    """Gather the returns of each timestamp that at least `min_symbols` symbols have a complete label at."""
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    returns = simple_return(bars, horizon_bars)
    member = windows.complete & np.isfinite(returns)
    n_symbols = np.bincount(bars.time_codes[member], minlength=bars.times_ns.size)
    latest = np.full(bars.times_ns.size, -1, np.int32)
    np.maximum.at(latest, bars.time_codes[member], windows.end_codes[member])
    member &= n_symbols[bars.time_codes] >= min_symbols
    return CrossSection(windows, np.where(member, returns, np.nan), member, bars.time_codes, latest[bars.time_codes])


def percentile_by_time(codes: NDArray[np.int32], values: Values) -> Values:
    """Mid-rank of each value among those of the same code, over their number: in (0, 1), mean 0.5; ties share their mean."""
    order = np.lexsort((values, codes))
    ordered_codes, ordered = codes[order], values[order]
    new_group = _differs_from_last(ordered_codes)
    new_tie = new_group | _differs_from_last(ordered)
    group_start, group_size = _runs(new_group)
    tie_start, tie_size = _runs(new_tie)
    percentile = np.empty(values.size)
    percentile[order] = (tie_start - group_start + tie_size / 2.0) / group_size
    return percentile


def median_by_time(codes: NDArray[np.int32], values: Values) -> Values:
    """Median of the values of the same code, on every row."""
    order = np.lexsort((values, codes))
    ordered_codes, ordered = codes[order], values[order]
    start, size = _runs(_differs_from_last(ordered_codes))
    median = np.empty(values.size)
    median[order] = 0.5 * (ordered[start + (size - 1) // 2] + ordered[start + size // 2])
    return median


def excess_return(section: CrossSection) -> Values:
    """Return less the mean return of the timestamp's cross-section, equally weighted, the symbol itself included."""
    codes, values = section.codes[section.member], section.returns[section.member]
    mean = np.bincount(codes, values) / np.maximum(np.bincount(codes), 1)
    return _on_rows(section, values - mean[codes])


def _cross_sectional_percentile(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    section = cross_section(bars, horizon_bars, int(params["min_symbols"]), cross_sessions, max_window_stretch)
    ranks = percentile_by_time(section.codes[section.member], section.returns[section.member])
    return section.windows.labels(_on_rows(section, ranks), section.end_codes)


def _cross_sectional_z_score(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    section = cross_section(bars, horizon_bars, int(params["min_symbols"]), cross_sessions, max_window_stretch)
    codes, values = section.codes[section.member], section.returns[section.member]
    distance = values - median_by_time(codes, values)
    spread = MAD_TO_SIGMA * median_by_time(codes, np.abs(distance))
    # A spread of rounding size is no spread: at least half of the symbols moved exactly alike.
    score = np.divide(distance, spread, out=np.full_like(distance, np.nan), where=spread > SMALLEST_SPREAD)
    clip = float(params["clip"])
    return section.windows.labels(_on_rows(section, np.clip(score, -clip, clip)), section.end_codes)


def _market_excess_return(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    section = cross_section(bars, horizon_bars, int(params["min_symbols"]), cross_sessions, max_window_stretch)
    return section.windows.labels(excess_return(section), section.end_codes)


def _market_excess_direction(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    """Below, within or above a neutral band of `k` sigmas of the horizon about the market.

    The band is a class of its own: to drop the rows in it would choose rows by their outcome.
    """
    section = cross_section(bars, horizon_bars, int(params["min_symbols"]), cross_sessions, max_window_stretch)
    excess = excess_return(section)
    band = float(params["k"]) * trailing_volatility(bars, int(params["volatility_bars"]), cross_sessions) * np.sqrt(horizon_bars)
    codes = 1.0 + (excess > band) - (excess < -band)
    return section.windows.classes(codes, np.isfinite(excess) & np.isfinite(band), section.end_codes)


def _on_rows(section: CrossSection, member_values: Values) -> Values:
    values = np.full(section.member.size, np.nan)
    values[section.member] = member_values
    return values


def _differs_from_last(values: NDArray[np.generic]) -> Mask:
    differs = np.ones(values.size, bool)
    differs[1:] = values[1:] != values[:-1]
    return differs


def _runs(new: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.flatnonzero(new)
    sizes = np.diff(np.r_[starts, new.size])
    return np.repeat(starts, sizes), np.repeat(sizes, sizes)


CROSS_SECTION_TARGETS = (
    Target(
        "cross_sectional_percentile",
        TaskType.REGRESSION,
        (),
        True,
        {"min_symbols": 3},
        _cross_sectional_percentile,
        "Mid-rank of the return among the symbols of the timestamp, in (0, 1).",
    ),
    Target(
        "cross_sectional_z_score",
        TaskType.REGRESSION,
        (),
        True,
        {"min_symbols": 3, "clip": 5.0},
        _cross_sectional_z_score,
        "Distance of the return from the timestamp's median in scaled median absolute deviations, clipped.",
    ),
    Target(
        "market_excess_return",
        TaskType.REGRESSION,
        (),
        True,
        {"min_symbols": 3},
        _market_excess_return,
        "Return less the equally weighted mean of the timestamp.",
    ),
    Target(
        "market_excess_direction",
        TaskType.MULTICLASS_CLASSIFICATION,
        (-1.0, 0.0, 1.0),
        True,
        {"min_symbols": 3, "k": 0.5, "volatility_bars": 20},
        _market_excess_direction,
        "Below, within or above a neutral band of k sigmas about the market's return.",
    ),
)
