"""Features that are the target in other clothes.

Belongs here: exact copies at any lag within the label's reach, and near copies. Does not: columns that are merely too good (`skill`).
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus, TaskType
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, always, blocked
from training_assets.leakage.evidence import MIN_PAIRS
from training_assets.leakage.skill import gini

# Rows that every lag is tried on before all rows are: a copy agrees on nearly all of them.
N_PROBES = 400
MIN_PROBE_SHARE = 0.9
# Of so many probes so many have to be equal for a partial copy to be looked for on all rows.
N_RARE_PROBES, LEAST_RARE_HITS = 4_000, 20
# A near copy leaves at most this share of the variance that the label's own known past leaves.
NEAR_COPY_LEFT = 0.25


def target_copy(context: AuditContext) -> Verdict:
    """Largest share of a feature's values that are the label's own, at a lag at which the label is not yet known.

    A feature may well be a past label that is known (`lag >= horizon`), and a label that rarely changes then agrees at shorter lags too: a copy
    has to agree more often than at any known lag.
    """
    bound = context.config.leakage.copy_share
    of_target, panel = context.of_target, context.panel
    horizon = of_target.info.horizon_bars
    lags = np.arange(-2 * horizon, horizon + 1)
    labels = np.where(np.isfinite(of_target.labels), panel.labels[of_target.code], np.nan).astype(np.float32)
    columns = context.evidence.lagged(labels, [int(lag) for lag in lags])
    values = _class_values(context)
    findings: list[Finding] = []
    worst = 0.0
    for code, name in enumerate(panel.feature_names):
        column = np.asarray(panel.features[code])[context.evidence.rows]
        shares = _equal_shares(column, columns, values)
        if bool(context.unproven[code]) and not values.size:
            findings += _partial_copy(context, name, column, columns, lags, shares)
        known = float(shares[lags <= -horizon].max())
        place = int(np.argmax(np.where(lags > -horizon, shares, -1.0)))
        share = float(shares[place])
        worst = max(worst, share if share > known else 0.0)
        if share >= bound and share > known:
            message = (
                f"{share:.1%} of its values are the label's own {_lag_in_words(int(lags[place]))} >= {bound:.1%}: the feature is a copy of what it "
                f"should predict; leave it out, {OR_ACCEPT}"
            )
            findings.append(blocked(name, share, bound, message))
    return Verdict(findings, worst, bound, len(panel.feature_names))


def _partial_copy(
    context: AuditContext, name: str, column: NDArray[np.float32], columns: NDArray[np.float32], lags: NDArray[np.int64], whole: NDArray[np.float64]
) -> list[Finding]:
    """A feature that holds labels on some of its rows: equal to values that the label takes once, oftener than at any known lag."""
    bound, unknown = context.config.leakage.partial_copy_share, lags > -context.of_target.info.horizon_bars
    if whole.max() >= context.config.leakage.copy_share:
        return []
    probes = np.flatnonzero(np.isfinite(column))
    probes = probes[:: max(1, probes.size // N_RARE_PROBES)]
    likely = (columns[probes] == column[probes, None]).sum(axis=0) >= LEAST_RARE_HITS
    if not (likely & unknown).any():
        return []
    label = columns[:, int(np.flatnonzero(lags == 0)[0])]
    distinct, counts = np.unique(label[np.isfinite(label)], return_counts=True)
    rare = np.isfinite(column) & np.isin(column, distinct[counts == 1])
    shares = (columns[rare] == column[rare, None]).sum(axis=0) / max(int(np.isfinite(column).sum()), 1)
    place = int(np.argmax(np.where(unknown, shares, -1.0)))
    if shares[place] < bound or shares[place] <= shares[~unknown].max(initial=0.0):
        return []
    message = (
        f"{shares[place]:.1%} of its values are the label's own {_lag_in_words(int(lags[place]))}, to the last digit >= {bound:.1%}: the feature holds labels "
        f"on some of its rows; leave it out, {OR_ACCEPT}"
    )
    return [blocked(name, shares[place], bound, message)]


def _lag_in_words(lag: int) -> str:
    return "of the same row" if lag == 0 else f"{abs(lag)} bars {'later' if lag > 0 else 'earlier, when it is not yet known'}"


def _class_values(context: AuditContext) -> NDArray[np.float32]:
    """Class values by code, empty for regression: a copy of a class label may hold either."""
    return np.array(context.of_target.info.classes, np.float32)


def _equal_shares(column: NDArray[np.float32], columns: NDArray[np.float32], classes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shape (n_lags,): share of rows, of those where both are known, on which a feature equals the lagged label."""
    known = np.flatnonzero(np.isfinite(column))
    if known.size < MIN_PAIRS or column[known].min() == column[known].max():
        return np.zeros(columns.shape[1])
    probes = known[:: max(1, known.size // N_PROBES)]
    likely = _shares(column[probes], columns[probes], classes) >= MIN_PROBE_SHARE
    shares = np.zeros(columns.shape[1])
    if likely.any():
        shares[likely] = _shares(column[known], columns[np.ix_(known, np.flatnonzero(likely))], classes)
    return shares


def _shares(column: NDArray[np.float32], columns: NDArray[np.float32], classes: NDArray[np.float32]) -> NDArray[np.float64]:
    both = np.isfinite(columns)
    n_both = both.sum(axis=0)
    equal = (columns == column[:, None]).sum(axis=0)
    if classes.size:
        codes = np.where(both, columns, 0).astype(np.int64)
        equal = np.maximum(equal, ((classes[codes] == column[:, None]) & both).sum(axis=0))
    return np.where(n_both >= min(MIN_PAIRS, column.size), equal / np.maximum(n_both, 1), 0.0)


def near_copy(context: AuditContext) -> Verdict:
    """Rank correlation of each feature with the label, or for classes twice its AUC less one: over all symbols, and within each.

    A label that hardly moves (a price level) is near its own known past as well: what counts is to be much nearer than that.
    """
    bound = context.config.leakage.near_copy_correlation
    of_target, evidence = context.of_target, context.evidence
    label = of_target.labels[evidence.rows]
    overall = np.abs(evidence.correlations(label[:, None])[:, 0])
    if of_target.info.task_type is not TaskType.REGRESSION:
        overall = _best_gini(context, overall)
    findings, worst = [], float(overall.max(initial=0.0))
    for code in np.flatnonzero(overall >= bound):
        if 1.0 - overall[code] ** 2 < NEAR_COPY_LEFT * (1.0 - of_target.honest_correlation**2):
            message = f"{_measure(context)} {overall[code]:.3f} with the label >= {bound}: the feature is a copy of what it should predict; "
            findings.append(blocked(context.panel.feature_names[code], overall[code], bound, f"{message}leave it out, {OR_ACCEPT}"))
    findings += _near_copies_in_one_symbol(context, label, {str(one.feature) for one in findings})
    return Verdict(findings, worst, bound, len(context.panel.feature_names))


def _near_copies_in_one_symbol(context: AuditContext, label: NDArray[np.float32], found: set[str]) -> list[Finding]:
    if context.of_target.info.task_type is not TaskType.REGRESSION:
        return []
    bound, findings = context.config.leakage.near_copy_correlation, []
    left = NEAR_COPY_LEFT * (1.0 - context.of_target.honest_correlation**2)
    for code, symbol in enumerate(context.panel.symbols):
        correlations = np.abs(context.evidence.correlations_of_symbol(code, label))
        for feature in np.flatnonzero((correlations >= bound) & (1.0 - correlations**2 < left)):
            name = context.panel.feature_names[feature]
            if name not in found:
                message = f"|rank correlation| {correlations[feature]:.3f} with the label of {symbol} >= {bound}: there the feature is a copy of what it should"
                findings.append(blocked(name, correlations[feature], bound, f"{message} predict; leave it out, {OR_ACCEPT}", symbol))
    return findings


def _best_gini(context: AuditContext, correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest one-versus-rest |2 AUC - 1| of the features that come near; the correlation itself for the others."""
    out = correlations.copy()
    codes = context.panel.labels[context.of_target.code][context.evidence.rows]
    usable = np.isfinite(context.of_target.labels[context.evidence.rows])
    for feature in np.flatnonzero(correlations >= 0.3):
        out[feature] = max(gini(context, int(feature), codes == one, usable) for one in range(len(context.of_target.info.classes)))
    return out


def _measure(context: AuditContext) -> str:
    return "|rank correlation|" if context.of_target.info.task_type is TaskType.REGRESSION else "|2 AUC - 1|"


TARGET_COPY = Detector(
    "target_copy",
    "a feature holds the label of its own or a neighbouring row",
    Taxonomy.ILLEGITIMATE_FEATURES,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    target_copy,
    always,
)
NEAR_COPY = Detector("near_copy", "a feature is a copy of the target", Taxonomy.ILLEGITIMATE_FEATURES, Scope.TARGET, LeakageStatus.BLOCKED, near_copy, always)
