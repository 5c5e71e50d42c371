"""Faults of the bars' own clock: prices that stand still, bars from the future, and a clock that is off, all year or half of it.

Belongs here: what a symbol's times and moves say beside those of the other symbols. Does not: labels and folds (`clocks`).
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, always, blocked, suspect
from training_assets.leakage.duplicates import masked_correlations, return_table, standard_columns

HOUR_MINUTES = 60
DAY_MINUTES = 1_440
# Months that lie in daylight saving time in both Europe and North America, and months that lie outside it in both.
SUMMER, WINTER = (4, 5, 6, 7, 8, 9), (12, 1, 2)
MIN_CLOCK_CORRELATION = 0.3
LEAST_PAUSE_BARS = 30
PAUSE_SHARE = 0.1


def stale_bars(context: AuditContext) -> Verdict:
    """Share of a symbol's bars that repeat the bar before in open, high, low and close."""
    bars, settings = context.bars, context.config.leakage
    rows = bars.time_codes < context.panel.holdout_start_code
    repeats = np.r_[False, (bars.values[:4, 1:] == bars.values[:4, :-1]).all(axis=0)] & rows
    repeats[bars.symbol_offsets[:-1][np.diff(bars.symbol_offsets) > 0]] = False
    share = np.bincount(bars.symbol_codes[repeats], minlength=len(bars.symbols)) / np.maximum(
        np.bincount(bars.symbol_codes[rows], minlength=len(bars.symbols)), 1
    )
    findings: list[Finding] = []
    for code in np.flatnonzero(share >= settings.stale_suspect_share):
        name, shuts = bars.symbols[code], bool(share[code] >= settings.stale_share)
        bound = settings.stale_share if shuts else settings.stale_suspect_share
        message = (
            f"{share[code]:.1%} of the bars of {name} >= {bound:.1%} repeat the bar before: prices were filled forward, and moves come late and are foreseen; "
            "drop the filled bars, or the symbol (data.symbols, config/universe.yaml)"
        )
        findings.append((blocked if shuts else suspect)(None, share[code], bound, message, name))
    return Verdict(findings, float(share.max(initial=0.0)), settings.stale_share, int(rows.sum()))


def future_bars(context: AuditContext) -> Verdict:
    """Longest pause of a symbol that the other symbols do not fill, as a share of the time before it: bars beyond it carry times yet to come."""
    bars = context.bars
    steps = np.diff(bars.times_ns).astype(np.float64)
    spans = (bars.times_ns[1:] - bars.times_ns[0]).astype(np.float64) - steps
    least = LEAST_PAUSE_BARS * float(np.median(steps)) if steps.size else 0.0
    share = np.where(steps > least, steps / np.maximum(spans, steps.min(initial=1.0)), 0.0)
    # A long pause in the first half is a source that began twice; in the second half, few bars after it, a clock.
    late = np.arange(steps.size) >= steps.size * 0.5
    worst = float(np.where(late, share, 0.0).max(initial=0.0))
    findings: list[Finding] = []
    if worst > PAUSE_SHARE:
        place = int(np.argmax(np.where(late, share, 0.0)))
        for code, name in enumerate(bars.symbols):
            beyond = int((bars.time_codes[bars.symbol_offsets[code] : bars.symbol_offsets[code + 1]] > place).sum())
            if beyond:
                message = (
                    f"{beyond} bars of {name} come after a pause of {steps[place] / 86_400e9:.0f} days that no symbol fills, {worst:.2f} of all time before > "
                    f"{PAUSE_SHARE}: they carry times from the future; mend or drop them"
                )
                findings.append(blocked(None, worst, PAUSE_SHARE, message, name))
    return Verdict(findings, worst, PAUSE_SHARE, int(bars.times_ns.size))


def clock_offset(context: AuditContext) -> Verdict:
    """How much better a symbol's returns agree with others' of an hour (or, on longer bars, a bar) before or after than with those of the same bars.

    Intraday bars are looked at in summer and in winter apart: a clock that follows another daylight saving rule agrees in one and not in the other.
    """
    bound, bars = context.config.leakage.clock_excess, context.bars
    if len(bars.symbols) < 2:
        return Verdict([], 0.0, bound, 1)
    returns = standard_columns(return_table(bars, context.panel.holdout_start_code))
    months = (bars.times_ns[: returns.shape[0]].astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64) % 12) + 1
    intraday = bars.interval_minutes < DAY_MINUTES
    seasons = (("summer", np.isin(months, SUMMER)), ("winter", np.isin(months, WINTER))) if intraday else (("all year", np.ones(months.size, bool)),)
    lags = sorted({1, max(1, round(HOUR_MINUTES / bars.interval_minutes))}) if intraday else [1]
    findings: dict[str, Finding] = {}
    worst = 0.0
    for season, chosen in seasons:
        table = np.where(chosen[:, None], returns, np.nan).astype(np.float32)
        now = _best_partner(masked_correlations(table, table))
        for lag in lags:
            moved = masked_correlations(table[:-lag], table[lag:])
            best = np.maximum(_best_partner(moved), _best_partner(moved.T))
            excess = np.where(best >= MIN_CLOCK_CORRELATION, best - now, 0.0)
            worst = max(worst, float(excess.max(initial=0.0)))
            for code in np.flatnonzero(excess >= bound):
                name = bars.symbols[code]
                message = (
                    f"in {season} the returns of {name} agree with another's {lag} bars away at {best[code]:.2f} and at the same bars at {now[code]:.2f}, "
                    f"a difference of {excess[code]:.2f} >= {bound}: its clock is off, and others' bars tell its future; mend its time zone (data.timezone), "
                    "or drop it (data.symbols, config/universe.yaml)"
                )
                findings.setdefault(name, blocked(None, excess[code], bound, message, name))
    return Verdict(list(findings.values()), worst, bound, len(bars.symbols))


def _best_partner(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    table = correlations.copy()
    np.fill_diagonal(table, 0.0)
    return np.asarray(table.max(axis=1))


STALE_BARS = Detector("stale_bars", "prices stand still", Taxonomy.TEMPORAL, Scope.PANEL, LeakageStatus.BLOCKED, stale_bars, always)
FUTURE_BARS = Detector("future_bars", "bars carry times yet to come", Taxonomy.TEMPORAL, Scope.PANEL, LeakageStatus.BLOCKED, future_bars, always)
CLOCK_OFFSET = Detector(
    "clock_offset", "a symbol's clock is off against the others", Taxonomy.TEMPORAL, Scope.PANEL, LeakageStatus.BLOCKED, clock_offset, always
)
