"""Targets that came with the data: which columns they are, how far they look, what they hold.

Belongs here: recognising and reading supplied labels. Does not: built ones.

A supplied label is taken as it is, sessions and missing bars included: whoever made it chose its window. What is held
against it is its horizon, which decides when the label is known: a value whose window runs past the symbol's last bar is
made null, since nobody could have known it.
"""

import difflib
import re

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from config.sections.targets import TargetConfig
from training_assets.panel.panel import Bars, TargetInfo
from training_assets.panel.targets.base import Labels, TargetError
from training_assets.panel.targets.horizons import Horizon, horizon_in_name, parse_horizon
from training_assets.panel.targets.windows import label_windows

MAX_CLASSES = 10  # integers of more distinct values than this are a regression unless configured


def supplied_target_names(column_names: tuple[str, ...], config: TargetConfig) -> tuple[str, ...]:
    """Supplied columns that are targets: those that match `targets.column_patterns` or stand in `targets.supplied`.

    Raises
    ------
    TargetError
        A pattern is no regular expression, or `targets.supplied` names a column that the data do not have.
    """
    patterns = _patterns(config)
    for name in config.supplied:
        if name not in column_names:
            close = difflib.get_close_matches(name, column_names, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else f"; supplied columns: {', '.join(column_names[:20]) or 'none'}"
            raise TargetError(f"targets.supplied.{name} (config/targets.yaml): the data have no such column{hint}")
    return tuple(name for name in column_names if name in config.supplied or any(pattern.search(name) for pattern in patterns))


def may_be_supplied(name: str, config: TargetConfig) -> bool:
    """Whether a column that is a supplied target may be called so, case aside. Raises `TargetError` for a pattern that is no regular expression."""
    patterns = [*_patterns(config), *_patterns(config, re.IGNORECASE)]
    return name.lower() in {known.lower() for known in config.supplied} or any(pattern.search(name) for pattern in patterns)


def _patterns(config: TargetConfig, flags: re.RegexFlag = re.NOFLAG) -> list[re.Pattern[str]]:
    try:
        return [re.compile(pattern, flags) for pattern in config.column_patterns]
    except re.error as error:
        raise TargetError(f"targets.column_patterns (config/targets.yaml): {error.pattern!r} is no regular expression: {error}") from None


def supplied_horizon(name: str, bars: Bars, config: TargetConfig) -> Horizon:
    """Horizon of a supplied target: `targets.supplied.<name>.horizon`, else what its name states.

    Raises
    ------
    TargetError
        Nobody states it: without it nothing can be purged.
    """
    configured = config.supplied.get(name)
    text = configured.horizon if configured is not None and configured.horizon is not None else horizon_in_name(name)
    if text is None:
        raise TargetError(
            f"{name}: nobody states the horizon of this supplied target, so its label cannot be purged; "
            f"end the column name in one (_5d, _60m, _12b) or set targets.supplied.{name}.horizon (config/targets.yaml)"
        )
    return parse_horizon(text, bars, name)


def supplied_target(name: str, bars: Bars, config: TargetConfig) -> tuple[TargetInfo, Labels]:
    """Read one supplied target: its task, its classes as codes, and when each label is known.

    Raises
    ------
    TargetError
        No horizon, no variation, or values that do not fit the configured task type.
    """
    horizon = supplied_horizon(name, bars, config)
    column = bars.supplied[bars.supplied_names.index(name)]
    labels = label_windows(bars, horizon.bars, cross_sessions=True, max_window_stretch=np.inf).labels(column)
    configured = config.supplied.get(name)
    known = labels.values[np.isfinite(labels.values)]
    distinct = _distinct(known)
    if known.size == 0 or (distinct is not None and distinct.size == 1):
        held = "no complete label" if known.size == 0 else f"the one value {known[0]:g}"
        raise TargetError(f"{name}: this supplied target holds {held} at horizon {horizon.text}; drop the column, or leave it out by targets.only")
    task_type = configured.task_type if configured is not None and configured.task_type is not None else infer_task_type(distinct)
    classes = () if task_type is TaskType.REGRESSION else _classes(name, task_type, distinct)
    if classes:
        codes = np.searchsorted(np.array(classes), labels.values).astype(np.float64)
        labels = Labels(np.where(labels.end_codes >= 0, codes, np.nan), labels.end_codes)
    return TargetInfo(name, task_type, horizon.bars, horizon.minutes, "supplied", "supplied", classes), labels


def infer_task_type(distinct: NDArray[np.float64] | None) -> TaskType:
    """Task of values: 0/1 or -1/1 is binary, up to `MAX_CLASSES` integers are classes, all else is a regression.

    Parameters
    ----------
    distinct : ascending values, or None where there are too many to be classes.
    """
    if distinct is None or distinct.size > MAX_CLASSES or not np.array_equal(distinct, np.round(distinct)):
        return TaskType.REGRESSION
    if distinct.tolist() in ([0.0, 1.0], [-1.0, 1.0]):
        return TaskType.BINARY_CLASSIFICATION
    return TaskType.MULTICLASS_CLASSIFICATION


def _distinct(values: NDArray[np.float64], most: int = 1_000) -> NDArray[np.float64] | None:
    """Ascending distinct values, or None where there are more than `most`; a look at the first rows spares most sorts."""
    if np.unique(values[: 10 * most]).size > most:
        return None
    distinct = np.unique(values)
    return distinct if distinct.size <= most else None


def _classes(name: str, task_type: TaskType, distinct: NDArray[np.float64] | None) -> tuple[float, ...]:
    n_distinct = "over 1000" if distinct is None else str(distinct.size)
    where = f"{name}: targets.supplied.{name}.task_type (config/targets.yaml) {task_type.value}"
    if distinct is None or (task_type is TaskType.BINARY_CLASSIFICATION and distinct.size != 2):
        raise TargetError(f"{where} does not fit its {n_distinct} distinct values; set REGRESSION, or supply classes")
    return tuple(distinct.tolist())
