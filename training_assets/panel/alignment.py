"""Frames of many symbols become one set of bars on one calendar, and a report of what was done to get there.

Belongs here: joining symbols, the common interval, sessions, supplied columns. Does not: files (`resources.market_data`), one symbol's rows (`cleaning`),
features and labels.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.sections.data import DataConfig
from config.sections.targets import TargetConfig
from resources.market_data.records import DataError, DataProblem, ProblemCode, list_problems, printable
from training_assets.panel.cleaning import CleanSymbol, clean_symbol
from training_assets.panel.clock import DAY_MINUTES, MINUTE_NS, infer_interval, most_common_step, require_zone, session_codes
from training_assets.panel.panel import BAR_COLUMNS, Bars
from training_assets.panel.targets.supplied import supplied_target_names
from training_assets.partition_keys import MAX_NAME_CHARACTERS


@dataclass(frozen=True)
class SymbolCoverage:
    """How much of the common calendar a symbol fills: `n_missing` times of it lie between `first` and `last` without a bar."""

    symbol: str
    n_rows: int
    first: str
    last: str
    n_missing: int
    n_dropped: int


@dataclass(frozen=True)
class AlignmentReport:
    """What the bars look like after alignment, for people and for metadata; times are ISO 8601, UTC."""

    interval_minutes: int
    interval_stated_by: str | None  # None: inferred from the timestamps
    n_times: int
    n_sessions: int
    median_bars_a_session: float
    first: str
    last: str
    coverage: tuple[SymbolCoverage, ...]
    supplied_features: tuple[str, ...]
    supplied_targets: tuple[str, ...]
    ignored_columns: Mapping[str, int]  # to the number of symbols
    dropped: tuple[DataProblem, ...]
    notes: tuple[str, ...]

    def describe(self) -> str:
        """One line for people: symbols, bars, interval and where it comes from, sessions, span."""
        n_rows = sum(symbol.n_rows for symbol in self.coverage)
        source = f"stated by {self.interval_stated_by}" if self.interval_stated_by else "inferred"
        sessions = (
            "daily or longer, one session" if self.interval_minutes >= DAY_MINUTES else f"{self.n_sessions:,} sessions of {self.median_bars_a_session:g} bars"
        )
        return f"{len(self.coverage)} symbols, {n_rows:,} bars of {self.interval_minutes} minutes ({source}), {sessions}, {self.first} to {self.last}"


@dataclass(frozen=True)
class Alignment:
    """`bars` of the symbols and supplied columns that can be used; `problems` for which the others cannot."""

    bars: Bars
    problems: tuple[DataProblem, ...]
    report: AlignmentReport


def align_bars(frames: Mapping[str, pd.DataFrame], data: DataConfig, targets: TargetConfig, layout_interval_minutes: int | None = None) -> Alignment:
    """Check every symbol and join those that pass.

    Parameters
    ----------
    frames : symbol to frame, as `resources.market_data.sources.load_market_data` returns them.
    data : clock and tolerance settings. `targets` tells supplied targets from supplied features.
    layout_interval_minutes : the interval that the layout states (`interval=5m`), held against the timestamps.

    Returns
    -------
    Bars with symbols in name order, whatever the order of `frames`. Gaps, ragged starts and ends are kept as they are; nothing is filled. A supplied
    column that a symbol lacks is NaN there.

    Raises
    ------
    DataError
        No symbol can be used, several intervals (listed), no zone of that name.
    TargetError
        From `supplied_target_names`.
    """
    require_zone(data.timezone)
    clean, problems = _clean_all(frames, data)
    stated, stated_by = _stated_interval(data, layout_interval_minutes)
    interval = infer_interval({symbol: rows.times_ns for symbol, rows in clean.items()}, stated, stated_by or "")
    clean, offset_problems = _refuse_offset_clocks(clean, interval)
    clean, name_problems = _refuse_long_targets(clean, targets)
    problems = tuple(sorted((*problems, *offset_problems, *name_problems), key=lambda problem: problem.symbol))
    bars = _join(clean, interval, data.session_gap_bars)
    return Alignment(bars, problems, _report(bars, clean, stated_by, targets))


def _clean_all(frames: Mapping[str, pd.DataFrame], data: DataConfig) -> tuple[dict[str, CleanSymbol], tuple[DataProblem, ...]]:
    clean: dict[str, CleanSymbol] = {}
    problems: list[DataProblem] = []
    for symbol in sorted(frames):
        result = clean_symbol(symbol, frames[symbol], data.timezone, data.max_bad_row_fraction, data.min_rows)
        if isinstance(result, CleanSymbol):
            clean[symbol] = result
        else:
            problems += result
    if not clean:
        detail = f":\n{list_problems(tuple(problems))}" if problems else "; there are no symbols"
        raise DataError(f"no symbol can be used{detail}")
    return clean, tuple(problems)


def _stated_interval(data: DataConfig, layout_minutes: int | None) -> tuple[int | None, str | None]:
    if data.interval_minutes is not None and layout_minutes is not None and data.interval_minutes != layout_minutes:
        raise DataError(f"data.interval_minutes is {data.interval_minutes}, but the source states {layout_minutes} minutes; mend one of them")
    if data.interval_minutes is not None:
        return data.interval_minutes, "data.interval_minutes"
    return layout_minutes, None if layout_minutes is None else "the source"


def _refuse_offset_clocks(clean: dict[str, CleanSymbol], interval_minutes: int) -> tuple[dict[str, CleanSymbol], list[DataProblem]]:
    """Refuse symbols whose bars open at another phase of the interval than most (09:00 against 09:30), for they never meet at a time."""
    step = interval_minutes * MINUTE_NS
    union = np.unique(np.concatenate([rows.times_ns for rows in clean.values()]))
    own_steps = {most_common_step(rows.times_ns) for rows in clean.values()}
    if len(clean) < 2 or most_common_step(union) in own_steps:
        return clean, []
    phases = {symbol: _phase(rows.times_ns, step) for symbol, rows in clean.items()}
    weight: Counter[int] = Counter()
    for symbol, phase in phases.items():
        weight[phase] += clean[symbol].times_ns.size
    (common, n_common), *rest = weight.most_common()
    if not rest:
        return clean, []
    listed = {symbol: f"{phase // MINUTE_NS // 60:02d}:{phase // MINUTE_NS % 60:02d}" for symbol, phase in phases.items()}
    if 2 * n_common <= sum(weight.values()):
        groups = ", ".join(f"{printable(symbol)} {text}" for symbol, text in sorted(listed.items())[:6])
        raise DataError(f"bars of {interval_minutes} minutes open at different offsets and never meet: {groups}; stamp them alike, or choose by data.symbols")
    usual = f"{common // MINUTE_NS // 60:02d}:{common // MINUTE_NS % 60:02d}"
    message = "bars open {} into the interval of {} minutes, those of most symbols {}; stamp them alike (is a time zone missing?)"
    problems = [
        DataProblem(symbol, ProblemCode.OFFSET_CLOCK, "", message.format(listed[symbol], interval_minutes, usual))
        for symbol in clean
        if phases[symbol] != common
    ]
    return {symbol: rows for symbol, rows in clean.items() if phases[symbol] == common}, problems


def _refuse_long_targets(clean: dict[str, CleanSymbol], config: TargetConfig) -> tuple[dict[str, CleanSymbol], list[DataProblem]]:
    """Leave out supplied targets whose names are longer than a partition's key may be; the other targets go on."""
    columns = tuple(sorted({name for rows in clean.values() for name in rows.supplied}))
    refused = [name for name in supplied_target_names(columns, config) if len(name) > MAX_NAME_CHARACTERS]
    if not refused:
        return clean, []
    message = "the name of this supplied target has {} characters > {}; rename the column"
    problems = [DataProblem("", ProblemCode.BAD_NAME, f"column {printable(name)}", message.format(len(name), MAX_NAME_CHARACTERS)) for name in refused]
    kept = {symbol: {name: column for name, column in rows.supplied.items() if name not in refused} for symbol, rows in clean.items()}
    return {symbol: replace(rows, supplied=kept[symbol]) for symbol, rows in clean.items()}, problems


