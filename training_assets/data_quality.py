"""Great Expectations suites over bars and over the panel.

Belongs here: what is expected of data that has passed alignment, stated once more in a tool whose reports people know. Does not: running a suite
(`expectations`), refusing rows or symbols (`panel.cleaning`), leakage (`leakage`).
"""

from typing import Any

import numpy as np
import pandas as pd

from config.sections.base import TaskType
from training_assets.expectations import Expected, QualityReport, run_suite
from training_assets.panel.panel import BAR_COLUMNS, Bars, Panel

# Wicks may differ from open and close by rounding, as in `panel.cleaning`.
PRICE_TOLERANCE = 1e-6

_LARGEST = float(np.finfo(np.float64).max)
_BAR_FRAME_COLUMNS = ("timestamp", "symbol", *BAR_COLUMNS)
_BAR_TABLE_EXPECTATIONS: tuple[Expected, ...] = (
    ("ExpectTableColumnsToMatchSet", {"column_set": list(_BAR_FRAME_COLUMNS), "exact_match": False}),
    ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
)
_BAR_ROW_EXPECTATIONS: tuple[Expected, ...] = (
    *(("ExpectColumnValuesToNotBeNull", {"column": name}) for name in _BAR_FRAME_COLUMNS[:6]),
    *(("ExpectColumnValuesToBeBetween", {"column": name, "min_value": 0, "max_value": _LARGEST, "strict_min": True}) for name in BAR_COLUMNS[:4]),
    ("ExpectColumnValuesToBeBetween", {"column": "volume", "min_value": 0, "max_value": _LARGEST}),
    # Null at a symbol's first bar, which has no step; strictly positive steps are unique, ascending times.
    ("ExpectColumnValuesToBeBetween", {"column": "step_minutes", "min_value": 0, "strict_min": True}),
    ("ExpectColumnValuesToBeBetween", {"column": "high_over_body", "min_value": 0}),
    ("ExpectColumnValuesToBeBetween", {"column": "body_over_low", "min_value": 0}),
)
_PANEL_EXPECTATIONS: tuple[Expected, ...] = (
    ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
    ("ExpectColumnValuesToBeUnique", {"column": "column"}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_infinite", "min_value": 0, "max_value": 0}),
    ("ExpectColumnValuesToBeBetween", {"column": "known_fraction", "min_value": 0, "max_value": 1, "strict_min": True}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_values", "min_value": 2}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_out_of_class", "min_value": 0, "max_value": 0}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_label_before_row", "min_value": 0, "max_value": 0}),
)


def long_bars(bars: Bars) -> pd.DataFrame:
    """Bars as one long frame: `timestamp` (UTC, bar open), `symbol` (categorical), open, high, low, close, volume (float64); rows as in `Bars`."""
    frame = pd.DataFrame({"timestamp": pd.to_datetime(bars.times_ns[bars.time_codes], utc=True)})
    frame["symbol"] = pd.Categorical.from_codes(bars.symbol_codes.astype(np.int64), categories=pd.Index(bars.symbols, dtype=object))
    for code, name in enumerate(BAR_COLUMNS):
        frame[name] = bars.values[code]
    return frame


def panel_columns(panel: Panel) -> pd.DataFrame:
    """One row a feature and target: `column, kind, n_infinite, known_fraction, n_values (distinct, at most 3 counted), n_out_of_class, n_label_before_row`.

    `n_label_before_row` counts labels known before their own bar has closed, which is impossible.
    """
    rows = [_column_row(f"feature {info.name}", "feature", panel.features[code]) for code, info in enumerate(panel.feature_infos)]
    for code, info in enumerate(panel.target_infos):
        row = _column_row(f"target {info.name}", "target", panel.labels[code])
        known = np.isfinite(panel.labels[code])
        row["n_label_before_row"] = int(np.count_nonzero(known & (panel.label_end_codes[code] < panel.time_codes)))
        if info.task_type is not TaskType.REGRESSION:
            allowed = np.arange(len(info.classes), dtype=np.float32)
            row["n_out_of_class"] = int(np.count_nonzero(known & ~np.isin(panel.labels[code], allowed)))
        rows.append(row)
    return pd.DataFrame(rows)


def check_bars(frame: pd.DataFrame, min_coverage: float = 0.5) -> QualityReport:
    """Hold a long frame of bars against the suite `bars`.

    Parameters
    ----------
    frame : as `long_bars` makes it. Where a column of it is missing, only the expectations on the table's form are run.
    min_coverage : smallest share of the common calendar that a symbol fills between its first and last bar.
    """
    if not set(_BAR_FRAME_COLUMNS) <= set(frame.columns):
        return run_suite("bars", frame, _BAR_TABLE_EXPECTATIONS, ())
    coverage: Expected = ("ExpectColumnValuesToBeBetween", {"column": "coverage", "min_value": min_coverage, "max_value": 1.0})
    return run_suite("bars", _with_measures(frame), (*_BAR_TABLE_EXPECTATIONS, *_BAR_ROW_EXPECTATIONS, coverage), ("symbol", "timestamp"))


def check_panel(panel: Panel) -> QualityReport:
    """Hold a panel's columns against the suite `panel`: finite, not constant, known somewhere, classes in range, labels not older than their row."""
    return run_suite("panel", panel_columns(panel), _PANEL_EXPECTATIONS, ("column",))


def _column_row(column: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(values)
    finite = values[known]
    # Two values tell a constant from a column; counting them all would sort every column.
    n_values = 0 if finite.size == 0 else 1 + int(finite.min() < finite.max())
    return {
        "column": column,
        "kind": kind,
        "n_infinite": int(np.count_nonzero(np.isinf(values))),
        "known_fraction": float(known.mean()) if known.size else 0.0,
        "n_values": n_values,
        "n_out_of_class": 0,
        "n_label_before_row": 0,
    }


def _with_measures(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with per-row measures that the library has no grouped expectation for."""
    by_symbol = frame.groupby("symbol", observed=True, sort=False)["timestamp"]
    positions = pd.Series(np.searchsorted(np.sort(frame["timestamp"].unique()), frame["timestamp"]), index=frame.index)
    span = positions.groupby(frame["symbol"], observed=True, sort=False).transform(lambda codes: codes.max() - codes.min() + 1)
    slack = PRICE_TOLERANCE * frame["high"].abs()
    return frame.assign(
        symbol=frame["symbol"].astype(str),
        step_minutes=by_symbol.diff().dt.total_seconds() / 60.0,
        coverage=by_symbol.transform("nunique") / span,
        high_over_body=frame["high"] + slack - frame[["open", "close", "low"]].max(axis=1),
        body_over_low=frame[["open", "close", "high"]].min(axis=1) - frame["low"] + slack,
    )
