"""Time as bars tell it: timestamps to UTC, the interval between bars, the sessions they fall into.

Belongs here: everything read from timestamps alone. Does not: prices (`cleaning`), or joining symbols (`alignment`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resources.market_data.records import DataError, ProblemCode, printable

MINUTE_NS = 60_000_000_000
DAY_MINUTES = 1440
# An interval is a symbol's own if at least this share of its steps has it; weekly bars never step by a day, sparse ones often do.
MIN_STEP_SHARE = 0.05
_OFFSET = re.compile(r":\d\d(?:[.,]\d+)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)
# Whole numbers are read by their size, which leaves no doubt between 1973 and 2199: YYYYMMDD, then seconds, milli-, micro-, nanoseconds since 1970.
_EPOCH_UNITS: tuple[tuple[int, int, Literal["s", "ms", "us", "ns"]], ...] = (
    (10**8, 10**10, "s"),
    (10**11, 10**13, "ms"),
    (10**14, 10**16, "us"),
    (10**17, 10**19, "ns"),
)


@dataclass(frozen=True)
class TimeFault:
    """Rows (boolean mask) whose time cannot be read, and why, with the mend."""

    code: ProblemCode
    rows: NDArray[np.bool_]
    reason: str


@dataclass(frozen=True)
class ParsedTimes:
    """`ns` : shape (n_rows,), UTC nanoseconds since 1970, 0 where a fault says so; `naive` : whether the times stated no zone."""

    ns: NDArray[np.int64]
    faults: tuple[TimeFault, ...]
    naive: bool


def require_zone(name: str) -> None:
    """Raise DataError where `data.timezone` is no IANA zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(f"data.timezone '{printable(name)}' is no IANA time zone; write for instance UTC or America/New_York (config/universe.yaml)") from None


def to_utc_ns(times: pd.Series, zone: str) -> ParsedTimes:
    """Read timestamps of any accepted form.

    Parameters
    ----------
    times : pandas times (naive or with a zone), ISO 8601 texts, whole numbers (YYYYMMDD or an epoch), or Python datetimes.
    zone : IANA zone in which times without one are read. A naive time that the zone's clock shows twice, or never, is a fault.
    """
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return _finish(times.dt.tz_convert("UTC").dt.tz_localize(None), (), False)
    if pd.api.types.is_datetime64_dtype(times.dtype):
        return _localise(times, zone, ())
    if pd.api.types.is_numeric_dtype(times.dtype) and not pd.api.types.is_bool_dtype(times.dtype):
        return _from_numbers(times, zone)
    texts = times.astype("string")
    if len(texts) and texts.str.fullmatch(r"[0-9]{1,19}").fillna(False).all():
        return _from_numbers(pd.Series(texts.to_numpy("U").astype(np.uint64)), zone)
    return _from_texts(texts, zone)


def _from_numbers(numbers: pd.Series, zone: str) -> ParsedTimes:
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isfinite(values).all() and (values == np.floor(values)).all() and values.size:
        low, high = values.min(), values.max()
        if low >= 19_000_101 and high <= 21_991_231:
            return _from_texts(numbers.astype("int64").astype("string"), zone, "%Y%m%d")
        for floor, ceiling, unit in _EPOCH_UNITS:
            if floor <= low and high < ceiling:
                whole = numbers.astype("int64")
                return _finish(pd.Series(pd.to_datetime(whole.to_numpy(), unit=unit)), (), False)
    reason = "numbers are neither YYYYMMDD nor seconds, milli-, micro- or nanoseconds since 1970 throughout; write ISO 8601"
    return ParsedTimes(np.zeros(len(numbers), np.int64), (TimeFault(ProblemCode.BAD_TIMESTAMP, np.ones(len(numbers), bool), reason),), False)


def _from_texts(texts: pd.Series, zone: str, form: str = "ISO8601") -> ParsedTimes:
    aware = texts.str.contains(_OFFSET).fillna(False).to_numpy(bool) if form == "ISO8601" else np.zeros(len(texts), bool)
    mostly_aware = bool(aware.mean() >= 0.5) if aware.size else False
    # The fewer are the odd ones; which zone they mean cannot be known.
    odd = ~aware & texts.notna().to_numpy(bool) if mostly_aware else aware
    parsed = pd.to_datetime(texts.mask(odd), format=form, utc=True, errors="coerce").dt.tz_localize(None)
    unread = parsed.isna().to_numpy(bool) & texts.notna().to_numpy(bool) & ~odd
    faults = (
        TimeFault(ProblemCode.MIXED_ZONES, odd, f"states {'no' if mostly_aware else 'a'} zone, unlike the other rows; write all times the same way"),
        TimeFault(ProblemCode.BAD_TIMESTAMP, unread, "is no ISO 8601 time; write for instance 2020-01-31 or 2020-01-31T09:30:00-05:00"),
    )
    return _finish(parsed, faults, False) if mostly_aware else _localise(parsed, zone, faults)


