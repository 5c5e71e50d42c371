"""Great Expectations suites over bars and over the panel, and their pages.

Belongs here: what is expected of data that has passed alignment, stated once more in a tool whose reports people know. Does not: refusing rows or
symbols (`panel.cleaning`), leakage (`leakage`). The library takes seconds to import, so it is imported when a suite runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from config.sections.base import TaskType
from training_assets.panel.panel import BAR_COLUMNS, Bars, Panel

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

# Wicks may differ from open and close by rounding, as in `panel.cleaning`.
PRICE_TOLERANCE = 1e-6

_Expected = tuple[str, Mapping[str, Any]]  # an expectation's class, and its settings
_LARGEST = float(np.finfo(np.float64).max)
_BAR_FRAME_COLUMNS = ("timestamp", "symbol", *BAR_COLUMNS)
_BAR_TABLE_EXPECTATIONS: tuple[_Expected, ...] = (
    ("ExpectTableColumnsToMatchSet", {"column_set": list(_BAR_FRAME_COLUMNS), "exact_match": False}),
    ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
)
_BAR_ROW_EXPECTATIONS: tuple[_Expected, ...] = (
    *(("ExpectColumnValuesToNotBeNull", {"column": name}) for name in _BAR_FRAME_COLUMNS[:6]),
    *(("ExpectColumnValuesToBeBetween", {"column": name, "min_value": 0, "max_value": _LARGEST, "strict_min": True}) for name in BAR_COLUMNS[:4]),
    ("ExpectColumnValuesToBeBetween", {"column": "volume", "min_value": 0, "max_value": _LARGEST}),
    # Null at a symbol's first bar, which has no step; strictly positive steps are unique, ascending times.
    ("ExpectColumnValuesToBeBetween", {"column": "step_minutes", "min_value": 0, "strict_min": True}),
    ("ExpectColumnValuesToBeBetween", {"column": "high_over_body", "min_value": 0}),
    ("ExpectColumnValuesToBeBetween", {"column": "body_over_low", "min_value": 0}),
)
_PANEL_EXPECTATIONS: tuple[_Expected, ...] = (
    ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
    ("ExpectColumnValuesToBeUnique", {"column": "column"}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_infinite", "min_value": 0, "max_value": 0}),
    ("ExpectColumnValuesToBeBetween", {"column": "known_fraction", "min_value": 0, "max_value": 1, "strict_min": True}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_values", "min_value": 2}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_out_of_class", "min_value": 0, "max_value": 0}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_label_before_row", "min_value": 0, "max_value": 0}),
)


@dataclass(frozen=True)
class ExpectationOutcome:
    """One expectation and how it came out; `examples` are up to five values that broke it, `n_unexpected` how many did."""

    name: str
    column: str | None
    success: bool
    n_unexpected: int
    examples: tuple[str, ...]
    bound: str


@dataclass(frozen=True)
class QualityReport:
    """A suite's outcome. `statistics` counts evaluated and successful expectations; `result` is the library's own, for its pages."""

    suite: str
    success: bool
    expectations: tuple[ExpectationOutcome, ...]
    statistics: Mapping[str, float]
    result: "ExpectationSuiteValidationResult"

    def failures(self) -> tuple[ExpectationOutcome, ...]:
        """The expectations that did not hold."""
        return tuple(outcome for outcome in self.expectations if not outcome.success)


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
        return _run("bars", frame, _BAR_TABLE_EXPECTATIONS, ())
    coverage: _Expected = ("ExpectColumnValuesToBeBetween", {"column": "coverage", "min_value": min_coverage, "max_value": 1.0})
    return _run("bars", _with_measures(frame), (*_BAR_TABLE_EXPECTATIONS, *_BAR_ROW_EXPECTATIONS, coverage), ("symbol", "timestamp"))


def check_panel(panel: Panel) -> QualityReport:
    """Hold a panel's columns against the suite `panel`: finite, not constant, known somewhere, classes in range, labels not older than their row."""
    return _run("panel", panel_columns(panel), _PANEL_EXPECTATIONS, ("column",))


def build_data_docs(reports: Sequence[QualityReport], folder: Path) -> Path:
    """Write the reports as Great Expectations' static pages into a folder, and return the path of its first page.

    The pages name the time at which they were made; they are for people, and no part of any content hash.
    """
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier, ValidationResultIdentifier

    context = _context()
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
    context.add_data_docs_site(
        "quality", {"class_name": "SiteBuilder", "store_backend": backend, "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
    )
    for position, report in enumerate(reports, start=1):
        key = ValidationResultIdentifier(
            ExpectationSuiteIdentifier(name=report.suite), RunIdentifier(run_name=report.suite), batch_identifier=f"{report.suite}-{position}"
        )
        context.validation_results_store.set(key, report.result)
    context.build_data_docs(site_names=["quality"])
    return folder / "index.html"


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


def _context() -> "EphemeralDataContext":
    """A context in memory that reports nothing to anybody and draws no progress bars."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _run(name: str, frame: pd.DataFrame, suite: Sequence[_Expected], id_columns: tuple[str, ...]) -> QualityReport:
    import great_expectations as gx
    import great_expectations.expectations as registry

    context = _context()
    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    expectations = [getattr(registry, kind)(**settings) for kind, settings in suite]
    held = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=held))
    form: dict[str, Any] = {"result_format": "SUMMARY", "unexpected_index_column_names": list(id_columns)} if id_columns else {"result_format": "SUMMARY"}
    result = definition.run(batch_parameters={"dataframe": frame}, result_format=form)
    context.delete_datasource(name)  # the library keeps its last context, and with it every row of the frame
    outcomes = tuple(_outcome(item) for item in result.results)
    return QualityReport(name, bool(result.success), outcomes, {key: float(value) for key, value in result.statistics.items() if value is not None}, result)


def _outcome(item: Any) -> ExpectationOutcome:
    settings, detail = item.expectation_config, item.result or {}
    bounds = {key: value for key, value in settings.kwargs.items() if key not in ("column", "batch_id")}
    return ExpectationOutcome(
        name=settings.type,
        column=settings.kwargs.get("column"),
        success=bool(item.success),
        n_unexpected=int(detail.get("unexpected_count") or 0),
        examples=_examples(item, detail),
        bound=", ".join(f"{key}={value}" for key, value in bounds.items()),
    )


def _examples(item: Any, detail: Mapping[str, Any]) -> tuple[str, ...]:
    found = detail.get("partial_unexpected_index_list") or detail.get("partial_unexpected_list") or []
    examples = tuple(", ".join(f"{key}={part}" for key, part in value.items()) if isinstance(value, dict) else str(value) for value in found[:5])
    if examples or item.success:
        return examples
    if detail.get("details"):
        return (str(detail["details"]),)
    # An expectation that could not be evaluated says why in place of values.
    errors = [part.get("exception_message") for part in (item.exception_info or {}).values() if isinstance(part, dict)]
    return tuple(str(error) for error in errors if error)[:1] or (f"observed {detail.get('observed_value')}",)
