"""Features that are too good to be true: alone, in one stretch of time only, or as the one that makes the model.

Belongs here: bounds on skill by the field the label belongs to. Does not: copies (`copies`), lags (`placebo`).

A label's field is read from the label: what its own known past and trailing moves say of it (`TargetEvidence.honest_correlation`). Returns are all
but unpredictable, and a single feature with an AUC of .65 is a leak until shown otherwise; volatility is predicted at .6 by its own past, so there a
feature is only too good where it leaves much less unexplained than that past does.
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus, TaskType
from training_assets.contributions import area_under_curve
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, blocked, suspect
from training_assets.leakage.quick_ridge import QuickRidge
from training_assets.uncertainty import score_clustered_by_time

# From this honest correlation on a label counts as predictable, like volatility; five-day returns stay below .1.
PREDICTABLE_FROM = 0.2
# In the field of predictable labels a feature is too good where it leaves less than this share of what the label's own past leaves.
PREDICTABLE_LEFT = 0.35
# Features whose rank correlation is below this cannot reach any bound on AUC that the schema allows.
WORTH_A_LOOK = 0.2
N_DOMINANT = 3
GAP_ERRORS = 5.0


def is_predictable(context: AuditContext) -> bool:
    """Whether the label is of a field that is honestly predictable."""
    return context.of_target.honest_correlation >= PREDICTABLE_FROM


def single_feature_skill(context: AuditContext) -> Verdict:
    """Lower confidence bound of each feature's own AUC for the label's upper half, or for predictable labels what it leaves unexplained."""
    correlations = np.abs(context.evidence.correlations(context.of_target.labels[context.evidence.rows, None])[:, 0]) * context.unproven
    return _predictable_field(context, correlations) if is_predictable(context) else _return_field(context, correlations)


def _return_field(context: AuditContext, correlations: NDArray[np.float64]) -> Verdict:
    settings, names = context.config.leakage, context.panel.feature_names
    block, doubt = settings.single_feature_auc, settings.single_feature_suspect_auc
    findings: list[Finding] = []
    worst = 0.5
    for feature in np.flatnonzero(correlations >= WORTH_A_LOOK):
        auc, low = _auc_of(context, int(feature))
        worst = max(worst, low)
        tail = (
            f"of {context.of_target.n_effective:.0f} independent labels; one honest feature of returns scores .52 to .54, so it knows the outcome until "
            f"shown otherwise: leave it out, {OR_ACCEPT}"
        )
        if low >= block:
            findings.append(blocked(names[feature], low, block, f"AUC {auc:.3f}, at least {low:.3f} >= {block} {tail}"))
        elif low >= doubt:
            findings.append(suspect(names[feature], low, doubt, f"AUC {auc:.3f}, at least {low:.3f} >= {doubt} {tail}"))
    return Verdict(findings, worst, block, len(names))


def _predictable_field(context: AuditContext, correlations: NDArray[np.float64]) -> Verdict:
    honest, names = context.of_target.honest_correlation, context.panel.feature_names
    bound = float(np.sqrt(1.0 - PREDICTABLE_LEFT * (1.0 - honest**2)))
    findings = [
        blocked(
            names[feature],
            correlations[feature],
            bound,
            f"|rank correlation| {correlations[feature]:.3f} >= {bound:.3f}, where the label's own past and trailing moves reach {honest:.3f}: no honest "
            f"feature comes so near; leave it out, {OR_ACCEPT}",
        )
        for feature in np.flatnonzero(correlations >= bound)
    ]
    return Verdict(findings, float(correlations.max(initial=0.0)), bound, len(names))


def _auc_of(context: AuditContext, feature: int) -> tuple[float, float]:
    """AUC above one half (the side does not matter) of a feature for the label's upper part, and its lower bound by HAC over timestamps."""
    values, positive, times = _split(context, feature)
    if values.size < 30 or positive.all() or not positive.any():
        return 0.5, 0.5
    segment = np.zeros(values.size, np.int64)
    parts = area_under_curve(values, positive, segment, 1)
    if parts.scores[0] < 0.5:
        parts = area_under_curve(-values, positive, segment, 1)
    step = max(1.0, context.evidence.n_times / max(np.unique(times).size, 1))
    horizon = max(1, round(context.of_target.info.horizon_bars / step))
    table = score_clustered_by_time(parts, segment, times, horizon, 0.5, context.config.scoring.confidence, context.config.scoring.hac_horizons)
    low = float(table.ci_low[0])
    return float(table.score[0]), low if np.isfinite(low) else 0.5