def _phase(times_ns: NDArray[np.int64], step: int) -> int:
    phases, counts = np.unique(times_ns % step, return_counts=True)
    return int(phases[counts.argmax()])


def _join(clean: Mapping[str, CleanSymbol], interval_minutes: int, session_gap_bars: int) -> Bars:
    sizes = [rows.times_ns.size for rows in clean.values()]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    stacked = np.concatenate([rows.times_ns for rows in clean.values()])
    union = np.unique(stacked)
    names = sorted({name for rows in clean.values() for name in rows.supplied})
    values = np.concatenate([rows.values for rows in clean.values()], axis=1)
    supplied = np.full((len(names), stacked.size), np.nan)
    position = {name: code for code, name in enumerate(names)}
    for rows, start in zip(clean.values(), offsets[:-1], strict=True):
        for name, column in rows.supplied.items():
            supplied[position[name], start : start + column.size] = column
    return Bars(
        symbols=tuple(clean),
        times_ns=union,
        symbol_offsets=offsets,
        time_codes=np.searchsorted(union, stacked).astype(np.int32),
        values=values,
        session_codes=session_codes(union, interval_minutes, session_gap_bars),
        interval_minutes=interval_minutes,
        supplied_names=tuple(names),
        supplied=supplied,
    )


def _report(bars: Bars, clean: Mapping[str, CleanSymbol], stated_by: str | None, targets: TargetConfig) -> AlignmentReport:
    matched = supplied_target_names(bars.supplied_names, targets)
    ignored = Counter(column for rows in clean.values() for column in rows.ignored_columns)
    notes = tuple(note for rows in clean.values() for note in rows.notes)
    if not bars.has_volume:
        notes += (f"no symbol has {BAR_COLUMNS[4]}; what needs it is left out",)
    sessions = np.bincount(bars.session_codes)
    return AlignmentReport(
        interval_minutes=bars.interval_minutes,
        interval_stated_by=stated_by,
        n_times=bars.times_ns.size,
        n_sessions=sessions.size,
        median_bars_a_session=float(np.median(sessions)),
        first=_iso(bars.times_ns[0]),
        last=_iso(bars.times_ns[-1]),
        coverage=tuple(_coverage(bars, code, clean[symbol].n_dropped) for code, symbol in enumerate(bars.symbols)),
        supplied_features=tuple(name for name in bars.supplied_names if name not in matched),
        supplied_targets=matched,
        ignored_columns=dict(sorted(ignored.items())),
        dropped=tuple(problem for rows in clean.values() for problem in rows.dropped),
        notes=notes,
    )


def _coverage(bars: Bars, code: int, n_dropped: int) -> SymbolCoverage:
    codes = bars.time_codes[bars.symbol_offsets[code] : bars.symbol_offsets[code + 1]]
    span = int(codes[-1]) - int(codes[0]) + 1
    first, last = _iso(bars.times_ns[codes[0]]), _iso(bars.times_ns[codes[-1]])
    return SymbolCoverage(bars.symbols[code], codes.size, first, last, span - codes.size, n_dropped)


def _iso(ns: int) -> str:
    return pd.Timestamp(int(ns), tz="UTC").isoformat()
