"""Features that know the outcome in one symbol or one stretch of time, where a leak drowns in the panel as a whole.

Belongs here: the places looked at, and a bound that grows as the observations in them fall. Does not: skill over the whole panel (`skill`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, blocked
from training_assets.leakage.skill import returns_only

# A correlation in one of many small places counts from so many errors on.
STRETCH_ERRORS = 6.0
N_STRETCHES = 6


def fisher_bound(bound: float, n_effective: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """The bound, or where so few observations reach it by chance the correlation that lies `STRETCH_ERRORS` errors from 0 on Fisher's scale."""
    return np.asarray(np.maximum(bound, np.tanh(STRETCH_ERRORS / np.sqrt(np.maximum(np.asarray(n_effective) - 3.0, 1.0)))), np.float64)


def stretch_skill(context: AuditContext) -> Verdict:
    """Rank correlation of each feature with the label in one symbol, or in one stretch of time: a leak there drowns in the panel as a whole."""
    evidence, setting = context.evidence, context.config.leakage.stretch_correlation
    label = context.of_target.own_labels[evidence.rows]
    findings: dict[str, Finding] = {}
    worst = (0.0, setting)
    for where, n_effective, correlations in _stretches(context, label):
        bound = fisher_bound(setting, n_effective)
        found = np.abs(correlations) * context.unproven
        top = int(np.argmax(found / bound))
        worst = max(worst, (float(found[top]), float(bound[top])), key=lambda pair: pair[0] / pair[1])
        for feature in np.flatnonzero(found >= bound):
            name = context.panel.feature_names[feature]
            message = (
                f"|rank correlation| {found[feature]:.3f} with the label {where} >= {bound[feature]:.3f}: no honest feature of returns knows so much "
                f"anywhere, so it was made from labels there; leave it out, {OR_ACCEPT}"
            )
            findings.setdefault(name, blocked(name, found[feature], bound[feature], message))
    return Verdict(list(findings.values()), *worst, len(context.panel.feature_names))


def _stretches(context: AuditContext, label: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Each symbol and each stretch of time: where, and of every feature how many independent labels it is known beside, and its correlation there."""
    evidence, panel = context.evidence, context.panel
    codes = panel.time_codes[evidence.rows]
    for code, symbol in enumerate(panel.symbols):
        part = evidence.part(code)
        if part.stop > part.start:
            yield f"of {symbol}", _independent(context, codes[part], label[part], evidence.known[:, part]), evidence.correlations_of_symbol(code, label)
    edges = np.linspace(codes.min(initial=0), codes.max(initial=0) + 1, N_STRETCHES + 1)
    place = np.clip(np.searchsorted(edges, codes, side="right") - 1, 0, N_STRETCHES - 1)
    columns = np.stack([np.where(place == stretch, label, np.nan) for stretch in range(N_STRETCHES)], axis=1).astype(np.float32)
    table = evidence.correlations(columns, own=True)
    for stretch in range(N_STRETCHES):
        mine = np.flatnonzero(place == stretch)
        if mine.size:
            n_labels = _independent(context, codes[mine], label[mine], evidence.known[:, mine])
            yield f"in stretch {stretch + 1} of {N_STRETCHES} of time", n_labels, table[:, stretch]


def _independent(context: AuditContext, codes: NDArray[np.int32], label: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Shape (n_features,): timestamps among these rows whose labels do not overlap, no more than those at which the feature and the label are known."""
    span = (float(codes.max()) - float(codes.min()) + 1.0) / context.of_target.info.horizon_bars
    share = known @ np.isfinite(label).astype(np.float32) / label.size
    return np.asarray(np.minimum(span, np.unique(codes).size * share), np.float64)


STRETCH_SKILL = Detector(
    "stretch_skill",
    "a feature knows the outcome in one symbol or one stretch of time",
    Taxonomy.ILLEGITIMATE_FEATURES,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    stretch_skill,
    returns_only,
)
