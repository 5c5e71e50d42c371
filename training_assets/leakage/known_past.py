"""What was known at a row's close, and what of later bars does not follow from it.

Belongs here: the block of known columns, later bars less what it says of them, and how much of the rest a column tells. Does not: bounds, or findings.

A feature that mixes past and future (a centred window, a smoothed price, a level of tomorrow) is close to the past as well, and a plain correlation with
later bars is then no larger than that with earlier ones. Less the known past, what is left of an honest feature says next to nothing of later bars; what is
left of a leaking one is the future itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.leakage.evidence import Evidence, Floats, standard_ranks
from training_assets.panel.targets.windows import behind

PAST_LAGS, PAST_RANGE_LAGS = 10, 5
RETURN_LEADS, SIZE_LEADS, RANGE_LEADS, VOLUME_LEADS = 20, 10, 3, 3
RIDGE = 1e-4
# What is left of a column that the known past explains all but this share of is rounding.
LEAST_LEFT = 0.02
# With fewer independent rows than this a lead, a multiple correlation is chance.
LEAST_ROWS_A_LEAD = 5
MINUTES_A_DAY, MAX_SLOTS, WEEK = 1_440, 48, 7
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True)
class LaterBars:
    """Later bars less what the known past says of them.

    Attributes
    ----------
    known : shape (n, n_known), what is known at each audited row, standardised; 0 where missing.
    solver : shape (n_known, n_known), inverse of its second moments.
    groups : by what the later bars are (returns, sizes, volume): shape (n, n_leads), standardised, the known past taken out.
    inverses : by group, inverse correlation of its columns.
    """

    known: Floats
    solver: NDArray[np.float64]
    groups: dict[str, Floats]
    inverses: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, evidence: Evidence, n_known_ahead: int = 0) -> "LaterBars":
        """Look from `n_known_ahead` bars after each row on: 0 for features, a label's horizon for what the label may know."""
        series = _series(evidence)
        lagged = [evidence.lagged(series[name], list(range(-last, n_known_ahead + 1))) for name, last in _PAST]
        blocks = [*lagged, evidence.own_known_trends, _calendar(evidence)]
        known = _standard(np.nan_to_num(np.concatenate(blocks, axis=1)))
        solver = np.linalg.inv((known.T @ known).astype(np.float64) / max(known.shape[0], 1) + RIDGE * np.eye(known.shape[1]))
        groups, inverses = {}, {}
        for what, parts in _LATER.items():
            columns = [evidence.lagged(series[name], list(range(n_known_ahead + 1, n_known_ahead + leads + 1))) for name, leads in parts]
            ahead = np.nan_to_num(np.concatenate(columns, axis=1))
            weights = solver @ (known.T @ ahead).astype(np.float64) / max(known.shape[0], 1)
            groups[what] = _standard(ahead - known @ weights.astype(np.float32))
            moments = (groups[what].T @ groups[what]).astype(np.float64) / max(known.shape[0], 1)
            inverses[what] = np.linalg.inv(moments + 1e-3 * np.eye(moments.shape[0]))
        return cls(known, solver, groups, inverses)

    def told(self, columns: Floats, n_effective: float) -> dict[str, NDArray[np.float64]]:
        """By group, shape (n_columns,): multiple correlation of what the past leaves of each column with later bars, adjusted for their number.

        Parameters
        ----------
        columns : shape (n_columns, n), standardised within symbols, NaN where not known.
        n_effective : independent observations among the rows.
        """
        mask = np.isfinite(columns)
        values = np.where(mask, columns, np.float32(0.0))
        n_rows = np.maximum(mask.sum(axis=1), 1).astype(np.float64)
        weights = ((values @ self.known).astype(np.float64) / n_rows[:, None]) @ self.solver
        left = np.where(mask, values - (weights.astype(np.float32) @ self.known.T), np.float32(0.0))
        before, after = (values.astype(np.float64) ** 2).sum(axis=1) / n_rows, (left.astype(np.float64) ** 2).sum(axis=1) / n_rows
        usable = after > LEAST_LEFT * np.maximum(before, 1e-12)
        spare = np.maximum(n_effective * n_rows / max(columns.shape[1], 1), 3.0)
        out = {}
        for what, later in self.groups.items():
            table = (left @ later).astype(np.float64) / n_rows[:, None] / np.sqrt(np.maximum(after, 1e-12))[:, None]
            explained = np.clip(np.einsum("fi,ij,fj->f", table, self.inverses[what], table), 0.0, 1.0)
            adjusted = 1.0 - (1.0 - explained) * (spare - 1.0) / np.maximum(spare - later.shape[1] - 1.0, 1.0)
            enough = spare >= LEAST_ROWS_A_LEAD * later.shape[1]
            out[what] = np.where(usable & enough, np.sqrt(np.clip(adjusted, 0.0, 1.0)), 0.0)
        return out


_PAST = (("return", PAST_LAGS), ("size", PAST_LAGS), ("range", PAST_RANGE_LAGS), ("volume", PAST_RANGE_LAGS), ("volume change", 2), ("gap", 1))
_LATER = {
    "returns": (("return", RETURN_LEADS), ("gap", 1)),
    "sizes of moves": (("size", SIZE_LEADS), ("range", RANGE_LEADS)),
    "volume": (("volume change", VOLUME_LEADS),),
}


def _series(evidence: Evidence) -> dict[str, Floats]:
    """Panel columns, ranks within symbols, before the holdout: each bar's return, its size, range, volume and opening gap."""
    panel = evidence.panel
    prices = np.where(panel.time_codes < panel.holdout_start_code, np.asarray(panel.bar_values, np.float64), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = np.where(prices[4] > 0, np.log(prices[4]), np.nan)
        raw = {
            "return": evidence.bar_returns,
            "size": np.abs(evidence.bar_returns),
            "range": np.log(prices[1] / prices[2]),
            "volume": volume,
            "volume change": volume - behind(volume, 1),
            "gap": np.log(prices[0] / behind(prices[3], 1)),
        }
    firsts = panel.symbol_offsets[:-1][np.diff(panel.symbol_offsets) > 0]
    for name in ("volume change", "gap"):
        raw[name][firsts] = np.nan
    return {name: evidence.within_symbols(standard_ranks(values)) for name, values in raw.items()}


def _calendar(evidence: Evidence) -> Floats:
    """Shape (n, n_slots): day of the week, and on intraday bars the time of day, as one column a slot."""
    minutes = evidence.panel.times_ns[evidence.panel.time_codes[evidence.rows]] // MINUTE_NS
    slots = [minutes // MINUTES_A_DAY % WEEK]
    if evidence.panel.interval_minutes < MINUTES_A_DAY:
        slots.append(minutes % MINUTES_A_DAY * MAX_SLOTS // MINUTES_A_DAY)
    return np.concatenate([(slot[:, None] == np.unique(slot)[None, 1:]).astype(np.float32) for slot in slots], axis=1)


def _standard(columns: Floats) -> Floats:
    centred = columns - columns.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.asarray(np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-4), np.float32)
