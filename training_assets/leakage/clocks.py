"""Labels that are known too early, and folds whose two sides share rows, label time or look-back.

Belongs here: independent oracles over the folds, counted bar by bar without the splitter's own arithmetic. Does not: the clock of the bars (`market_clock`).
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import AuditContext, Detector, Scope, Taxonomy, Verdict, always, blocked
from training_assets.leakage.evidence import MIN_PAIRS
from training_assets.leakage.skill import longest_lookback
from training_assets.splits import Fold, SplitError

# counted(context, train, test, label ends) over all panel rows
Counter = Callable[[AuditContext, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int32]], int]

# A label that starts `s` of its `h` bars early correlates with the known return by the root of s / h; one bar early is the least.
EARLY_SHARE = 0.5
LEAST_EARLY_CORRELATION = 0.1
EARLY_ERRORS = 5.0


def label_known_at_decision(context: AuditContext) -> Verdict:
    """Share of rows whose label interval ends by the row's own close; and for supplied labels, how far they are the return that is already known."""
    of_target, panel = context.of_target, context.panel
    ends = panel.label_end_codes[of_target.code]
    labelled = (ends >= 0) & (panel.time_codes < panel.holdout_start_code)
    share = float((ends[labelled] <= panel.time_codes[labelled]).mean()) if labelled.any() else 0.0
    if share > 0:
        message = f"{share:.1%} of labels > 0 are known at their row's own close; shift the target ahead by its horizon"
        return Verdict([blocked(None, share, 0.0, message)], share, 0.0, int(labelled.sum()))
    if of_target.info.source == "builtin":
        return Verdict([], 0.0, 0.0, int(labelled.sum()))
    return _known_return(context)


