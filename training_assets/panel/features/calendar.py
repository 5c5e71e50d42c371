"""Calendar and session: when the bar is, and where in its trading session.

The clock is the bar's opening time in UTC, which for daily bars is the session's date. The calendar itself is known in advance, so
the days left in a month are no look into the future; how long the present session will last is, and is not used.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.features.base import Feature
from training_assets.panel.features.rolling import FloatVector
from training_assets.panel.features.view import BarView

Formula = Callable[[BarView], FloatVector]

MINUTE_NS = 60_000_000_000
DAY_MINUTES = 1_440
# A session that began longer ago than this is too long for its opening to be a mark; its features are NaN there.
SESSION_REACH_BARS = 120

_HLC = ("high", "low", "close")


def _row_times(view: BarView) -> NDArray[np.datetime64]:
    return view.bars.times_ns[view.bars.time_codes].astype("datetime64[ns]")


def _minutes_of_day(view: BarView) -> FloatVector:
    return (view.bars.times_ns[view.bars.time_codes] // MINUTE_NS % DAY_MINUTES).astype(np.float64)


def _day_of_week(view: BarView) -> FloatVector:
    """0 is Monday; the epoch was a Thursday."""
    return ((_row_times(view).astype("datetime64[D]").astype(np.int64) + 3) % 7).astype(np.float64)


def _days_into_month(view: BarView) -> FloatVector:
    times = _row_times(view)
    days: FloatVector = (times.astype("datetime64[D]") - times.astype("datetime64[M]").astype("datetime64[D]")).astype(np.float64)
    return days


def _days_left_in_month(view: BarView) -> FloatVector:
    times = _row_times(view)
    month_after = (times.astype("datetime64[M]") + np.timedelta64(1, "M")).astype("datetime64[D]")
    days: FloatVector = (month_after - times.astype("datetime64[D]")).astype(np.float64) - 1.0
    return days


def _month_of_year(view: BarView) -> FloatVector:
    return (_row_times(view).astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64)


def _sine(clock: Formula, period: float) -> Formula:
    return lambda view: np.sin(clock(view) * (2.0 * math.pi / period))


def _cosine(clock: Formula, period: float) -> Formula:
    return lambda view: np.cos(clock(view) * (2.0 * math.pi / period))


def _month_turn(view: BarView) -> FloatVector:
    """1 in the last calendar day and the first three of a month, when pension money moves (Ariel 1987)."""
    return ((_days_into_month(view) < 3) | (_days_left_in_month(view) < 1)).astype(np.float64)


def _pause(view: BarView) -> FloatVector:
    """Log of the time since the symbol's previous bar, in intervals: 0 for neighbouring bars."""
    minutes = view.bars.times_ns[view.bars.time_codes] / MINUTE_NS
    return np.log((minutes - view.lagged(minutes, 1)) / view.bars.interval_minutes)


def _session_starts(view: BarView) -> NDArray[np.int64]:
    """Shape (n_times,): position in `times_ns` of the first time of each time's session."""
    codes = view.bars.session_codes
    first = np.r_[True, codes[1:] != codes[:-1]]
    return np.maximum.accumulate(np.where(first, np.arange(codes.size), 0))


def _minutes_into_session(view: BarView) -> FloatVector:
    times = view.bars.times_ns
    elapsed = (times - times[_session_starts(view)]) / MINUTE_NS
    return elapsed[view.bars.time_codes]


def _session_hours(view: BarView) -> FloatVector:
    return _minutes_into_session(view) / 60.0


def _session_progress(view: BarView) -> FloatVector:
    """Time since the session's opening over the length of the session before, at most 2; NaN in the first session."""
    times, starts = view.bars.times_ns, _session_starts(view)
    last_of_previous = starts - 1
    known = last_of_previous >= 0
    previous = np.where(known, (times[last_of_previous] - times[starts[last_of_previous]]) / MINUTE_NS, np.nan) + view.bars.interval_minutes
    share: FloatVector = np.minimum((times - times[starts]) / MINUTE_NS / previous, 2.0)
    return np.asarray(share[view.bars.time_codes])


def _first_rows(view: BarView) -> NDArray[np.int64]:
    """The row of the symbol's first bar in the row's session; -1 where it is further back than `SESSION_REACH_BARS`."""
    session = view.bars.session_codes[view.bars.time_codes]
    first = (view.positions == 0) | np.r_[True, session[1:] != session[:-1]]
    rows = np.arange(session.size)
    starts = np.maximum.accumulate(np.where(first, rows, 0))
    return np.where(rows - starts < SESSION_REACH_BARS, starts, -1)


def _session_return(view: BarView) -> FloatVector:
    starts = _first_rows(view)
    return np.where(starts >= 0, np.log(view.close / view.open[starts]), np.nan)


def _session_gap(view: BarView) -> FloatVector:
    starts = _first_rows(view)
    before = view.lagged(view.close, 1)
    return np.where(starts >= 0, np.log(view.open[starts] / before[starts]), np.nan)


def _since_previous_close(view: BarView) -> FloatVector:
    starts = _first_rows(view)
    before = view.lagged(view.close, 1)
    return np.where(starts >= 0, np.log(view.close / before[starts]), np.nan)


CALENDAR: tuple[Feature, ...] = (
    Feature("day_of_week_sin", (), 0, _sine(_day_of_week, 7), "day of the week on a circle, sine"),
    Feature("day_of_week_cos", (), 0, _cosine(_day_of_week, 7), "day of the week on a circle, cosine"),
    Feature("month_sin", (), 0, _sine(_month_of_year, 12), "month on a circle, sine"),
    Feature("month_cos", (), 0, _cosine(_month_of_year, 12), "month on a circle, cosine"),
    Feature("days_into_month", (), 0, _days_into_month, "calendar days since the month began"),
    Feature("month_turn", (), 0, _month_turn, "1 in the last calendar day and first three of a month"),
    Feature("pause_before", (), 1, _pause, "log of intervals since the symbol's previous bar"),
    Feature("time_of_day_sin", (), 0, _sine(_minutes_of_day, DAY_MINUTES), "UTC time of day on a circle, sine", clock="intraday"),
    Feature("time_of_day_cos", (), 0, _cosine(_minutes_of_day, DAY_MINUTES), "UTC time of day on a circle, cosine", clock="intraday"),
    Feature("session_hours", (), 0, _session_hours, "hours since the session opened", clock="sessions"),
    Feature("session_progress", (), 0, _session_progress, "time since the opening over the previous session's length", clock="sessions"),
    Feature("session_return", ("open", "close"), SESSION_REACH_BARS, _session_return, "log return since the session's opening price", clock="sessions"),
    Feature("session_gap", ("open", "close"), SESSION_REACH_BARS, _session_gap, "log return from the last session's close to this opening", clock="sessions"),
    Feature("return_since_last_session", ("close",), SESSION_REACH_BARS, _since_previous_close, "log return since the last session's close", clock="sessions"),
)
