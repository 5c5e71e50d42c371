"""Columns that know later bars: features beyond what the known past says of them, and labels beyond their own horizon.

Belongs here: the shapes of a feature that are put to the test, and the findings. Does not: the known past itself (`known_past`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, blocked
from training_assets.leakage.evidence import Evidence, Floats, standard_ranks
from training_assets.leakage.known_past import LaterBars
from training_assets.leakage.skill import has_unproven
from training_assets.leakage.stretches import fisher_bound
from training_assets.panel.targets.windows import behind

# A pattern of missing values in fewer, or more, of the rows than this says nothing.
LEAST_MISSING = 0.02


def later_bars(context: AuditContext) -> Verdict:
    """How much of later bars each supplied feature tells that the known past does not: its level, its change, its distance, and where it is missing."""
    evidence, settings = context.evidence, context.config.leakage
    later = LaterBars.of(evidence)
    n_effective = evidence.effective_times(1)
    bounds = {"returns": settings.later_returns, "sizes of moves": settings.later_sizes, "volume": settings.later_sizes}
    codes = np.flatnonzero(context.unproven)
    worst, findings = (0.0, bounds["returns"]), dict[str, Finding]()
    for shape, columns in _shapes(evidence, codes):
        seen = n_effective * np.isfinite(columns).mean(axis=1)
        for what, told in later.told(columns, n_effective).items():
            bound = fisher_bound(bounds[what], seen)
            top = int(np.argmax(told / bound))
            worst = max(worst, (float(told[top]), float(bound[top])), key=lambda pair: pair[0] / pair[1])
            for place in np.flatnonzero(told >= bound):
                name = context.panel.feature_names[codes[place]]
                message = (
                    f"its {shape} tells {what} of later bars, less what the bars up to the row say of them, with a correlation of {told[place]:.3f} >= "
                    f"{bound[place]:.3f}: it is made of bars that had not happened; compute it from bars up to the row's close, leave it out, {OR_ACCEPT}"
                )
                findings.setdefault(name, blocked(name, told[place], bound[place], message))
    return Verdict(list(findings.values()), *worst, int(codes.size))


def label_horizon(context: AuditContext) -> Verdict:
    """How much a supplied label tells of bars after its horizon that the bars up to it do not."""
    evidence, of_target = context.evidence, context.of_target
    horizon = of_target.info.horizon_bars
    n_effective = evidence.effective_times(1)
    bound = float(fisher_bound(context.config.leakage.label_beyond_horizon, n_effective))
    told = LaterBars.of(evidence, horizon).told(of_target.own_labels[evidence.rows][None, :], n_effective)
    what = max(told, key=lambda name: float(told[name][0]))
    worst = float(told[what][0])
    message = (
        f"the label tells {what} of bars after its horizon of {horizon} bars, less what the bars up to it say of them, with a correlation of {worst:.3f} >= "
        f"{bound:.3f}: it reaches further than its name says, and purging by that horizon leaves training labels in the test block; state the true horizon in "
        f"its name or in targets.supplied (config/targets.yaml), {OR_ACCEPT}"
    )
    return Verdict([blocked(None, worst, bound, message)] if worst >= bound else [], worst, bound, int(np.isfinite(of_target.labels).sum()))


def _shapes(evidence: Evidence, codes: NDArray[np.int64]) -> Iterator[tuple[str, Floats]]:
    """What of each feature is put to the test, and its columns of shape (n_features, n): standardised within symbols, NaN where not known."""
    values = evidence.standard_within(np.stack([standard_ranks(evidence.panel.features[code][evidence.rows]) for code in codes]))
    yield "value", values
    yield "distance from its middle", evidence.standard_within(np.abs(values))
    yield "change", evidence.standard_within(np.stack([_change(evidence, int(code)) for code in codes]))
    missing = np.isnan(values)
    shares = missing.mean(axis=1, keepdims=True)
    patterned = (shares >= LEAST_MISSING) & (shares <= 1.0 - LEAST_MISSING)
    yield "pattern of missing values", evidence.standard_within(np.where(patterned, missing, np.nan).astype(np.float32))


def _change(evidence: Evidence, code: int) -> Floats:
    """Shape (n,): ranks of a feature's change from the symbol's bar before."""
    panel = evidence.panel
    values = np.asarray(panel.features[code], np.float64)
    change = values - behind(values, 1)
    change[panel.symbol_offsets[:-1][np.diff(panel.symbol_offsets) > 0]] = np.nan
    return standard_ranks(change[evidence.rows])


def _is_supplied_target(context: AuditContext) -> bool:
    return context.of_target.info.source == "supplied"


LATER_BARS = Detector(
    "later_bars", "a feature knows of later bars what known ones do not say", Taxonomy.TEMPORAL, Scope.PANEL, LeakageStatus.BLOCKED, later_bars, has_unproven
)
LABEL_HORIZON = Detector(
    "label_horizon", "a label reaches beyond its horizon", Taxonomy.DEPENDENCE, Scope.TARGET, LeakageStatus.BLOCKED, label_horizon, _is_supplied_target
)
