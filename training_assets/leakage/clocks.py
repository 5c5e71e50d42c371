"""Labels that are known too early, and folds that share label time."""

import numpy as np

from config.sections.base import LeakageStatus
from training_assets.leakage.base import AuditContext, Detector, Finding, Scope, Taxonomy, Verdict
from training_assets.splits import make_folds


def label_known_at_decision(context: AuditContext) -> Verdict:
    """Share of rows whose label interval ends at or before the row's own close."""
    assert context.target is not None
    ends = context.panel.label_end_codes[context.panel.target_code(context.target.name)][context.rows]
    share = float((ends <= context.panel.time_codes[context.rows]).mean()) if context.rows.size else 0.0
    message = f"{share:.1%} of labels are known at their row's own close; shift the target by its horizon"
    findings = [Finding(None, None, share, 0.0, LeakageStatus.BLOCKED, message)] if share > 0 else []
    return Verdict(findings, share, 0.0, int(context.rows.size))


def label_overlap(context: AuditContext) -> Verdict:
    """Training labels that reach into a test block's labels, counted row by row without the splitter's own purge."""
    assert context.target is not None
    panel, target = context.panel, context.target
    ends = panel.label_end_codes[panel.target_code(target.name)]
    overlaps = 0
    for fold in make_folds(panel.holdout_start_code, target.horizon_bars, 0, context.config.splits):
        train, test = fold.train_mask(panel.time_codes, ends), fold.test_mask(panel.time_codes, ends)
        if not train.any() or not test.any():
            continue
        first, last = int(panel.time_codes[test].min()), int(ends[test].max())
        overlaps += int(((panel.time_codes[train] < last) & (ends[train] > first)).sum())
    message = f"{overlaps} training labels overlap a test block; raise splits.purge_bars to at least {target.horizon_bars} (config/training.yaml)"
    findings = [Finding(None, None, float(overlaps), 0.0, LeakageStatus.BLOCKED, message)] if overlaps else []
    return Verdict(findings, float(overlaps), 0.0, int(np.isfinite(ends).sum()))


LABEL_KNOWN_AT_DECISION = Detector(
    "label_known_at_decision",
    "the label is known when the decision is made",
    Taxonomy.TEMPORAL,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    label_known_at_decision,
    lambda context: True,
)
LABEL_OVERLAP = Detector(
    "label_overlap",
    "training labels reach into the test block",
    Taxonomy.DEPENDENCE,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    label_overlap,
    lambda context: True,
)
