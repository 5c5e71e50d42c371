"""Bars become a panel: features built or taken over, labels, and what was left out.

Belongs here: which columns a panel gets, and filling them without a second copy. Does not: a feature's or target's formula, or reading files.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from config.sections.features import FeatureConfig
from config.sections.targets import TargetConfig
from training_assets.panel.features.base import Feature
from training_assets.panel.features.registry import FEATURES
from training_assets.panel.features.view import MIN_SYMBOLS, BarView
from training_assets.panel.panel import BAR_COLUMNS, Bars, FeatureInfo, FloatArray, Panel, TargetInfo
from training_assets.panel.targets.registry import build_targets, check_purge
from training_assets.panel.targets.supplied import supplied_target_names
from training_assets.splits import holdout_start

DAY_MINUTES = 1_440
# Not `features.npy`: a panel written into the same folder must not truncate the file it is mapped from.
SCRATCH_NAME = "features.building.npy"


class PanelError(ValueError):
    """A panel that cannot be built as configured; the message says which key, what was found, and what to do."""


@dataclass(frozen=True)
class LeftOut:
    """A feature that the panel does not have, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FeatureBlock:
    """Features on the rows of the bars: `values` has shape (n_features, n_rows), in the order of `infos`."""

    infos: tuple[FeatureInfo, ...]
    values: FloatArray
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class PanelNotes:
    """What a reader of the panel should know of its making."""

    left_out: tuple[LeftOut, ...]

    def lines(self) -> tuple[str, ...]:
        """One line a reason, with the features it took: the many features that need volume are one line."""
        names: dict[str, list[str]] = {}
        for item in self.left_out:
            names.setdefault(item.reason, []).append(item.name)
        return tuple(f"left out ({len(group)}): {reason}: {', '.join(group)}" for reason, group in names.items())


@dataclass(frozen=True)
class BuiltPanel:
    """A panel, and the notes of its making."""

    panel: Panel
    notes: PanelNotes


@dataclass(frozen=True)
class PanelOutline:
    """What a panel would hold: names of its features, its targets, and what would be left out."""

    feature_names: tuple[str, ...]
    target_infos: tuple[TargetInfo, ...]
    notes: PanelNotes


def outline_panel(bars: Bars, config: Config) -> PanelOutline:
    """What `build_panel` would build, features not computed; errors as there."""
    supplied = supplied_features(bars, config.features, config.targets)
    _check_names(config.features, bars.supplied_names)
    chosen, left_out = choose_features(bars, config.features, supplied)
    if not chosen and not supplied:
        raise _nothing_left(bars)
    target_infos, _, _ = build_targets(bars, config.targets)
    check_purge(target_infos, config.splits)
    return PanelOutline((*(feature.name for feature in chosen), *supplied), target_infos, PanelNotes(tuple(left_out)))


def build_panel(bars: Bars, config: Config, data_hash: str, folder: Path | None = None, leave_out_constant: bool = False) -> BuiltPanel:
    """Features and labels on the rows of the bars.

    Parameters
    ----------
    bars : clean bars; supplied columns become features, except those that `targets` recognises as targets.
    config : `features`, `targets` and `splits` are read.
    data_hash : content hash of the bars, kept in the panel.
    folder : existing folder; the features, by far the largest array, are then written to a scratch file in it and mapped, not held
        in memory. The file must live as long as the panel. None holds them in memory.
    leave_out_constant : leave out features that do not vary before the holdout, from which nothing can be learned. A panel that models of other rows
        are to be applied to needs them all.

    Returns
    -------
    Panel with every value known at its row's bar close, float32, and notes of what was left out.

    Raises
    ------
    PanelError
        No feature is left, or `features.include` or `features.exclude` names one that does not exist.
    TargetError
        From `build_targets` (among others, no target is left), or a purge shorter than the longest label.
    """
    holdout_start_code = holdout_start(bars.times_ns.size, config.splits)
    block = build_features(bars, config.features, config.targets, folder, bars.time_codes < holdout_start_code if leave_out_constant else None)
    target_infos, labels, label_end_codes = build_targets(bars, config.targets)
    check_purge(target_infos, config.splits)
    panel = Panel(
        symbols=bars.symbols,
        times_ns=bars.times_ns,
        symbol_offsets=bars.symbol_offsets,
        time_codes=bars.time_codes,
        session_codes=bars.session_codes,
        interval_minutes=bars.interval_minutes,
        feature_infos=block.infos,
        features=block.values,
        target_infos=target_infos,
        labels=labels,
        label_end_codes=label_end_codes,
        bar_values=bars.values.astype(np.float32),
        holdout_start_code=holdout_start_code,
        data_hash=data_hash,
    )
    return BuiltPanel(panel, PanelNotes(block.left_out))


