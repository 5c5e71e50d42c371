"""The same data twice: rows of one symbol at two times, and one symbol under two names or two clocks.

Belongs here: equality and near equality of bars and feature rows. Does not: copies of the target (`copies`).
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, always, blocked
from training_assets.panel.panel import Bars
from training_assets.splits import SplitError

MIN_DUPLICATES = 5
# A column with fewer distinct values than this share of its rows says nothing when two rows agree in it.
CONTINUOUS_SHARE = 0.5
MIN_COMMON_BARS = 60
MAX_SYMBOLS_SHIFTED = 400


def duplicate_rows(context: AuditContext) -> Verdict:
    """Share of a symbol's rows whose bar, or whose feature row, stands at another time too, in another fold.

    Bars without a range (halts) are left out, and a feature row counts where at least two continuous columns are in it.
    """
    bound, panel, bars = context.config.leakage.duplicate_share, context.panel, context.bars
    rows = np.flatnonzero(panel.time_codes < panel.holdout_start_code)
    try:
        folds = context.machinery.folds(panel.holdout_start_code, 1, 0, context.config.splits)
    except SplitError as error:
        return Verdict.unable(str(error))
    block = np.searchsorted([fold.test_start for fold in folds], panel.time_codes[rows], side="right")
    moves = rows[bars.values[1, rows] > bars.values[2, rows]]
    generator = np.random.default_rng([context.config.seed, 31])
    # A random projection tells rows apart as surely as a hash does, and in one product.
    bar_keys = generator.normal(size=4) @ np.log(bars.values[:4, moves]) + generator.normal() * np.nan_to_num(bars.values[4, moves])
    shares = _twice(panel_symbols(panel.symbol_offsets, moves), bar_keys, block[np.searchsorted(rows, moves)], len(panel.symbols))
    keys = _feature_keys(panel.features, rows, generator)
    if keys is not None:
        shares = np.maximum(shares, _twice(panel_symbols(panel.symbol_offsets, rows), keys, block, len(panel.symbols)))
    counts = np.maximum(np.bincount(panel_symbols(panel.symbol_offsets, rows), minlength=len(panel.symbols)), 1)
    share = shares / counts
    findings = [
        blocked(
            None,
            share[code],
            bound,
            f"{share[code]:.1%} of the rows of {panel.symbols[code]} >= {bound:.1%} stand at another time in another fold too ({int(shares[code])} rows): "
            "what is tested was trained on; drop the repeated rows, or the symbol (data.symbols, config/universe.yaml)",
            panel.symbols[code],
        )
        for code in np.flatnonzero((share >= bound) & (shares >= MIN_DUPLICATES))
    ]
    return Verdict(findings, float(share.max(initial=0.0)), bound, int(rows.size))


def panel_symbols(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Symbol codes of panel rows."""
    return np.searchsorted(offsets, rows, side="right") - 1


