"""The registry of targets, and the labels of a panel built from it.

Belongs here: which targets there are, which of them a configuration asks for, and checks on the whole. Does not: how any one
is computed (the modules beside this one).
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from config.sections.splits import SplitConfig
from config.sections.targets import TargetConfig, TargetSpec
from training_assets.panel.panel import Bars, TargetInfo
from training_assets.panel.targets.barriers import BARRIER_TARGETS
from training_assets.panel.targets.base import Labels, Params, ParamValue, Target, TargetError
from training_assets.panel.targets.cross_section import CROSS_SECTION_TARGETS
from training_assets.panel.targets.excursions import EXCURSION_TARGETS
from training_assets.panel.targets.horizons import MINUTES_A_DAY, Horizon, horizon_text, longest_session_bars, parse_horizon
from training_assets.panel.targets.returns import RETURN_TARGETS
from training_assets.panel.targets.supplied import may_be_supplied, supplied_target, supplied_target_names
from training_assets.panel.targets.volatility import VOLATILITY_TARGETS
from training_assets.partition_keys import MAX_NAME_CHARACTERS

TARGETS: Mapping[str, Target] = {
    target.name: target for target in (*RETURN_TARGETS, *CROSS_SECTION_TARGETS, *BARRIER_TARGETS, *EXCURSION_TARGETS, *VOLATILITY_TARGETS)
}

LARGEST_COUNT = 100_000  # bars, symbols: beyond it a parameter is a slip of the hand


def build_targets(bars: Bars, config: TargetConfig) -> tuple[tuple[TargetInfo, ...], NDArray[np.float32], NDArray[np.int32]]:
    """Build, or take over, every target that the configuration asks for.

    Parameters
    ----------
    bars : clean bars, with the supplied columns.
    config : the section `targets`.

    Returns
    -------
    infos : one a target: the built ones in the order of `targets.builtin`, then the supplied ones in column order.
    labels : float32 of shape (n_targets, n_rows); the label of a row looks ahead from the row's close; NaN where not complete.
    end_codes : int32 of shape (n_targets, n_rows); time code of the bar at whose close the label is known, -1 where NaN.

    Raises
    ------
    TargetError
        An unknown builder, parameter or name, two targets of one name, a horizon that cannot be, or no target at all.
    """
    builtin = {target_name(spec): spec for spec in config.builtin}
    supplied = supplied_target_names(bars.supplied_names, config)
    candidates = [target_name(spec) for spec in config.builtin] + list(supplied)
    _refuse_repeats(candidates)
    names = choose_names(candidates, config.only)
    if not names:
        raise TargetError("no target: targets.builtin (config/targets.yaml) is empty and no supplied column matches targets.column_patterns")
    values = np.empty((len(names), bars.n_rows), np.float32)
    ends = np.empty((len(names), bars.n_rows), np.int32)
    infos = []
    for row, name in enumerate(names):
        info, labels = build_target(builtin[name], bars, config) if name in builtin else supplied_target(name, bars, config)
        infos.append(info)
        values[row], ends[row] = labels.values, labels.end_codes
    return tuple(infos), values, ends


def build_target(spec: TargetSpec, bars: Bars, config: TargetConfig) -> tuple[TargetInfo, Labels]:
    """Build one target of the registry on `bars`; raises `TargetError` as `build_targets` does."""
    target = find_target(spec.builder)
    name = target_name(spec)
    horizon = parse_horizon(spec.horizon, bars, name)
    cross_sessions = config.cross_sessions or horizon.spans_sessions
    _refuse_beyond_session(name, horizon, bars, cross_sessions)
    labels = target.build(bars, horizon.bars, merge_params(target, spec.params), cross_sessions, config.max_window_stretch)
    info = TargetInfo(name, target.task_type, horizon.bars, horizon.minutes, "builtin", target.name, target.classes)
    return info, labels


def find_target(builder: str) -> Target:
    """The registry's entry of a name, without regard to case. Raises `TargetError` with the nearest name."""
    by_lower = {name.lower(): target for name, target in TARGETS.items()}
    if builder.lower() not in by_lower:
        raise TargetError(f"targets.builtin (config/targets.yaml): no builder '{builder}'{_nearest(builder, TARGETS)}")
    return by_lower[builder.lower()]


def target_name(spec: TargetSpec) -> str:
    """The name given, or `<builder>_<horizon>`, for instance `forward_return_5d`."""
    if spec.name is not None:
        if not spec.name.strip():
            raise TargetError(f"targets.builtin (config/targets.yaml): the name of a {spec.builder} target is empty; leave it out or give one")
        if len(spec.name) > MAX_NAME_CHARACTERS:
            message = f"has {len(spec.name)} characters > {MAX_NAME_CHARACTERS}; give a shorter one, or leave it out"
            raise TargetError(f"targets.builtin (config/targets.yaml): the name of a {spec.builder} target, {spec.name[:40]}..., {message}")
        return spec.name
    builder = find_target(spec.builder).name
    return f"{builder}_{horizon_text(spec.horizon, builder)}"


