"""One symbol's frame becomes clean columns of bars, or named problems.

Belongs here: column names, and what a bar may be. Does not: time zones and intervals (`clock`), other symbols (`alignment`), files (`resources`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resources.market_data.records import SYMBOL_COLUMN, TIME_COLUMNS, DataProblem, ProblemCode, printable
from training_assets.panel.clock import to_utc_ns
from training_assets.panel.panel import BAR_COLUMNS

# Prices stored as float32 or adjusted by a factor differ from themselves by some 1e-7; a wick is wrong beyond ten times that.
PRICE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CleanSymbol:
    """A symbol's usable rows.

    `times_ns` : shape (n,), bar opens, ascending, unique, UTC. `values` : shape (5, n) in the order of `BAR_COLUMNS`. `supplied` : name to
    shape (n,). `dropped` : what was dropped, within `data.max_bad_row_fraction`. `notes` : anything else a person should know.
    """

    times_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    supplied: Mapping[str, NDArray[np.float64]]
    ignored_columns: tuple[str, ...]
    dropped: tuple[DataProblem, ...]
    n_dropped: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Columns:
    times: pd.Series
    bars: Mapping[str, object]  # of BAR_COLUMNS to the column's label in the frame
    supplied: tuple[object, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class _Fault:
    code: ProblemCode
    rows: NDArray[np.bool_]
    what: str
    mend: str
    shown: tuple[str, ...] = ()


def clean_symbol(symbol: str, frame: pd.DataFrame, zone: str, max_bad_row_fraction: float, min_rows: int) -> CleanSymbol | tuple[DataProblem, ...]:
    """Check one symbol's rows.

    Parameters
    ----------
    frame : a time column (`TIME_COLUMNS`, or a DatetimeIndex), open, high, low, close, perhaps volume, letter case aside; every other
        numeric column is supplied data. An integer index numbers the rows of the file from 0.
    zone : IANA zone of times that state none.
    max_bad_row_fraction : bad rows up to this share are dropped and reported; beyond it the symbol is refused.
    min_rows : fewest usable rows.

    Returns
    -------
    The clean rows, or the problems for which the symbol is refused.
    """
    columns = _find_columns(symbol, frame)
    if isinstance(columns, DataProblem):
        return (columns,)
    values = np.full((len(BAR_COLUMNS), len(frame)), np.nan)
    for position, name in enumerate(BAR_COLUMNS):
        if name in columns.bars:
            values[position] = _numbers(frame[columns.bars[name]])
    parsed = to_utc_ns(columns.times, zone)
    time_faults = [_Fault(fault.code, fault.rows, f"time '{{time}}' {fault.reason}", "") for fault in parsed.faults]
    faults = [*time_faults, *_price_faults(values)]
    unread = _any_row([fault.rows for fault in time_faults], len(frame))
    supplied = {str(label): _numbers(frame[label]) for label in columns.supplied}
    faults += _order_faults(parsed.ns, unread, [*values, *supplied.values()])
    bad = _any_row([fault.rows for fault in faults], len(frame))
    problems = tuple(_describe(symbol, fault, frame, columns.times, values, int(bad.sum()), max_bad_row_fraction) for fault in faults)
    if bad.sum() > max_bad_row_fraction * len(frame):
        return problems
    keep = ~bad
    if keep.sum() < max(min_rows, 1):
        message = f"{int(keep.sum())} usable rows < data.min_rows {min_rows}; bring a longer history, or lower it (config/universe.yaml)"
        return (*problems, DataProblem(symbol, ProblemCode.TOO_FEW_ROWS, "", message))
    notes = _infinite_notes(symbol, supplied)
    finite = {name: np.where(np.isinf(column), np.nan, column)[keep] for name, column in supplied.items()}
    return CleanSymbol(parsed.ns[keep], values[:, keep], finite, columns.ignored, problems, int(bad.sum()), notes)


def _find_columns(symbol: str, frame: pd.DataFrame) -> _Columns | DataProblem:
    folded: dict[str, list[object]] = {}
    for label in frame.columns:
        folded.setdefault(str(label).casefold(), []).append(label)
    wanted = (*TIME_COLUMNS, *BAR_COLUMNS)
    labels = [str(label) for label in frame.columns]
    repeated = [name for name in wanted if len(folded.get(name, [])) > 1] + sorted(
        {label for label in labels if labels.count(label) > 1} if len(set(labels)) < len(labels) else ()
    )
    if repeated:
        return DataProblem(symbol, ProblemCode.DUPLICATE_COLUMN, f"column {printable(repeated[0])}", "stands more than once (letter case aside); keep one")
    missing = [name for name in BAR_COLUMNS[:4] if name not in folded]
    time_name = next((name for name in TIME_COLUMNS if name in folded), None)
    if time_name is None and not isinstance(frame.index, pd.DatetimeIndex):
        missing.insert(0, "timestamp")
    if missing:
        there = ", ".join(printable(label) for label in labels[:12])
        return DataProblem(symbol, ProblemCode.MISSING_COLUMN, "", f"columns {', '.join(missing)} are missing, there are {there}; rename or add them")
    bars = {name: folded[name][0] for name in BAR_COLUMNS if name in folded}
    texts = [name for name, label in bars.items() if not pd.api.types.is_numeric_dtype(frame[label].dtype)]
    if texts:
        return DataProblem(symbol, ProblemCode.TEXT_COLUMN, f"column {texts[0]}", f"holds {frame[bars[texts[0]]].dtype}, not numbers; write numbers")
    times = frame.index.to_series().reset_index(drop=True) if time_name is None else frame[folded[time_name][0]].reset_index(drop=True)
    taken = {str(label) for label in bars.values()} | {label for label in labels if label.casefold() in (*TIME_COLUMNS, SYMBOL_COLUMN)}
    rest = [label for label in frame.columns if str(label) not in taken]
    numeric = tuple(label for label in rest if pd.api.types.is_numeric_dtype(frame[label].dtype) and not pd.api.types.is_complex_dtype(frame[label].dtype))
    second_times = [label for label in labels if label.casefold() in TIME_COLUMNS and label.casefold() != time_name]
    known = set(numeric)
    ignored = (*second_times, *(str(label) for label in rest if label not in known))
    return _Columns(times, bars, numeric, ignored)


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _any_row(masks: list[NDArray[np.bool_]], n_rows: int) -> NDArray[np.bool_]:
    return np.logical_or.reduce(masks) if masks else np.zeros(n_rows, bool)


def _price_faults(values: NDArray[np.float64]) -> list[_Fault]:
    prices, volume = values[:4], values[4]
    opens, highs, lows, closes = prices
    slack = PRICE_TOLERANCE * np.abs(np.where(np.isfinite(highs), highs, 0.0))
    with np.errstate(invalid="ignore"):
        inverted = highs < lows - slack
        outside = ~inverted & ((np.maximum(opens, closes) > highs + slack) | (np.minimum(opens, closes) < lows - slack))
        faults = [
            _Fault(ProblemCode.MISSING_PRICE, np.logical_or.reduce(np.isnan(prices)), "a price is missing", "fill it in or drop the row", BAR_COLUMNS[:4]),
            _Fault(
                ProblemCode.INFINITE_PRICE, np.logical_or.reduce(np.isinf(prices)), "a price is infinite", "write the price or drop the row", BAR_COLUMNS[:4]
            ),
            _Fault(ProblemCode.NON_POSITIVE_PRICE, np.logical_or.reduce(prices <= 0), "a price is not above 0", "mend it or drop the row", BAR_COLUMNS[:4]),
            _Fault(ProblemCode.HIGH_BELOW_LOW, inverted, "high is below low", "mend it or drop the row", ("high", "low")),
            _Fault(ProblemCode.OUTSIDE_RANGE, outside, "open or close lies outside low to high", "mend it or drop the row", BAR_COLUMNS[:4]),
            _Fault(
                ProblemCode.BAD_VOLUME, (volume < 0) | np.isinf(volume), "volume is negative or infinite", "write 0 or more, or leave it empty", ("volume",)
            ),
        ]
    return [fault for fault in faults if fault.rows.any()]


def _order_faults(ns: NDArray[np.int64], unread: NDArray[np.bool_], content: Sequence[NDArray[np.float64]]) -> list[_Fault]:
    """Rows that go back in time, and rows whose time another row has. Of equal rows the first may stay; of unequal ones none can be believed."""
    read = np.flatnonzero(~unread)
    times = ns[read]
    back = np.zeros(ns.size, bool)
    back[read] = times < np.maximum.accumulate(times) if times.size else False
    repeated = pd.Series(times).duplicated(keep=False).to_numpy()
    copies = np.zeros(ns.size, bool)
    if repeated.any():
        rows = read[repeated]
        frame = pd.DataFrame({code: column[rows] for code, column in enumerate(content)})
        frame.insert(0, "time", ns[rows])
        equal = frame.duplicated(keep="first").to_numpy()
        unequal = frame.loc[~equal, "time"].duplicated(keep=False).to_numpy()
        copies[rows[equal]] = True
        copies[rows[~equal][unequal]] = True
    faults = [
        _Fault(ProblemCode.UNSORTED_TIME, back, "time '{time}' is earlier than a row before it", "sort the rows by time, oldest first"),
        _Fault(ProblemCode.DUPLICATE_TIME, copies, "time '{time}' stands in another row too", "keep one row a time"),
    ]
    return [fault for fault in faults if fault.rows.any()]


def _describe(
    symbol: str, fault: _Fault, frame: pd.DataFrame, times: pd.Series, values: NDArray[np.float64], n_bad: int, max_bad_row_fraction: float
) -> DataProblem:
    row = int(fault.rows.argmax())
    number = int(frame.index[row]) + 1 if pd.api.types.is_integer_dtype(frame.index.dtype) else row + 1
    time = printable(str(times.iloc[row]))
    shown = ", ".join(f"{name} {values[BAR_COLUMNS.index(name), row]:.10g}" for name in fault.shown)
    count = int(fault.rows.sum())
    bound = f"bad rows {n_bad} of {len(frame)} against data.max_bad_row_fraction {max_bad_row_fraction:g}"
    message = f"{fault.what.replace('{time}', time)}{f' ({shown})' if shown else ''}, in {count} row{'s' if count > 1 else ''}"
    message = f"{message}; {fault.mend}; {bound}" if fault.mend else f"{message}; {bound}"
    return DataProblem(symbol, fault.code, f"row {number}, {time}", message)


def _infinite_notes(symbol: str, supplied: Mapping[str, NDArray[np.float64]]) -> tuple[str, ...]:
    counts = {name: int(np.isinf(column).sum()) for name, column in supplied.items()}
    return tuple(f"{symbol}: {count} infinite values of {printable(name)} are read as missing" for name, count in counts.items() if count)
