"""Features that are the target in other clothes."""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import AuditContext, Detector, Finding, Scope, Taxonomy, Verdict
from training_assets.metrics import grouped_midranks


def near_copy(context: AuditContext) -> Verdict:
    """Rank correlation of each feature with the label itself."""
    assert context.target is not None
    bound = context.config.leakage.near_copy_correlation
    one = np.zeros(context.rows.size, np.int64)
    label = _centred(grouped_midranks(context.target_values, one))
    findings, worst = [], 0.0
    for code, name in enumerate(context.panel.feature_names):
        values = context.panel.features[code][context.rows]
        known = np.isfinite(values)
        if known.sum() < 30:
            continue
        everywhere = known.all()
        ranks = _centred(grouped_midranks(values[known], one[known]))
        other = label if everywhere else _centred(grouped_midranks(context.target_values[known], one[known]))
        norm = np.sqrt((ranks**2).sum() * (other**2).sum())
        correlation = abs(float(ranks @ other / norm)) if norm > 0 else 0.0
        worst = max(worst, correlation)
        if correlation >= bound:
            message = (
                f"|rank correlation| {correlation:.3f} with the label >= {bound}: the feature is a copy of what it should predict; "
                "leave it out, or accept it in leakage.accept with a reason"
            )
            findings.append(Finding(None, name, correlation, bound, LeakageStatus.BLOCKED, message))
    return Verdict(findings, worst, bound, len(context.panel.feature_names))


def _centred(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(ranks - ranks.mean())


NEAR_COPY = Detector(
    "near_copy", "a feature is a copy of the target", Taxonomy.ILLEGITIMATE_FEATURES, Scope.TARGET, LeakageStatus.BLOCKED, near_copy, lambda context: True
)
