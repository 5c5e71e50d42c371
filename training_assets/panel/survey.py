"""What a folder of market data holds, and the settings that fit it: the thinking behind `switchyard init`.

Belongs here: which supplied columns can be used, and which settings follow from the bars. Does not: reading files (`resources.market_data`), writing a
configuration folder, or any score.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.schema import Config
from config.sections.targets import TargetConfig, TargetSpec
from training_assets.panel.alignment import Alignment
from training_assets.panel.panel import Bars, TargetInfo
from training_assets.panel.targets.base import TargetError
from training_assets.panel.targets.horizons import MINUTES_A_DAY, bars_a_day, longest_session_bars
from training_assets.panel.targets.registry import build_target, target_name
from training_assets.panel.targets.supplied import supplied_target

# Fewer supplied features than this are an addition to built-in ones, not a panel of their own.
ENOUGH_FEATURES = 5
SHORT_HISTORY_BARS = 1_000
MIN_SYMBOLS_TO_RANK = 3


@dataclass(frozen=True)
class Survey:
    """What was found and what follows.

    Attributes
    ----------
    targets : supplied targets that can be used, with the horizon and task that were read.
    refused : name of a supplied or built-in target to why it cannot be used.
    settings : dotted key to the value proposed; what is not named keeps its default.
    reasons : dotted key to why.
    warnings : what the data are too small or too plain for, one line each.
    """

    targets: tuple[TargetInfo, ...]
    refused: Mapping[str, str]
    settings: Mapping[str, Any]
    reasons: Mapping[str, str]
    warnings: tuple[str, ...] = field(default=())


def survey_bars(alignment: Alignment, config: Config) -> Survey:
    """Try every supplied target, and propose settings on which a plan can be made as they stand.

    Parameters
    ----------
    alignment : the data after alignment.
    config : the settings to start from; its `targets` say which columns are targets.

    Raises
    ------
    TargetError
        No target is left, neither supplied nor built.
    """
    bars, report = alignment.bars, alignment.report
    usable, refused = _try_supplied(bars, report.supplied_targets, config.targets)
    settings: dict[str, Any] = {"data.interval_minutes": bars.interval_minutes}
    reasons = {"data.interval_minutes": "Found in the data; bars of another interval are then an error."}
    names = [info.name for info in usable]
    if usable:
        settings["targets.builtin"] = []
        reasons["targets.builtin"] = f"The data bring {len(usable)} targets that can be used ({_listed(names)}); add entries to build more."
    else:
        specs, not_built = _builtin_specs(bars, config.targets)
        refused |= not_built
        names = [target_name(spec) for spec in specs]
        if specs != config.targets.builtin:
            settings["targets.builtin"] = [spec.model_dump() for spec in specs]
            reasons["targets.builtin"] = f"Horizons that fit bars of {bars.interval_minutes} minutes."
    if not names:
        raise TargetError(f"no target can be built on these bars: {'; '.join(refused.values())}")
    left_out = [name for name in report.supplied_targets if name in refused]
    if left_out:
        settings["targets.only"] = names
        reasons["targets.only"] = f"Leaves out {_listed(left_out)}; to use one, state its horizon in targets.supplied and add its name here."
    _add_feature_settings(bars, report.supplied_features, settings, reasons)
    return Survey(usable, refused, settings, reasons, _size_warnings(bars, config))


def _try_supplied(bars: Bars, names: tuple[str, ...], config: TargetConfig) -> tuple[tuple[TargetInfo, ...], dict[str, str]]:
    usable, refused = [], {}
    for name in names:
        try:
            usable.append(supplied_target(name, bars, config)[0])
        except TargetError as error:
            refused[name] = str(error)
    return tuple(usable), refused


def _builtin_specs(bars: Bars, config: TargetConfig) -> tuple[tuple[TargetSpec, ...], dict[str, str]]:
    """The default targets with horizons for this interval, less those that these bars cannot give."""
    short, long = _horizons(bars)
    given = {"5d": short, "10d": long}
    kept, refused = [], {}
    for spec in config.builtin:
        fitted = spec.model_copy(update={"horizon": given.get(spec.horizon, spec.horizon)})
        try:
            _, labels = build_target(fitted, bars, config)
        except TargetError as error:
            refused[f"{spec.builder} {fitted.horizon}"] = str(error)
            continue
        if np.isfinite(labels.values).any():
            kept.append(fitted)
        else:
            refused[f"{spec.builder} {fitted.horizon}"] = f"{spec.builder} {fitted.horizon}: no complete label on these bars"
    return tuple(kept), refused


def _horizons(bars: Bars) -> tuple[str, str]:
    """A short and a long horizon for bars of this interval: a week and two on daily bars, an hour or so and a day on intraday ones."""
    interval = bars.interval_minutes
    if interval == MINUTES_A_DAY:
        return "5d", "10d"
    if interval > MINUTES_A_DAY:
        return "1b", "4b"
    one_session = int(bars.session_codes.max(initial=0)) == 0
    reach = longest_session_bars(bars) - 1
    if 60 % interval == 0 and (one_session or 60 // interval <= reach):
        return "60m", "1d"
    return f"{max(1, min(bars_a_day(bars) // 4, reach))}b", "1d"


def _add_feature_settings(bars: Bars, supplied: tuple[str, ...], settings: dict[str, Any], reasons: dict[str, str]) -> None:
    if len(supplied) >= ENOUGH_FEATURES:
        settings["features.builtin"] = False
        reasons["features.builtin"] = f"The data bring {len(supplied)} features; true builds the registry's beside them."
        return
    median_rows = int(np.median(np.diff(bars.symbol_offsets)))
    if median_rows < SHORT_HISTORY_BARS:
        settings["features.max_lookback_bars"] = max(20, median_rows // 4)
        reasons["features.max_lookback_bars"] = f"A quarter of the median symbol's {median_rows} bars, so that warm-up leaves rows to train on."


def _size_warnings(bars: Bars, config: Config) -> tuple[str, ...]:
    """What the sample gates will say, told beforehand."""
    tested = (1.0 - config.splits.holdout_fraction) * (1.0 - config.splits.min_train_fraction)
    rows, least = np.diff(bars.symbol_offsets) * tested, config.routing.min_sample_size
    short = int((rows < least.symbol).sum())
    warnings = []
    if short:
        warnings.append(
            f"{short} of {rows.size} symbols have fewer than {least.symbol} rows that can be scored out of sample, so the SAMPLE_SIZE gate refuses "
            f"their own models; more history, or a lower routing.min_sample_size.symbol, opens it"
        )
    if rows.sum() < least.cross_sectional:
        warnings.append(
            f"about {rows.sum():.0f} rows can be scored out of sample < {least.cross_sectional}, so the SAMPLE_SIZE gate refuses pooled models; "
            "more symbols or history, or a lower routing.min_sample_size.cross_sectional, opens it"
        )
    if rows.size < MIN_SYMBOLS_TO_RANK:
        warnings.append(f"{rows.size} symbols are too few to rank across; cross-sectional features and targets say nothing")
    return tuple(warnings)


def _listed(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
