"""What was fitted outside its training part: preprocessing, scaling that came with the data, and the choice of features.

Belongs here: fit windows against training windows, and the fingerprint of moments over the whole sample. Does not: models.
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.families.base import sample_from_arrays
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, always, blocked
from training_assets.leakage.skill import longest_lookback
from training_assets.splits import SplitError

N_COLUMNS = 2
MAX_TRAIN_ROWS = 2_000
# Float32 keeps 7 digits; moments over thousands of rows agree to 5 of them, and moments of another window do not.
EXACT = 1e-4
APART = 50.0


def preprocessing_window(context: AuditContext) -> Verdict:
    """Time codes outside the training rows that preprocessing, fitted on each fold's training rows, says it has seen."""
    panel, of_target = context.panel, context.of_target
    ends = panel.label_end_codes[of_target.code]
    try:
        folds = context.machinery.folds(panel.holdout_start_code, of_target.info.horizon_bars, longest_lookback(context), context.config.splits)
    except SplitError as error:
        return Verdict.unable(str(error))
    outside, n_fits = 0, 0
    for fold in folds:
        train = np.flatnonzero(fold.train_mask(panel.time_codes, ends))
        train = train[:: max(1, train.size // MAX_TRAIN_ROWS)]
        if train.size < 2:
            continue
        codes = panel.time_codes[train]
        sample = sample_from_arrays(np.asarray(panel.features[:N_COLUMNS, train]).T, panel.labels[of_target.code, train], codes, _symbols(context, train))
        for fit in context.machinery.preprocessing_windows:
            first, last = fit(sample)
            outside += max(0, int(codes.min()) - first) + max(0, last - int(codes.max()))
            n_fits += 1
    message = f"preprocessing saw {outside} bars > 0 outside the training rows of its fold; fit it on the training sample alone"
    return Verdict([blocked(None, outside, 0.0, message)] if outside else [], float(outside), 0.0, n_fits)


def _symbols(context: AuditContext, rows: NDArray[np.int64]) -> NDArray[np.int32]:
    return (np.searchsorted(context.panel.symbol_offsets, rows, side="right") - 1).astype(np.int32)


def full_sample_scaling(context: AuditContext) -> Verdict:
    """How exactly a supplied feature's mean, deviation or range over all rows are 0, 1 or [0, 1], where those before the holdout are not.

    A feature standardised at each timestamp, or by windows that had passed, has no such difference; one that was scaled by all its rows has.
    """
    panel = context.panel
    before = panel.time_codes < panel.holdout_start_code
    findings: list[Finding] = []
    n_checked = 0
    for code, info in enumerate(panel.feature_infos):
        if info.source != "supplied":
            continue
        n_checked += 1
        values = np.asarray(panel.features[code], np.float64)
        groups = [slice(None), *(slice(int(a), int(b)) for a, b in zip(panel.symbol_offsets[:-1], panel.symbol_offsets[1:], strict=True) if b - a >= 50)]
        whole, own = _scaled(values, before), [_scaled(values[part], before[part]) for part in groups[1:]]
        if whole or (own and all(own)):
            message = (
                "its mean and deviation, or its range, over all rows are those of a scaling fitted to all rows, the holdout among them, and before "
                f"the holdout they are not; scale inside the training window (the models do), {OR_ACCEPT}"
            )
            findings.append(blocked(info.name, 1.0, 1.0, f"1 fingerprint >= 1: {message}"))
    return Verdict(findings, float(bool(findings)), 1.0, n_checked)


def _scaled(values: NDArray[np.float64], before: NDArray[np.bool_]) -> bool:
    known = np.isfinite(values)
    everything, past = values[known], values[known & before]
    if past.size < 30 or past.size == everything.size:
        return False
    continuous = np.unique(everything[:: max(1, everything.size // 2_000)]).size > 100
    distances = [(distance(everything), distance(past)) for distance in (_from_standard, _from_robust, _from_mean_one, _from_even_ranks)]
    moments = any(whole < EXACT and earlier > APART * EXACT for whole, earlier in distances)
    return continuous and (moments or _ranged(everything, past))


def _ranged(everything: NDArray[np.float64], past: NDArray[np.float64]) -> bool:
    """Whether the range over all rows is that of a scaling to [0, 1], to [-1, 1] or to a largest value of 1, and the earlier rows' is not.

    Ends that only one row each reaches are those of a scaling; a bounded indicator reaches its ends often, or never.
    """
    low, high = float(everything.min()), float(everything.max())
    single_high, single_low = (everything == high).sum() == 1, (everything == low).sum() == 1
    ends = (low, high) in ((0.0, 1.0), (-1.0, 1.0)) and single_low and (past.min(), past.max()) != (low, high)
    largest = high == 1.0 and low > 0.0 and past.max() < 1.0
    return bool(single_high and (ends or largest))


def _from_standard(values: NDArray[np.float64]) -> float:
    sample_deviation = float(values.std(ddof=1))
    deviation = float(values.std())
    return abs(float(values.mean())) + min(abs(deviation - 1.0), abs(sample_deviation - 1.0))


def _from_robust(values: NDArray[np.float64]) -> float:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(abs(middle) + abs(high - low - 1.0))


def _from_mean_one(values: NDArray[np.float64]) -> float:
    return abs(float(values.mean()) - 1.0) if values.min() > 0 else np.inf


def _from_even_ranks(values: NDArray[np.float64]) -> float:
    """Distance from the ranks 1/n to 1 (or 0 to 1) of all values, each once."""
    ordered = np.sort(values)
    steps = np.arange(1, ordered.size + 1) / ordered.size
    shifted = (np.arange(ordered.size)) / max(ordered.size - 1, 1)
    return float(min(np.abs(ordered - steps).max(), np.abs(ordered - shifted).max()))


def canaries_selected(context: AuditContext) -> Verdict:
    """Margin by which a selected feature stays behind the best random canary: selection that takes noise was not held against noise."""
    rows = context.selection[context.selection["target"] == context.of_target.info.name]
    chosen = rows[rows["selected"].astype(bool)]
    behind = (chosen["canary_bound"] - chosen["consensus"]).to_numpy(float)
    findings = [
        blocked(
            str(name),
            margin,
            0.0,
            f"selected, though its consensus is {margin:.3f} >= 0 behind the best random canary's: it says no more than noise; select again, {OR_ACCEPT}",
        )
        for name, margin in zip(chosen["feature"], behind, strict=True)
        if margin >= 0
    ]
    return Verdict(findings, float(np.nanmax(behind, initial=-1.0)), 0.0, len(chosen))


def selection_window(context: AuditContext) -> Verdict:
    """Bars of the holdout that the choice of features says it has seen, the ends of the labels it used among them."""
    rows = context.selection[context.selection["target"] == context.of_target.info.name]
    inside = max(0, int(rows["fit_end_code"].max()) - context.panel.holdout_start_code + 1)
    message = (
        f"the choice of features saw {inside} bars > 0 of the holdout (its rows and labels end at time code {int(rows['fit_end_code'].max())}, the holdout "
        f"starts at {context.panel.holdout_start_code}): what is left to test it on was chosen by; select again on rows whose labels end before"
    )
    return Verdict([blocked(None, inside, 0.0, message)] if inside else [], float(inside), 0.0, len(rows))


def _states_window(context: AuditContext) -> bool:
    rows = context.selection[context.selection["target"] == context.of_target.info.name]
    return "fit_end_code" in rows.columns and bool((rows["fit_end_code"] >= 0).any())


def _is_selected(context: AuditContext) -> bool:
    rows = context.selection[context.selection["target"] == context.of_target.info.name]
    return bool({"selected", "consensus", "canary_bound"} <= set(rows.columns) and rows["canary_bound"].notna().any())


def _has_supplied(context: AuditContext) -> bool:
    return any(info.source == "supplied" for info in context.panel.feature_infos)


PREPROCESSING_WINDOW = Detector(
    "preprocessing_window",
    "preprocessing is fitted outside the training fold",
    Taxonomy.PREPROCESSING,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    preprocessing_window,
    always,
)
FULL_SAMPLE_SCALING = Detector(
    "full_sample_scaling",
    "a supplied feature was scaled by all its rows",
    Taxonomy.PREPROCESSING,
    Scope.PANEL,
    LeakageStatus.BLOCKED,
    full_sample_scaling,
    _has_supplied,
)
CANARIES_SELECTED = Detector(
    "canaries_selected",
    "selection takes what is no better than noise",
    Taxonomy.FEATURE_SELECTION,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    canaries_selected,
    _is_selected,
)
SELECTION_WINDOW = Detector(
    "selection_window",
    "features were chosen with the holdout in sight",
    Taxonomy.FEATURE_SELECTION,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    selection_window,
    _states_window,
)