def _feature_keys(features: NDArray[np.float32], rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64] | None:
    """One number a row that is equal where all continuous features are; NaN where fewer than two of them are known; None without two."""
    sample = rows[:: max(1, rows.size // 2_000)]
    keys, n_known, n_continuous = np.zeros(rows.size), np.zeros(rows.size, np.int64), 0
    for column in features:
        probe = column[sample]
        probe = probe[np.isfinite(probe)]
        if probe.size < 30 or np.unique(probe).size < CONTINUOUS_SHARE * probe.size:
            continue
        values = column[rows]
        known = np.isfinite(values)
        spread = float(probe.std())
        keys += np.where(known, values, 0.0) * (generator.normal() / (spread if spread > 0 else 1.0)) + generator.normal() * known
        n_known += known
        n_continuous += 1
    return np.where(n_known >= 2, keys, np.nan) if n_continuous >= 2 else None


def _twice(symbols: NDArray[np.int64], keys: NDArray[np.float64], blocks: NDArray[np.int64], n_symbols: int) -> NDArray[np.float64]:
    """Shape (n_symbols,): rows whose key the symbol has in another block too."""
    known = np.isfinite(keys)
    symbols, keys, blocks = symbols[known], keys[known], blocks[known]
    order = np.lexsort((blocks, keys, symbols))
    symbols, keys, blocks = symbols[order], keys[order], blocks[order]
    same = (symbols[1:] == symbols[:-1]) & (keys[1:] == keys[:-1]) & (blocks[1:] != blocks[:-1])
    return np.bincount(symbols[1:][same], minlength=n_symbols).astype(float)


def symbol_copy(context: AuditContext) -> Verdict:
    """Correlation of each symbol's bar returns with another's, at the same time and later: one series under two names, or on two clocks."""
    same, shifted = context.config.leakage.symbol_copy_correlation, context.config.leakage.symbol_shift_correlation
    bars, panel = context.bars, context.panel
    returns = standard_columns(return_table(bars, panel.holdout_start_code))
    longest = max((info.horizon_bars for info in panel.target_infos), default=1)
    findings: dict[str, Finding] = {}
    worst = 0.0
    for lag in range(min(max(longest, 5), 20) + 1):
        table = _lagged_correlations(returns, lag)
        bound = same if lag == 0 else shifted
        if lag == 0:
            table = np.triu(table, 1)  # of two equal series the later name is the copy
        elif len(bars.symbols) <= MAX_SYMBOLS_SHIFTED:
            np.fill_diagonal(table, 0.0)
        worst = max(worst, float(table.max(initial=0.0)))
        for source, copy in np.argwhere(table >= bound):
            name, other = bars.symbols[copy], bars.symbols[source]
            when = "at the same bars" if lag == 0 else f"{lag} bars later"
            message = (
                f"|correlation| {table[source, copy]:.4f} of the returns of {name} with those of {other} {when} >= {bound}: one series under two names; "
                f"drop one of them (data.symbols, config/universe.yaml), {OR_ACCEPT}"
            )
            findings.setdefault(name, blocked(None, table[source, copy], bound, message, name))
    return Verdict(list(findings.values()), worst, same, len(bars.symbols))


def return_table(bars: Bars, stop_code: int) -> NDArray[np.float64]:
    """Shape (stop_code, n_symbols), log return of each symbol's bar from its previous bar; NaN where it has none."""
    close = np.log(bars.values[3])
    returns = np.r_[np.nan, np.diff(close)]
    returns[bars.symbol_offsets[:-1][np.diff(bars.symbol_offsets) > 0]] = np.nan
    table = np.full((bars.times_ns.size, len(bars.symbols)), np.nan)
    table[bars.time_codes, bars.symbol_codes] = returns
    return table[:stop_code]


def standard_columns(table: NDArray[np.float64]) -> NDArray[np.float32]:
    """Columns with mean 0, variance 1 and extremes cut at 8 deviations; NaN where not known."""
    known = np.isfinite(table)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, table, 0.0).sum(axis=0) / n
    deviation = np.sqrt((np.where(known, table - mean, 0.0) ** 2).sum(axis=0) / n)
    return np.asarray(np.clip(np.divide(table - mean, deviation, out=np.full_like(table, np.nan), where=deviation > 0), -8, 8), np.float32)


def _lagged_correlations(returns: NDArray[np.float32], lag: int) -> NDArray[np.float64]:
    """Shape (n_symbols, n_symbols): |correlation| of column i with column j `lag` times later; 0 with fewer than `MIN_COMMON_BARS` common times."""
    early, late = returns[: returns.shape[0] - lag], returns[lag:]
    return masked_correlations(early, late)


def masked_correlations(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """|correlation| of every column of the one with every column of the other over times where both are known."""
    m1, m2 = np.isfinite(first).astype(np.float32), np.isfinite(second).astype(np.float32)
    a, b = np.nan_to_num(first), np.nan_to_num(second)
    n = (m1.T @ m2).astype(np.float64)
    safe = np.maximum(n, 1.0)
    a_mean, b_mean = (a.T @ m2) / safe, (m1.T @ b) / safe
    covariance = (a.T @ b) / safe - a_mean * b_mean
    scale = np.sqrt(np.maximum(((a * a).T @ m2) / safe - a_mean**2, 0.0) * np.maximum((m1.T @ (b * b)) / safe - b_mean**2, 0.0))
    usable = (n >= MIN_COMMON_BARS) & (scale > 1e-9)
    return np.asarray(np.abs(np.divide(covariance, scale, out=np.zeros_like(covariance), where=usable)))


DUPLICATE_ROWS = Detector(
    "duplicate_rows", "rows of the test part stand in the training part", Taxonomy.DUPLICATES, Scope.PANEL, LeakageStatus.BLOCKED, duplicate_rows, always
)
SYMBOL_COPY = Detector("symbol_copy", "one symbol's series is another's", Taxonomy.DUPLICATES, Scope.PANEL, LeakageStatus.BLOCKED, symbol_copy, always)
