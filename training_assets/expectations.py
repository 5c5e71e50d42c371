"""Great Expectations run in memory: a suite over a frame, what came out, and its pages.

Belongs here: the library's context, one validation, its Data Docs. Does not: any suite (`data_quality`, and the routing side's own). The library takes
seconds to import, so it is imported when a suite runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from resources.files import folder_written_atomically

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

Expected = tuple[str, Mapping[str, Any]]  # an expectation's class, and its settings
RESULTS_FOLDER = "results"
# The library puts a run's time into its page's address. A fixed one keeps the address, so that a link in an older run leads to the newest page.
_ADDRESS_TIME = datetime(2000, 1, 1, tzinfo=UTC)


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

    @property
    def document(self) -> dict[str, Any]:
        """The library's own result as plain JSON values."""
        document: dict[str, Any] = self.result.to_json_dict()  # type: ignore[no-untyped-call]
        return document

    def failures(self) -> tuple[ExpectationOutcome, ...]:
        """The expectations that did not hold."""
        return tuple(outcome for outcome in self.expectations if not outcome.success)


def publish_pages(report: QualityReport, folder: Path) -> Path:
    """Write Great Expectations' static pages of a report, and of those published before it, into a folder; one page a suite, the newest.

    The pages name the time at which they were made; they are for people, and no part of any content hash.

    Returns
    -------
    The page of this report; `index.html` of the folder leads to all.
    """
    results = {path.stem: json.loads(path.read_bytes()) for path in sorted((folder / RESULTS_FOLDER).glob("*.json"))}
    results[report.suite] = report.document
    with folder_written_atomically(folder) as place:
        (place / RESULTS_FOLDER).mkdir()
        for suite, result in results.items():
            (place / RESULTS_FOLDER / f"{suite}.json").write_text(json.dumps(result), encoding="utf-8")
        _build_site(results, place)
    return next((folder / "validations" / report.suite).rglob("*.html"))


def _build_site(results: Mapping[str, Mapping[str, Any]], place: Path) -> None:
    from great_expectations.core import expectation_validation_result as results_of
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier, ValidationResultIdentifier

    context = _context()
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(place.resolve())}
    context.add_data_docs_site(
        "quality", {"class_name": "SiteBuilder", "store_backend": backend, "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
    )
    for suite, result in results.items():
        key = ValidationResultIdentifier(ExpectationSuiteIdentifier(name=suite), RunIdentifier(run_name=suite, run_time=_ADDRESS_TIME), batch_identifier=suite)
        context.validation_results_store.set(key, results_of.expectationSuiteValidationResultSchema.load(result))
    context.build_data_docs(site_names=["quality"])


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


def run_suite(name: str, frame: pd.DataFrame, suite: Sequence[Expected], id_columns: tuple[str, ...]) -> QualityReport:
    """Hold a frame against a suite; `id_columns` are the columns that name a row in the examples of what broke an expectation."""
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
