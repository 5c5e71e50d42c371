"""How far a label looks ahead: horizons as text (`5b`, `60m`, `5d`), in bars and in minutes.

Belongs here: reading a horizon, from a setting or out of a column name. Does not: windows over bars (`windows`).
"""

import re
from dataclasses import dataclass

import numpy as np

from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import TargetError

MINUTES_A_DAY = 1_440
MAX_HORIZON_BARS = 1_000_000
_TEXT = re.compile(r"(\d{1,9})([bmd])")
_IN_NAME = re.compile(r"(?:^|_)(\d{1,9}[bmd])(?=_|$)")


@dataclass(frozen=True)
class Horizon:
    """A horizon on bars of one interval.

    Attributes
    ----------
    text : normalised form, for instance `5d`.
    bars : reach of the label in bars of the symbol's own series, at least 1.
    minutes : reach in minutes of trading calendar; a trading day counts 1440 (5 days are 7200), a bar its interval.
    spans_sessions : whether the unit itself asks to reach into later sessions: days on intraday bars do.
    """

    text: str
    bars: int
    minutes: int
    spans_sessions: bool


def parse_horizon(text: str, bars: Bars, where: str) -> Horizon:
    """Read a horizon for bars of `bars.interval_minutes`.

    `b` counts bars. `m` counts minutes and must be whole bars. `d` counts trading days: one bar a day on daily bars; on intraday
    bars a day is the bars of a typical session, at most 24 hours of them, and the label may then reach into later sessions.

    Parameters
    ----------
    text : number and unit, without regard to case.
    where : what the horizon belongs to; leads the message of an error.

    Raises
    ------
    TargetError
        No such form, zero, longer than `MAX_HORIZON_BARS`, or not a whole number of bars.
    """
    count, unit = _count_and_unit(text, where)
    interval = bars.interval_minutes
    spans_sessions = False
    if unit == "b":
        n_bars, minutes = count, count * interval
    elif unit == "d" and interval < MINUTES_A_DAY:
        n_bars, minutes, spans_sessions = count * bars_a_day(bars), count * MINUTES_A_DAY, True
    else:
        minutes = count if unit == "m" else count * MINUTES_A_DAY
        n_bars = _whole_bars(minutes, interval, f"{where}: horizon '{text}'")
    if n_bars > MAX_HORIZON_BARS:
        raise TargetError(f"{where}: horizon '{text}' is {n_bars} bars > {MAX_HORIZON_BARS}; shorten it")
    return Horizon(f"{count}{unit}", n_bars, minutes, spans_sessions)


def horizon_text(text: str, where: str) -> str:
    """A horizon in its normalised form, which no bars are needed for. Raises `TargetError` for what is no positive number with a unit."""
    count, unit = _count_and_unit(text, where)
    return f"{count}{unit}"


def horizon_in_name(name: str) -> str | None:
    """The horizon that a column name states (`fwd_ret_5d`, `y_60m_up`), or None where it states none.

    Raises
    ------
    TargetError
        The name states several that differ.
    """
    found = list(dict.fromkeys(_IN_NAME.findall(name.lower())))
    if len(found) > 1:
        raise TargetError(f"{name}: the name states several horizons ({', '.join(found)}); say which in targets.supplied.{name}.horizon (config/targets.yaml)")
    return found[0] if found else None


def bars_a_day(bars: Bars) -> int:
    """Bars of a typical trading day on intraday bars: the median length of a session, at most 24 hours, at least one bar."""
    lengths = np.bincount(bars.session_codes)
    typical = int(np.median(lengths[lengths > 0])) if lengths.size else 1
    return max(1, min(typical, MINUTES_A_DAY // bars.interval_minutes))


def longest_session_bars(bars: Bars) -> int:
    """Bars of the longest session on the market's calendar."""
    return int(np.bincount(bars.session_codes).max(initial=0))


def _count_and_unit(text: str, where: str) -> tuple[int, str]:
    match = _TEXT.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise TargetError(f"{where}: horizon '{text}' is not a positive number with a unit; write for instance 5b (bars), 60m (minutes) or 5d (days)")
    return int(match[1]), match[2]


def _whole_bars(minutes: int, interval_minutes: int, what: str) -> int:
    n_bars, rest = divmod(minutes, interval_minutes)
    if rest:
        nearest = " or ".join(f"{count}b ({count * interval_minutes}m)" for count in (n_bars, n_bars + 1) if count)
        raise TargetError(f"{what} is {minutes} minutes, not a whole number of bars of {interval_minutes} minutes; use {nearest}")
    return n_bars