def _split(context: AuditContext, feature: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Feature values, whether the label is in its upper part (above the median, or the upper classes, a middle class left out), time codes."""
    rows, of_target = context.evidence.rows, context.of_target
    label = np.where(np.isfinite(of_target.labels[rows]), context.panel.labels[of_target.code][rows], np.nan)
    values = np.asarray(context.panel.features[feature][rows], np.float64)
    if of_target.info.task_type is TaskType.REGRESSION:
        middle = np.nanmedian(label) if np.isfinite(label).any() else np.nan
    else:
        middle = (len(of_target.info.classes) - 1) / 2.0
    used = np.isfinite(values) & np.isfinite(label) & ((label != middle) | (of_target.info.task_type is TaskType.REGRESSION))
    return values[used], label[used] > middle, context.panel.time_codes[rows][used].astype(np.int64)


def gini(context: AuditContext, feature: int, positive: NDArray[np.bool_], usable: NDArray[np.bool_]) -> float:
    """|2 AUC - 1| of one feature for a class, on the audited rows that are usable; 0 where there is no such number."""
    ranks, known = context.evidence.ranks[feature], context.evidence.known[feature]
    used = usable & known
    n_positive, n_negative = int((positive & used).sum()), int((~positive & used).sum())
    if min(n_positive, n_negative) < 10:
        return 0.0
    parts = area_under_curve(ranks[used].astype(np.float64), positive[used], np.zeros(int(used.sum()), np.int64), 1)
    return float(abs(2.0 * parts.scores[0] - 1.0))


def score_gap(context: AuditContext) -> Verdict:
    """How much better a feature is on the earlier than on the later half of time: it was made from the labels of the one and not of the other."""
    evidence, names = context.evidence, context.panel.feature_names
    bound = max(context.config.leakage.score_gap, GAP_ERRORS / np.sqrt(max(context.of_target.n_effective / 2.0, 1.0)))
    label = context.of_target.own_labels[evidence.rows]
    codes = context.panel.time_codes[evidence.rows]
    early = codes < np.median(codes)
    halves = np.stack([np.where(early, label, np.nan), np.where(early, np.nan, label)], axis=1)
    skill = np.abs(evidence.correlations(halves, own=True))
    gaps = (skill[:, 0] - skill[:, 1]) * context.unproven
    findings = [
        blocked(
            names[feature],
            gaps[feature],
            bound,
            f"|rank correlation| {skill[feature, 0]:.3f} with the label in the first half of time and {skill[feature, 1]:.3f} in the second, a gap of "
            f"{gaps[feature]:.3f} >= {bound:.3f}: it was fitted to the labels it is trained on; leave it out, {OR_ACCEPT}",
        )
        for feature in np.flatnonzero(gaps >= bound)
    ]
    return Verdict(findings, float(gaps.max(initial=0.0)), bound, len(names))


def dominance(context: AuditContext, model: QuickRidge | None = None) -> Verdict:
    """Jump of a pooled ridge model's score out of sample when one feature joins all the others."""
    bound = context.config.leakage.dominance_jump
    ridge = quick_model(context) if model is None else model
    whole = float(ridge.scores()[0])
    if not np.isfinite(whole):
        return Verdict.unable("no fold has rows enough to score a model with and without a feature; supply more history")
    names, findings, worst = context.panel.feature_names, [], 0.0
    losses = np.where(context.unproven, ridge.in_sample_losses(), 0.0)
    for feature in np.argsort(-losses, kind="stable")[: min(N_DOMINANT, int(context.unproven.sum()))]:
        others = np.delete(np.arange(len(names)), feature)
        without = float(ridge.scores(others)[0]) if others.size else 0.0
        jump = whole - without
        worst = max(worst, jump)
        if jump >= bound:
            message = (
                f"out-of-sample rank correlation jumps from {without:.3f} to {whole:.3f} when this feature joins the others, by {jump:.3f} >= {bound}: "
                f"one feature makes the model; leave it out, {OR_ACCEPT}"
            )
            findings.append(blocked(names[feature], jump, bound, message))
    return Verdict(findings, worst, bound, min(N_DOMINANT, len(names)))


def quick_model(context: AuditContext, extra_labels: NDArray[np.float32] | None = None) -> QuickRidge:
    """A pooled ridge model of the target on ranks within symbols, over the folds that are scored on; see `QuickRidge.of_folds`."""
    of_target, evidence, panel = context.of_target, context.evidence, context.panel
    rows = evidence.rows
    label = of_target.own_labels[rows]
    columns = label[:, None] if extra_labels is None else np.concatenate([label[:, None], extra_labels], axis=1)
    ends = np.where(np.isfinite(label), panel.label_end_codes[of_target.code][rows], -1).astype(np.int32)
    folds = context.machinery.folds(panel.holdout_start_code, of_target.info.horizon_bars, longest_lookback(context), context.config.splits)
    return QuickRidge.of_folds(evidence.own_ranks, np.nan_to_num(columns), folds, panel.time_codes[rows], ends, context.config.splits.min_train_rows)


def longest_lookback(context: AuditContext) -> int:
    """Bars that the panel's longest feature looks back."""
    return max((info.lookback_bars + info.lag_bars for info in context.panel.feature_infos), default=0)


def has_unproven(context: AuditContext) -> bool:
    """Whether any feature has to be judged by statistics."""
    return bool(context.unproven.any())


def returns_only(context: AuditContext) -> bool:
    """Whether statistics judge features of a label that is all but unpredictable."""
    return has_unproven(context) and not is_predictable(context)


SINGLE_FEATURE_SKILL = Detector(
    "single_feature_skill",
    "one feature alone is too good for its field",
    Taxonomy.ILLEGITIMATE_FEATURES,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    single_feature_skill,
    has_unproven,
)
SCORE_GAP = Detector(
    "score_gap",
    "a feature knows the labels of the training part only",
    Taxonomy.PREPROCESSING,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    score_gap,
    returns_only,
)
DOMINANCE = Detector("dominance", "one feature makes the model", Taxonomy.ILLEGITIMATE_FEATURES, Scope.TARGET, LeakageStatus.BLOCKED, dominance, returns_only)