def merge_params(target: Target, given: Params) -> Params:
    """The entry's defaults with what is given on top. Raises `TargetError` for a parameter it does not know or cannot take."""
    for name, value in given.items():
        if name not in target.defaults:
            known = f"it knows {', '.join(target.defaults)}" if target.defaults else "it has none"
            raise TargetError(f"{target.name}: no parameter '{name}'; {known} (targets.builtin, config/targets.yaml)")
        _check_param(f"{target.name}: params.{name}", value, target.defaults[name])
    return {**target.defaults, **given}


def choose_names(candidates: Sequence[str], only: Iterable[str] | None) -> tuple[str, ...]:
    """The candidates that `targets.only` names, without regard to case, in their own order; all of them for None.

    Raises
    ------
    TargetError
        A name that is not there, with what there is and the nearest.
    """
    if only is None:
        return tuple(candidates)
    wanted = {name.lower(): name for name in only}
    for lower, name in wanted.items():
        if lower not in {candidate.lower() for candidate in candidates}:
            raise TargetError(f"targets.only (or --targets): no target '{name}'{_nearest(name, candidates)}")
    return tuple(candidate for candidate in candidates if candidate.lower() in wanted)


def refuse_unknown_names(config: TargetConfig, column_names: Iterable[str]) -> None:
    """Refuse, before any bar is read, names in `targets.only` that nothing can be called.

    Parameters
    ----------
    column_names : of the data's files; gone through only for a name that a supplied column may have, and no further than all are found.

    Raises
    ------
    TargetError
        As `build_targets` does for an unknown builder or name, and for two built-in targets of one name.
    """
    built = [target_name(spec) for spec in config.builtin]
    _refuse_repeats(built)
    missing = {name.lower(): name for name in config.only or () if name.lower() not in {other.lower() for other in built}}
    for name in missing.values():
        if not may_be_supplied(name, config):
            raise TargetError(
                f"targets.only (or --targets): no target '{name}'{_nearest(name, built)}, and columns of the data as targets.column_patterns says"
            )
    supplied: dict[str, None] = {}
    columns = iter(column_names)
    while missing and (column := next(columns, None)) is not None:
        missing.pop(column.lower(), None)
        supplied |= {column: None} if may_be_supplied(column, config) else {}
    for name in missing.values():
        raise TargetError(f"targets.only (or --targets): no target '{name}'{_nearest(name, [*built, *supplied])}")


def check_purge(infos: Iterable[TargetInfo], config: SplitConfig) -> None:
    """Refuse a purge shorter than the longest label.

    Raises
    ------
    TargetError
        Names the target of the longest horizon, both numbers, and `splits.purge_bars`.
    """
    longest = max(infos, key=lambda info: info.horizon_bars, default=None)
    if longest is None or config.purge_bars is None or config.purge_bars >= longest.horizon_bars:
        return
    raise TargetError(
        f"{longest.name}: splits.purge_bars (config/training.yaml) {config.purge_bars} bars < horizon {longest.horizon_bars} bars; "
        f"raise it to at least {longest.horizon_bars}, or set it to null for each target's own horizon"
    )


def _refuse_repeats(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            raise TargetError(f"two targets are named '{name}' (case aside); give one of them a `name` in targets.builtin (config/targets.yaml)")
        seen[name.lower()] = name


def _refuse_beyond_session(name: str, horizon: Horizon, bars: Bars, cross_sessions: bool) -> None:
    """An intraday label longer than every session would be null everywhere; that is a mistake, not a target."""
    longest = longest_session_bars(bars)
    if cross_sessions or bars.interval_minutes >= MINUTES_A_DAY or bars.session_codes.max(initial=0) == 0 or horizon.bars < longest:
        return
    raise TargetError(
        f"{name}: horizon {horizon.text} is {horizon.bars} bars, but within the longest session of {longest} bars a label reaches {longest - 1} at most; "
        "shorten it, state it in days, or set targets.cross_sessions (config/targets.yaml) to true"
    )


def _check_param(where: str, value: ParamValue, default: ParamValue) -> None:
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
        wanted = "true or false" if isinstance(default, bool) else "a number" if isinstance(default, int | float) else "a text"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str), "a text"
    elif isinstance(default, int):
        fits, wanted = isinstance(value, int | float) and 1 <= value <= LARGEST_COUNT and value == int(value), f"a whole number from 1 to {LARGEST_COUNT}"
    else:
        fits, wanted = isinstance(value, int | float) and bool(np.isfinite(value)) and value > 0, "a finite number above 0"
    if not fits:
        raise TargetError(f"{where} is {value!r}; expected {wanted} (targets.builtin, config/targets.yaml)")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name.lower(), [other.lower() for other in names], n=1, cutoff=0.4)
    hint = next((f"; did you mean '{other}'?" for other in names if close and other.lower() == close[0]), "")
    return f"{hint}{';' if not hint else ''} there are {', '.join(names) or 'none'}"
