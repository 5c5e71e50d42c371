"""Supplied columns that give themselves away: by name, or by which of their rows are missing.

Belongs here: names that look forward, and labels that are null by outcome. Does not: values (`copies`, `skill`, `placebo`).
"""

import re

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.contributions import area_under_curve
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Scope, Taxonomy, Verdict, blocked
from training_assets.panel.targets.windows import ahead

MIN_MISSING_SHARE = 0.02
MIN_MISSING_ROWS = 50


def forward_name(context: AuditContext) -> Verdict:
    """Supplied features whose name says that they look forward."""
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in context.config.leakage.forward_name_patterns]
    names = [info.name for info in context.panel.feature_infos if info.source == "supplied"]
    findings = []
    for name in names:
        hits = [pattern.pattern for pattern in patterns if pattern.search(name)]
        if hits:
            message = (
                f"its name matches {len(hits)} > 0 of leakage.forward_name_patterns ({hits[0]}): it says that it looks forward; leave it out, make it a target "
                f"(targets.column_patterns, config/targets.yaml), {OR_ACCEPT}"
            )
            findings.append(blocked(name, len(hits), 0.0, message))
    return Verdict(findings, float(max((one.statistic for one in findings), default=0.0)), 0.0, len(names))


def selective_labels(context: AuditContext) -> Verdict:
    """How well the size of the return to come tells which labels are missing, as |2 AUC - 1|: rows that were left out by their outcome.

    Only rows inside the series count, whose horizon lies within it and within one session: labels may well end with their data.
    """
    panel, of_target = context.panel, context.of_target
    bound, horizon = context.config.leakage.selective_label_gini, of_target.info.horizon_bars
    close = np.asarray(context.bars.values[3])
    moves = np.abs(np.log(ahead(close, horizon) / close))
    inside = _inside(context, horizon) & np.isfinite(moves)
    missing = inside & (panel.label_end_codes[of_target.code] < 0)
    n_missing, n_inside = int(missing.sum()), int(inside.sum())
    if n_missing < max(MIN_MISSING_ROWS, MIN_MISSING_SHARE * n_inside) or n_missing == n_inside:
        return Verdict([], 0.0, bound, n_inside)
    segment = np.zeros(n_inside, np.int64)
    score = area_under_curve(moves[inside], missing[inside], segment, 1).scores[0]
    statistic = float(abs(2.0 * score - 1.0))
    message = (
        f"{n_missing / n_inside:.1%} of the labels inside the series are missing, and the size of the return to come tells which, |2 AUC - 1| {statistic:.3f} "
        f">= {bound}: rows were left out by their outcome, and a score on the others says nothing; label every row, or make the band a class"
    )
    return Verdict([blocked(None, statistic, bound, message)] if statistic >= bound else [], statistic, bound, n_inside)


def _inside(context: AuditContext, horizon: int) -> NDArray[np.bool_]:
    """Rows before the holdout between a symbol's first and last label whose horizon ends in the same session."""
    panel = context.panel
    ends = panel.label_end_codes[context.of_target.code]
    inside = np.zeros(panel.n_rows, bool)
    for start, stop in zip(panel.symbol_offsets[:-1], panel.symbol_offsets[1:], strict=True):
        labelled = np.flatnonzero(ends[start:stop] >= 0)
        if labelled.size:
            inside[start + labelled[0] : min(start + labelled[-1] + 1, stop - horizon)] = True
    last = np.minimum(np.arange(panel.n_rows) + horizon, panel.n_rows - 1)
    inside &= panel.time_codes[last] < panel.holdout_start_code
    return np.asarray(inside & (panel.session_codes[panel.time_codes[last]] == panel.session_codes[panel.time_codes]))


def _has_supplied_features(context: AuditContext) -> bool:
    return any(info.source == "supplied" for info in context.panel.feature_infos)


def _is_supplied_target(context: AuditContext) -> bool:
    return context.of_target.info.source == "supplied"


FORWARD_NAME = Detector(
    "forward_name",
    "a supplied feature says that it looks forward",
    Taxonomy.ILLEGITIMATE_FEATURES,
    Scope.PANEL,
    LeakageStatus.BLOCKED,
    forward_name,
    _has_supplied_features,
)
SELECTIVE_LABELS = Detector(
    "selective_labels", "labels are missing by outcome", Taxonomy.SAMPLING, Scope.TARGET, LeakageStatus.BLOCKED, selective_labels, _is_supplied_target
)
