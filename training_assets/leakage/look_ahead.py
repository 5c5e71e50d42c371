"""Builders that see the future: built-in features and targets, computed again without it.

Belongs here: which bars and cuts the truncation test runs on, and what its findings mean. Does not: the test itself (`truncation`), or supplied
columns, whose builders cannot be run again.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from config.sections.targets import TargetSpec
from training_assets.leakage.base import AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, blocked
from training_assets.leakage.truncation import Builder, BuiltColumns, TruncationFinding, choose_cuts, feature_builder, truncation_findings
from training_assets.panel.panel import Bars, TargetInfo
from training_assets.panel.targets.base import Target
from training_assets.panel.targets.horizons import parse_horizon
from training_assets.panel.targets.registry import merge_params, target_name

# Cross-sectional builders need at least three symbols, and one that starts late or ends early is worth having.
N_SYMBOLS = 4
# Cuts are made here rather than at the ends: before it there is history, after it a future.
MIDDLE = 0.7


def feature_look_ahead(context: AuditContext) -> Verdict:
    """Rebuild the built-in features with the future removed and with noise in its place; every earlier value must be equal."""
    names = {info.name for info in context.panel.feature_infos if info.source == "builtin"}
    entries = [feature for feature in context.machinery.features if feature.name in names]
    longest = max(feature.reach_bars for feature in entries)
    bars = _some_bars(context.bars, longest, context.config.leakage.truncation_rows)
    return _verdict(context, feature_builder(entries), bars, len(entries))


def label_look_ahead(context: AuditContext) -> Verdict:
    """Rebuild the labels without the future: those known before the cut, and their ends, must be equal."""
    info = context.of_target.info
    entry = context.machinery.targets[info.builder]
    spec = next((one for one in context.config.targets.builtin if one.builder.lower() == info.builder and _names(one, context.bars, info.name)), None)
    if spec is None:
        return Verdict.unable(f"targets.builtin (config/targets.yaml) has no entry that makes {info.name}; build the panel again with these settings")
    bars = _some_bars(context.bars, 3 * info.horizon_bars, context.config.leakage.truncation_rows)
    return _verdict(context, _label_builder(entry, spec, info, context), bars, 1, _label_cut(bars, info.horizon_bars))


def _names(spec: TargetSpec, bars: Bars, name: str) -> bool:
    return name == (spec.name if spec.name is not None else target_name(spec))


def _label_builder(entry: Target, spec: TargetSpec, info: TargetInfo, context: AuditContext) -> Builder:
    settings = context.config.targets
    cross_sessions = settings.cross_sessions or parse_horizon(spec.horizon, context.bars, info.name).spans_sessions
    params = merge_params(entry, spec.params)

    def build(bars: Bars) -> BuiltColumns:
        labels = entry.build(bars, info.horizon_bars, params, cross_sessions, settings.max_window_stretch)
        return BuiltColumns((info.name,), labels.values[None], labels.end_codes[None])

    return build


def _label_cut(bars: Bars, horizon_bars: int) -> int:
    """The cut at which the label of a session's first row ends: labels that stay in their session cross no other cut for sure."""
    starts = np.r_[0, np.flatnonzero(np.diff(bars.session_codes)) + 1]
    start = int(starts[np.argmin(np.abs(starts - MIDDLE * bars.times_ns.size))])
    return start + horizon_bars


def _verdict(context: AuditContext, build: Builder, bars: Bars, n_columns: int, label_cut: int | None = None) -> Verdict:
    """Findings on features, or with `label_cut`, one more cut, on a label."""
    is_feature = label_cut is None
    cuts = choose_cuts(bars, context.config.leakage.truncation_cuts, context.config.seed)
    middle = sorted(cuts, key=lambda cut: abs(cut - MIDDLE * bars.times_ns.size))[: context.config.leakage.truncation_cuts]
    if label_cut is not None and 1 <= label_cut < bars.times_ns.size:
        middle = sorted({*middle, label_cut})
    if not middle:
        return Verdict.unable(f"{bars.times_ns.size} timestamps cannot be cut; supply more history")
    try:
        found = truncation_findings(build, bars, sorted(middle), context.config.seed)
    except ValueError as error:
        return Verdict.unable(f"the builder cannot be run on truncated bars: {error}")
    worst: dict[str, TruncationFinding] = {}
    for one in found:
        if one.column not in worst or one.n_rows > worst[one.column].n_rows:
            worst[one.column] = one
    findings = [_finding(one, is_feature) for one in worst.values()]
    return Verdict(findings, float(max((one.n_rows for one in found), default=0)), 0.0, n_columns)


def _finding(one: TruncationFinding, is_feature: bool) -> Finding:
    what = "the feature" if is_feature else "the label, or the time it claims to be known at,"
    message = (
        f"{one.n_rows} of {one.n_compared} earlier values changed > 0 when the future was {'removed' if one.variant == 'removed' else 'replaced by noise'}: "
        f"{what} reads bars that had not happened; mend its builder, or leave it out"
    )
    return blocked(one.column if is_feature else None, one.n_rows, 0.0, message)


def _some_bars(bars: Bars, reach_bars: int, max_rows: int) -> Bars:
    """A stretch of a few symbols, long enough for the longest look-back: the longest symbols, and the one that starts last."""
    sizes = np.diff(bars.symbol_offsets)
    chosen = sorted({*np.argsort(-sizes, kind="stable")[: N_SYMBOLS - 1].tolist(), int(np.argmax(_first_codes(bars)))})
    n_times = max(3 * reach_bars, max_rows // len(chosen))
    keep = np.isin(bars.symbol_codes, chosen)
    stop = int(bars.time_codes[keep].max()) + 1
    keep &= bars.time_codes >= stop - n_times
    return _rows_of(bars, keep)


def _rows_of(bars: Bars, keep: NDArray[np.bool_]) -> Bars:
    counts = np.bincount(bars.symbol_codes[keep], minlength=len(bars.symbols))
    codes = np.unique(bars.time_codes[keep])
    return replace(
        bars,
        symbols=tuple(symbol for symbol, count in zip(bars.symbols, counts, strict=True) if count),
        times_ns=bars.times_ns[codes],
        symbol_offsets=np.concatenate([[0], np.cumsum(counts[counts > 0])]),
        time_codes=np.searchsorted(codes, bars.time_codes[keep]).astype(np.int32),
        values=bars.values[:, keep],
        session_codes=bars.session_codes[codes],
        supplied=bars.supplied[:, keep],
    )


def _first_codes(bars: Bars) -> NDArray[np.int64]:
    first = np.full(len(bars.symbols), -1, np.int64)
    full = np.flatnonzero(np.diff(bars.symbol_offsets) > 0)
    first[full] = bars.time_codes[bars.symbol_offsets[full]]
    return first


def _has_builtin_features(context: AuditContext) -> bool:
    names = {feature.name for feature in context.machinery.features}
    return any(info.source == "builtin" and info.name in names for info in context.panel.feature_infos)


def _is_builtin_target(context: AuditContext) -> bool:
    return context.of_target.info.source == "builtin" and context.of_target.info.builder in context.machinery.targets


FEATURE_LOOK_AHEAD = Detector(
    "feature_look_ahead",
    "a built-in feature reads bars that had not happened",
    Taxonomy.TEMPORAL,
    Scope.PANEL,
    LeakageStatus.BLOCKED,
    feature_look_ahead,
    _has_builtin_features,
)
LABEL_LOOK_AHEAD = Detector(
    "label_look_ahead",
    "a built-in label is known later than it says",
    Taxonomy.TEMPORAL,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    label_look_ahead,
    _is_builtin_target,
)