def _known_return(context: AuditContext) -> Verdict:
    """Rank correlation of a supplied label with returns that end at its row's close, the same way round."""
    evidence, of_target = context.evidence, context.of_target
    horizon = of_target.info.horizon_bars
    label = of_target.own_labels[evidence.rows].astype(np.float64)
    worst, bound, at = 0.0, 1.0, 1
    for n_bars in dict.fromkeys((1, max(1, horizon // 2), horizon)):
        trailing = evidence.trailing_sums(evidence.bar_returns, n_bars)[evidence.rows]
        both = np.isfinite(trailing) & np.isfinite(label)
        if both.sum() < MIN_PAIRS or trailing[both].std() == 0 or label[both].std() == 0:
            continue
        correlation = float(np.corrcoef(np.argsort(np.argsort(trailing[both])), label[both])[0, 1])
        # Of the two series the one that overlaps less sets how many observations are independent.
        error = 1.0 / np.sqrt(max(evidence.effective_times(n_bars), 1.0))
        own_bound = min(0.9, max(LEAST_EARLY_CORRELATION, EARLY_SHARE / np.sqrt(horizon), EARLY_ERRORS * error))
        if correlation / own_bound > worst / bound:
            worst, bound, at = correlation, own_bound, n_bars
    message = (
        f"rank correlation {worst:.3f} >= {bound:.3f} of the label with the return over the {at} bars up to its row's close: its interval starts before the "
        "decision; shift the target ahead, so that it looks from the row's close on"
    )
    return Verdict([blocked(None, worst, bound, message)] if worst >= bound else [], worst, bound, int(np.isfinite(label).sum()))


def label_overlap(context: AuditContext) -> Verdict:
    """Training labels whose interval shares a bar with a test label's."""
    return _count(context, _overlapping, "training labels share bars with a test label", f"raise splits.purge_bars to at least {_horizon(context)}")


def lookback_overlap(context: AuditContext) -> Verdict:
    """Training rows after a test block whose features look back into its labels."""
    return _count(context, _looking_back, "training rows look back into a test label", f"raise splits.embargo_bars to {longest_lookback(context)} bars")


def tested_rows_trained(context: AuditContext) -> Verdict:
    """Rows on both sides of a fold."""
    return _count(context, _shared_rows, "rows are trained and tested on in one fold", "cut the folds so that no row is on both sides")


def _horizon(context: AuditContext) -> int:
    return context.of_target.info.horizon_bars


def _folds(context: AuditContext) -> Iterator[tuple[Fold, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int32]]]:
    """Each fold with its training rows, its test rows and the ends of all labels."""
    panel = context.panel
    ends = panel.label_end_codes[context.of_target.code]
    for fold in context.machinery.folds(panel.holdout_start_code, _horizon(context), longest_lookback(context), context.config.splits):
        yield fold, fold.train_mask(panel.time_codes, ends), fold.test_mask(panel.time_codes, ends), ends


def _count(context: AuditContext, counted: Counter, what: str, remedy: str) -> Verdict:
    try:
        total = sum(counted(context, train, test, ends) for _, train, test, ends in _folds(context))
    except SplitError as error:
        return Verdict.unable(str(error))
    message = f"{total} {what} > 0 over all folds; {remedy} (config/training.yaml)"
    findings = [blocked(None, total, 0.0, message)] if total else []
    return Verdict(findings, float(total), 0.0, int((context.panel.label_end_codes[context.of_target.code] >= 0).sum()))


def _tested_bars(context: AuditContext, test: NDArray[np.bool_], ends: NDArray[np.int32]) -> NDArray[np.int64]:
    """Shape (n_times + 1,): how many bars up to a time code, itself left out, lie in some test label's interval (row, end]."""
    n_times = context.panel.times_ns.size
    steps = np.bincount(context.panel.time_codes[test] + 1, minlength=n_times + 2) - np.bincount(ends[test] + 1, minlength=n_times + 2)
    return np.asarray(np.r_[0, np.cumsum(np.cumsum(steps)[:n_times] > 0)], np.int64)


def _overlapping(context: AuditContext, train: NDArray[np.bool_], test: NDArray[np.bool_], ends: NDArray[np.int32]) -> int:
    tested = _tested_bars(context, test, ends)
    return int((tested[ends[train] + 1] > tested[context.panel.time_codes[train] + 1]).sum())


def _looking_back(context: AuditContext, train: NDArray[np.bool_], test: NDArray[np.bool_], ends: NDArray[np.int32]) -> int:
    panel = context.panel
    if not test.any():
        return 0
    tested = _tested_bars(context, test, ends)
    later = np.flatnonzero(train & (panel.time_codes > panel.time_codes[test].max()))
    first = panel.symbol_offsets[np.searchsorted(panel.symbol_offsets, later, side="right") - 1]
    oldest = panel.time_codes[np.maximum(later - longest_lookback(context), first)]
    return int((tested[panel.time_codes[later] + 1] > tested[oldest]).sum())


def _shared_rows(context: AuditContext, train: NDArray[np.bool_], test: NDArray[np.bool_], ends: NDArray[np.int32]) -> int:
    return int((train & test).sum())


LABEL_KNOWN_AT_DECISION = Detector(
    "label_known_at_decision",
    "the label is known when the decision is made",
    Taxonomy.TEMPORAL,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    label_known_at_decision,
    always,
)
LABEL_OVERLAP = Detector(
    "label_overlap", "training labels reach into the test block", Taxonomy.DEPENDENCE, Scope.TARGET, LeakageStatus.BLOCKED, label_overlap, always
)
LOOKBACK_OVERLAP = Detector(
    "lookback_overlap", "training features look back into the test block", Taxonomy.DEPENDENCE, Scope.TARGET, LeakageStatus.BLOCKED, lookback_overlap, always
)
TESTED_ROWS_TRAINED = Detector(
    "tested_rows_trained", "rows are trained and tested on", Taxonomy.NO_TEST_SET, Scope.TARGET, LeakageStatus.BLOCKED, tested_rows_trained, always
)
