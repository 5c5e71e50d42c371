"""Look-ahead by truncation: a builder that uses the future changes the past when the future is taken away.

Belongs here: bars without their future, bars with a made-up one, and the comparison. Does not: which builders are audited, or a status.

The strongest test of look-ahead there is: everything is computed again with the bars from a cut on removed, and again with them replaced by
noise. What was known before the cut must not have changed, by not one bit: the tolerance is zero. It finds whatever reaches forward in
time, whichever way (centred windows, statistics of the whole sample, back-filling), but only for columns whose builder is at hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.features.base import Feature
from training_assets.panel.features.view import BarView
from training_assets.panel.panel import Bars, CodeArray

Variant = Literal["removed", "noise"]


@dataclass(frozen=True)
class BuiltColumns:
    """What a builder makes of bars.

    Attributes
    ----------
    names : of the columns.
    values : shape (n_columns, n_rows), row-aligned with the bars; NaN where not known.
    end_codes : shape (n_columns, n_rows) for targets, the position in `Bars.times_ns` at whose close the label is known, -1 where it is NaN;
        None for features, which are known at their own row.
    """

    names: tuple[str, ...]
    values: NDArray[np.floating[Any]]
    end_codes: CodeArray | None = None


@dataclass(frozen=True)
class TruncationFinding:
    """A column whose past changed with its future.

    Attributes
    ----------
    column : its name.
    cut_code : first position in `times_ns` that was removed or replaced.
    variant : what was done with the future.
    n_rows, n_compared : rows that changed, of those that had to stay.
    first_row : the first of them, a row of the bars given.
    largest_change : largest absolute difference; infinite where a value came or went.
    """

    column: str
    cut_code: int
    variant: Variant
    n_rows: int
    n_compared: int
    first_row: int
    largest_change: float


Builder = Callable[[Bars], BuiltColumns]


def feature_builder(features: Sequence[Feature]) -> Builder:
    """A builder of registry features, for `truncation_findings`."""

    def build(bars: Bars) -> BuiltColumns:
        view = BarView(bars)
        return BuiltColumns(tuple(feature.name for feature in features), np.stack([feature.build(view) for feature in features]))

    return build


def truncation_findings(build: Builder, bars: Bars, cuts: Sequence[int], seed: int) -> tuple[TruncationFinding, ...]:
    """Columns that change before a cut when the bars from the cut on are removed, or replaced by noise.

    Parameters
    ----------
    build : makes the columns from bars alone; it is called twice a cut and once on the bars as they are.
    bars : clean bars.
    cuts : positions in `times_ns`, each from 1 to n_times - 1; see `choose_cuts`.
    seed : of the noise.

    Returns
    -------
    At most one finding a column, cut and variant. For features every row before the cut must be equal; for targets every label that is
    known before the cut, its end, and the set of rows that have one.

    Raises
    ------
    ValueError
        A cut outside the bars, or a builder whose columns depend on the bars' length.
    """
    whole = build(bars)
    findings: list[TruncationFinding] = []
    for cut in cuts:
        kept = bars.time_codes < cut
        removed = build(truncate_bars(bars, cut))
        findings += _compare(whole, removed, kept, cut, "removed")
        noisy = build(perturb_future(bars, cut, seed))
        findings += _compare(whole, _rows(noisy, kept), kept, cut, "noise")
    return tuple(findings)


def choose_cuts(bars: Bars, n_random: int, seed: int) -> tuple[int, ...]:
    """Cuts worth trying: after the first time and before the last, where a session or a symbol begins or ends, and random ones.

    Of session and symbol edges the one nearest the middle of time is taken, since each cut costs two builds.

    Returns
    -------
    Ascending positions in `times_ns`, from 1 to n_times - 1; empty for bars of fewer than two times.
    """
    n_times = bars.times_ns.size
    if n_times < 2:
        return ()
    sessions = np.flatnonzero(np.diff(bars.session_codes)) + 1
    full = np.diff(bars.symbol_offsets) > 0
    starts = bars.time_codes[bars.symbol_offsets[:-1][full]]
    ends = bars.time_codes[bars.symbol_offsets[1:][full] - 1] + 1
    edges = [_nearest(codes, n_times // 2, n_times) for codes in (sessions, starts, ends)]
    random = np.random.default_rng(seed).integers(1, n_times, n_random)
    return tuple(sorted({1, n_times - 1, *(edge for edge in edges if edge is not None), *random.tolist()}))


def truncate_bars(bars: Bars, cut_code: int) -> Bars:
    """The bars as they were known before a time: from `times_ns[cut_code]` on nothing is left, nor symbols that had not begun.

    Raises
    ------
    ValueError
        The cut is not from 1 to n_times - 1.
    """
    _check_cut(bars, cut_code)
    kept = bars.time_codes < cut_code
    counts = np.bincount(bars.symbol_codes[kept], minlength=len(bars.symbols))
    return replace(
        bars,
        symbols=tuple(symbol for symbol, count in zip(bars.symbols, counts, strict=True) if count),
        times_ns=bars.times_ns[:cut_code],
        symbol_offsets=np.concatenate([[0], np.cumsum(counts[counts > 0])]),
        time_codes=bars.time_codes[kept],
        values=bars.values[:, kept],
        session_codes=bars.session_codes[:cut_code],
        supplied=bars.supplied[:, kept],
    )


def perturb_future(bars: Bars, cut_code: int, seed: int) -> Bars:
    """The same bars with everything from `times_ns[cut_code]` on replaced by noise that still is a valid bar.

    Prices are the old ones times log-normal noise, far off what they were; volume and supplied columns are drawn from their
    own values and scaled. What was NaN stays NaN.

    Raises
    ------
    ValueError
        The cut is not from 1 to n_times - 1.
    """
    _check_cut(bars, cut_code)
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(bars.time_codes >= cut_code)
    values, supplied = bars.values.copy(), bars.supplied.copy()
    opens, closes = values[3, rows] * np.exp(rng.normal(0.0, 0.5, (2, rows.size)))
    above, below = np.exp(np.abs(rng.normal(0.0, 0.2, (2, rows.size))))
    values[:4, rows] = opens, np.maximum(opens, closes) * above, np.minimum(opens, closes) / below, closes
    values[4, rows] = values[4, rows] * rng.exponential(10.0, rows.size) + rng.exponential(10.0, rows.size)
    supplied[:, rows] = supplied[:, rows] * rng.normal(0.0, 3.0, (supplied.shape[0], rows.size)) + rng.normal(0.0, 1.0, (supplied.shape[0], rows.size))
    return replace(bars, values=values, supplied=supplied)


def _nearest(codes: NDArray[np.integer[Any]], middle: int, n_times: int) -> int | None:
    inside = codes[(codes >= 1) & (codes < n_times)]
    return int(inside[np.argmin(np.abs(inside - middle))]) if inside.size else None


def _check_cut(bars: Bars, cut_code: int) -> None:
    if not 1 <= cut_code < bars.times_ns.size:
        raise ValueError(f"cut at time code {cut_code} is not from 1 to {bars.times_ns.size - 1}: before and after it there must be bars")


def _rows(columns: BuiltColumns, rows: NDArray[np.bool_]) -> BuiltColumns:
    ends = None if columns.end_codes is None else columns.end_codes[:, rows]
    return BuiltColumns(columns.names, columns.values[:, rows], ends)


def _compare(whole: BuiltColumns, other: BuiltColumns, kept: NDArray[np.bool_], cut: int, variant: Variant) -> list[TruncationFinding]:
    before = _rows(whole, kept)
    if before.names != other.names or before.values.shape != other.values.shape:
        raise ValueError(
            f"builder made {len(other.names)} columns of shape {other.values.shape} with the future {variant} at {cut}, {before.values.shape} expected"
        )
    rows = np.flatnonzero(kept)
    findings = []
    for column, name in enumerate(before.names):
        was, now = before.values[column], other.values[column]
        changed = ~((was == now) | (np.isnan(was) & np.isnan(now)))
        n_compared = rows.size
        if before.end_codes is not None and other.end_codes is not None:
            old_end, new_end = before.end_codes[column], other.end_codes[column]
            old_known, new_known = (old_end >= 0) & (old_end < cut), (new_end >= 0) & (new_end < cut)
            changed = (old_known | new_known) & (changed | (old_end != new_end))
            n_compared = int((old_known | new_known).sum())
        if changed.any():
            findings.append(
                TruncationFinding(
                    name, cut, variant, int(changed.sum()), n_compared, int(rows[np.argmax(changed)]), _largest_change(was[changed], now[changed])
                )
            )
    return findings


def _largest_change(was: NDArray[np.floating[Any]], now: NDArray[np.floating[Any]]) -> float:
    difference = np.abs(was.astype(np.float64) - now.astype(np.float64))
    return float(np.where(np.isnan(was) | np.isnan(now), np.inf, difference).max())