def _localise(naive: pd.Series, zone: str, faults: tuple[TimeFault, ...]) -> ParsedTimes:
    if zone.upper() == "UTC":
        return _finish(naive, faults, True)
    # Without ambiguous="NaT" pandas guesses; reading twice tells a time that occurs twice from one that never occurs.
    certain = naive.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    existing = naive.dt.tz_localize(zone, ambiguous=np.ones(len(naive), bool), nonexistent="NaT")
    missing = naive.isna().to_numpy(bool)
    never = existing.isna().to_numpy(bool) & ~missing
    twice = certain.isna().to_numpy(bool) & ~never & ~missing
    mend = "store UTC, or write the offset with each time"
    added = (
        TimeFault(ProblemCode.AMBIGUOUS_TIME, twice, f"occurs twice in {zone} (clocks go back); {mend}"),
        TimeFault(ProblemCode.NONEXISTENT_TIME, never, f"does not exist in {zone} (clocks go forward); {mend}"),
    )
    return _finish(certain.dt.tz_convert("UTC").dt.tz_localize(None), (*faults, *added), True)


def _finish(utc: pd.Series, faults: tuple[TimeFault, ...], naive: bool) -> ParsedTimes:
    known = np.zeros(len(utc), bool)
    for fault in faults:
        known |= fault.rows
    missing = utc.isna().to_numpy(bool) & ~known
    low, high = pd.Timestamp("1900-01-01"), pd.Timestamp("2200-01-01")
    outside = ((utc < low) | (utc >= high)).to_numpy(bool)
    ns = utc.mask(outside | utc.isna(), pd.Timestamp(0)).dt.as_unit("ns").to_numpy("datetime64[ns]").view(np.int64)
    added = (
        TimeFault(ProblemCode.BAD_TIMESTAMP, missing, "is missing; fill it in or drop the row"),
        TimeFault(ProblemCode.BAD_TIMESTAMP, outside, "lies outside 1900 to 2199; check the unit of the times"),
    )
    return ParsedTimes(ns.astype(np.int64), tuple(fault for fault in (*faults, *added) if fault.rows.any()), naive)


def most_common_step(times_ns: NDArray[np.int64]) -> int | None:
    """The commonest difference of ascending times in nanoseconds, the smaller of equals; None for fewer than two times."""
    if times_ns.size < 2:
        return None
    steps, counts = np.unique(np.diff(times_ns), return_counts=True)
    return int(steps[counts.argmax()])


def infer_interval(times: Mapping[str, NDArray[np.int64]], stated_minutes: int | None, stated_where: str) -> int:
    """The one bar interval of all symbols, in minutes.

    Parameters
    ----------
    times : symbol to its ascending bar opens, UTC nanoseconds.
    stated_minutes, stated_where : the interval that settings or the layout state, and where; held against the timestamps.

    Raises
    ------
    DataError
        Symbols of different intervals (listed), an interval below or beside whole minutes, one that contradicts `stated_minutes`, or
        nothing to infer it from.
    """
    own = {symbol: step for symbol, ns in times.items() if (step := most_common_step(ns)) is not None}
    if stated_minutes is None and not own:
        raise DataError("the bar interval cannot be inferred from one bar a symbol; set data.interval_minutes (config/universe.yaml)")
    weight: dict[int, int] = {}
    for symbol, step in own.items():
        weight[step] = weight.get(step, 0) + times[symbol].size
    common = min(weight, key=lambda step: (-weight[step], step)) if stated_minutes is None else stated_minutes * MINUTE_NS
    others = {symbol: step for symbol, step in own.items() if step != common and np.mean(np.diff(times[symbol]) == common) < MIN_STEP_SHARE}
    if others and (stated_minutes is None or len(others) < len(own)):
        raise DataError(f"several bar intervals in one set: {_list_intervals(own, others, common)}; keep one interval, or choose by data.symbols")
    if others:
        found = ", ".join(sorted({_minutes_text(step) for step in others.values()}))
        raise DataError(f"{stated_where} says {stated_minutes} minutes, but bars are {found} apart; mend one of them")
    if common % MINUTE_NS:
        raise DataError(f"bars are {_minutes_text(common)} apart; an interval is a whole number of minutes, so aggregate them to 1 minute or more")
    return common // MINUTE_NS


def session_codes(times_ns: NDArray[np.int64], interval_minutes: int, session_gap_bars: int) -> NDArray[np.int32]:
    """Shape (n_times,), the session of each time of the common calendar, ascending from 0.

    A pause of more than `session_gap_bars` intervals that every symbol shares (it is one of the union of their times) ends a session. On bars of
    a day or longer there is one session.
    """
    if interval_minutes >= DAY_MINUTES or times_ns.size == 0:
        return np.zeros(times_ns.size, np.int32)
    ends = np.diff(times_ns) > session_gap_bars * interval_minutes * MINUTE_NS
    return np.concatenate([[0], np.cumsum(ends)]).astype(np.int32)


def _minutes_text(step_ns: int) -> str:
    minutes = step_ns / MINUTE_NS
    return f"{minutes:g} minutes" if minutes >= 1 else f"{step_ns / 1e9:g} seconds"


def _list_intervals(own: Mapping[str, int], others: Mapping[str, int], common: int) -> str:
    groups: dict[int, list[str]] = {}
    for symbol, step in own.items():
        groups.setdefault(step if symbol in others else common, []).append(symbol)
    parts = []
    for step, symbols in sorted(groups.items()):
        listed = ", ".join(printable(symbol) for symbol in sorted(symbols)[:5])
        parts.append(f"{_minutes_text(step)} ({listed}{f', {len(symbols)} in all' if len(symbols) > 5 else ''})")
    return "; ".join(parts)