def build_features(
    bars: Bars, features: FeatureConfig, targets: TargetConfig, folder: Path | None = None, varying_on: NDArray[np.bool_] | None = None
) -> FeatureBlock:
    """The feature columns alone, as a prediction needs them; parameters and errors as in `build_panel`.

    Parameters
    ----------
    varying_on : shape (n_rows,), rows on which a feature must vary; None keeps what is known anywhere.
    """
    supplied = supplied_features(bars, features, targets)
    _check_names(features, bars.supplied_names)
    chosen, left_out = choose_features(bars, features, supplied)
    if not chosen and not supplied:
        raise _nothing_left(bars)
    values = _allocate((len(chosen) + len(supplied), bars.n_rows), folder)
    infos: list[FeatureInfo] = []
    view = BarView(bars)
    entries: tuple[Feature | str, ...] = (*chosen, *supplied)
    for entry in entries:
        column = values[len(infos)]
        if isinstance(entry, Feature):
            info = FeatureInfo(entry.name, entry.lookback_bars, entry.lag_bars, entry.cross_sectional, "builtin")
            column[:] = entry.build(view)
        else:
            info = FeatureInfo(entry, features.supplied_lookback_bars, 0, False, "supplied")
            _take_over(bars, entry, column)
        # A column that tells nothing would only trouble whoever scales it; the next one takes its place.
        reason = _reason_against_column(column, varying_on)
        if reason is None:
            infos.append(info)
        else:
            left_out.append(LeftOut(info.name, reason))
    if not infos:
        raise _nothing_left(bars)
    return FeatureBlock(tuple(infos), values[: len(infos)], tuple(left_out))


def _reason_against_column(column: NDArray[np.float32], varying_on: NDArray[np.bool_] | None) -> str | None:
    known = np.isfinite(column)
    if not known.any():
        return "nowhere known on these bars"
    if varying_on is None:
        return None
    values = column[known & varying_on]
    if values.size == 0:
        return "nowhere known before the holdout"
    return None if values.min() < values.max() else f"has the one value {values[0]:g} before the holdout"


def choose_features(bars: Bars, config: FeatureConfig, supplied: tuple[str, ...]) -> tuple[tuple[Feature, ...], list[LeftOut]]:
    """Registry entries to build, in registry order, and those left out for a reason other than being unasked for.

    Parameters
    ----------
    supplied : names of supplied features; a built-in of the same name yields to them.
    """
    if not config.builtin:
        return (), []
    chosen: list[Feature] = []
    left_out: list[LeftOut] = []
    wanted = None if config.include is None else set(config.include)
    missing = _missing_inputs(bars)
    longest_bars = int(np.diff(bars.symbol_offsets).max(initial=0))
    for feature in FEATURES:
        if (wanted is not None and feature.name not in wanted) or feature.name in config.exclude:
            continue
        reason = _reason_against(feature, bars, config, supplied, missing, longest_bars)
        if reason is None:
            chosen.append(feature)
        else:
            left_out.append(LeftOut(feature.name, reason))
    return tuple(chosen), left_out


def supplied_features(bars: Bars, features: FeatureConfig, targets: TargetConfig) -> tuple[str, ...]:
    """Supplied columns that are features: not excluded, and not recognised as targets by name."""
    not_features = {*features.exclude, *supplied_target_names(bars.supplied_names, targets)}
    return tuple(name for name in bars.supplied_names if name not in not_features)


def _missing_inputs(bars: Bars) -> frozenset[str]:
    return frozenset(name for name, values in zip(BAR_COLUMNS, bars.values, strict=True) if not np.isfinite(values).any())


def _reason_against(feature: Feature, bars: Bars, config: FeatureConfig, supplied: tuple[str, ...], missing: frozenset[str], longest_bars: int) -> str | None:
    absent = [name for name in feature.inputs if name in missing]
    if absent:
        return f"the data have no {', '.join(absent)}"
    if feature.name in supplied:
        return "the data supply a column of that name"
    if feature.reach_bars > config.max_lookback_bars:
        return f"looks further back than features.max_lookback_bars {config.max_lookback_bars}"
    if feature.reach_bars >= longest_bars:
        return f"needs more history than the longest symbol's {longest_bars} bars"
    if feature.cross_sectional and len(bars.symbols) < MIN_SYMBOLS:
        return f"compares symbols, and there are {len(bars.symbols)} < {MIN_SYMBOLS}"
    if feature.clock != "any" and bars.interval_minutes >= DAY_MINUTES:
        return "tells the time of day, and the bars are daily or longer"
    if feature.clock == "sessions" and bars.session_codes[0] == bars.session_codes[-1]:
        return "measures from a session's opening, and the bars are one session"
    return None


def _check_names(config: FeatureConfig, supplied_names: tuple[str, ...]) -> None:
    builtin = [feature.name for feature in FEATURES]
    for key, names, known in (("include", config.include or (), builtin), ("exclude", config.exclude, [*builtin, *supplied_names])):
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else ""
                raise PanelError(f"features.{key}: there is no feature '{name}' among {len(known)} (config/features.yaml){hint}")


def _nothing_left(bars: Bars) -> PanelError:
    return PanelError(
        f"no feature is left of {len(FEATURES)} built-in and {len(bars.supplied_names)} supplied columns; "
        "widen features.builtin, features.include, features.exclude or features.max_lookback_bars (config/features.yaml)"
    )


def _allocate(shape: tuple[int, int], folder: Path | None) -> FloatArray:
    if folder is None:
        return np.empty(shape, np.float32)
    return np.lib.format.open_memmap(folder / SCRATCH_NAME, mode="w+", dtype=np.float32, shape=shape)


def _take_over(bars: Bars, name: str, column: FloatArray) -> None:
    """Copy a supplied column; what float32 cannot hold is not known."""
    with np.errstate(over="ignore"):
        column[:] = bars.supplied[bars.supplied_names.index(name)]
    column[~np.isfinite(column)] = np.nan
