"""A quality report as a check result: the numbers and the failures in the UI, and the pages they lead to.

Belongs here: the wrapping that the checks of both sides share. Does not: any suite.
"""

from pathlib import Path

import dagster as dg

from resources.settings import Settings
from training_assets.expectations import ExpectationOutcome, QualityReport, publish_pages

DATA_DOCS_PATH = "data_docs"


def quality_result(report: QualityReport, settings: Settings) -> dg.AssetCheckResult:
    """Publish the report's pages under the output folder and name them, its statistics and each expectation in the check's metadata."""
    page = publish_pages(report, settings.output / DATA_DOCS_PATH)
    failures = report.failures()
    return dg.AssetCheckResult(
        passed=report.success,
        description="; ".join(_failure_line(item) for item in failures) or None,
        metadata={
            "n_expectations": len(report.expectations),
            "n_failed": len(failures),
            "expectations": dg.MetadataValue.table([_record(item) for item in report.expectations]),
            "data_docs": dg.MetadataValue.url(page.resolve().as_uri()),
            "data_docs_index": dg.MetadataValue.path(str(Path(settings.output / DATA_DOCS_PATH / "index.html"))),
        },
    )


def _failure_line(item: ExpectationOutcome) -> str:
    instances = f", for instance {'; '.join(item.examples)}" if item.examples else ""
    return f"{item.name} {item.column or 'of the table'}: {item.n_unexpected} rows outside {item.bound or 'what is expected'}{instances}"


def _record(item: ExpectationOutcome) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "expectation": item.name.removeprefix("expect_"),
            "column": item.column or "",
            "holds": item.success,
            "unexpected": item.n_unexpected,
            "bound": item.bound,
            "examples": "; ".join(item.examples),
        }
    )
