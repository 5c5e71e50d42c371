"""Columns that hold means of the label: target encoding over rows that were not yet known.

Belongs here: the groups a label is averaged over, and equality with the mean. Does not: copies of single labels (`copies`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, blocked
from training_assets.leakage.skill import has_unproven

# A mean over all rows agrees to float32's digits; another mean, or a constant of the symbol, does not.
EXACT = 1e-3
MIN_GROUPS = 3
N_PAIRS = 500


def target_encoding(context: AuditContext) -> Verdict:
    """How many features are, in every group of rows, the mean of the group's labels: by symbol, by symbol and month or weekday, by time."""
    panel, of_target = context.panel, context.of_target
    label = np.asarray(panel.labels[of_target.code], np.float64)
    if of_target.info.classes:
        label = np.where(np.isfinite(label), np.array(of_target.info.classes)[np.nan_to_num(label).astype(np.int64)], np.nan)
    label[panel.label_end_codes[of_target.code] < 0] = np.nan
    windows = (np.isfinite(label), np.isfinite(label) & (panel.label_end_codes[of_target.code] < panel.holdout_start_code))
    findings: dict[str, Finding] = {}
    for what, groups in _groupings(context):
        means = [_group_means(label, groups, window) for window in windows]
        pairs = _neighbours(groups)
        for code in np.flatnonzero(context.unproven):
            name = panel.feature_names[code]
            value = _constant_in_groups(panel.features[code], groups, pairs)
            if value is not None and name not in findings and any(_equal(value, mean) for mean in means):
                message = (
                    f"1 mean of labels >= 1: in every group of rows ({what}) its value is the mean of the group's labels, those yet to come among them; "
                    f"encode with labels known at the row, leave it out, {OR_ACCEPT}"
                )
                findings[name] = blocked(name, 1.0, 1.0, message)
    return Verdict(list(findings.values()), float(bool(findings)), 1.0, int(context.unproven.sum()))


def _groupings(context: AuditContext) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Names of groupings, and shape (n_rows,) the group of each row, from 0."""
    panel = context.panel
    symbols = np.repeat(np.arange(len(panel.symbols)), np.diff(panel.symbol_offsets))
    times = panel.times_ns[panel.time_codes].astype("datetime64[ns]")
    months, days = times.astype("datetime64[M]").astype(np.int64), times.astype("datetime64[D]").astype(np.int64)
    calendars = {"": np.zeros(symbols.size, np.int64), " and month": months, " and month of the year": months % 12, " and weekday": days % 7}
    for name, calendar in calendars.items():
        yield f"by symbol{name}", np.unique(symbols * 1_000_000 + calendar, return_inverse=True)[1]
    yield "by month", np.unique(months, return_inverse=True)[1]
    yield "by time", panel.time_codes.astype(np.int64)


def _group_means(label: NDArray[np.float64], groups: NDArray[np.int64], window: NDArray[np.bool_]) -> NDArray[np.float64]:
    n_groups = int(groups.max(initial=0)) + 1
    counts = np.bincount(groups[window], minlength=n_groups)
    return np.asarray(np.divide(np.bincount(groups[window], label[window], n_groups), counts, out=np.full(n_groups, np.nan), where=counts > 0))


def _neighbours(groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Some pairs of rows of one group: a column that differs within any of them is constant in no grouping."""
    order = np.argsort(groups, kind="stable")
    same = np.flatnonzero(groups[order][1:] == groups[order][:-1])
    same = same[:: max(1, same.size // N_PAIRS)]
    return order[same], order[same + 1]


def _constant_in_groups(
    column: NDArray[np.float32], groups: NDArray[np.int64], pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.float64] | None:
    """Shape (n_groups,): the one value that a column has in each group, NaN where none is known; None where it varies in some group."""
    first, second = column[pairs[0]], column[pairs[1]]
    if bool(((first != second) & np.isfinite(first) & np.isfinite(second)).any()):
        return None
    values = np.asarray(column, np.float64)
    known = np.isfinite(values)
    found = np.full(int(groups.max(initial=0)) + 1, np.nan)
    found[groups[known]] = values[known]
    return found if bool((values[known] == found[groups[known]]).all()) else None


def _equal(value: NDArray[np.float64], mean: NDArray[np.float64]) -> bool:
    both = np.isfinite(value) & np.isfinite(mean)
    if both.sum() < MIN_GROUPS or both.sum() < 0.5 * np.isfinite(value).sum():
        return False
    spread = float(mean[both].std())
    return spread > 0 and bool(np.quantile(np.abs(value[both] - mean[both]), 0.9) <= EXACT * spread)


TARGET_ENCODING = Detector(
    "target_encoding", "a feature holds means of the label", Taxonomy.ILLEGITIMATE_FEATURES, Scope.TARGET, LeakageStatus.BLOCKED, target_encoding, has_unproven
)
