"""The routing report in the asset graph: the one asset that reads the holdout, after everything else.

Belongs here: fetching what the report stands on and writing its three forms. Does not: any score or sentence (`report` and its helpers).
"""

import dagster as dg
import pandas as pd

from resources.artifact_store import content_version
from resources.files import write_atomically
from resources.metadata import column_schema
from resources.process_limits import peak_memory_bytes
from resources.settings import Settings
from routing_assets.assets import CANDIDATES_PATH, ROUTING_PLAN_PATH, routing_plan
from routing_assets.decisions.plan_documents import read_routing_plan
from routing_assets.evidence.candidates_table import read_candidates
from routing_assets.report.html_page import report_html
from routing_assets.report.markdown_page import report_markdown
from routing_assets.report.report import REPORT_COLUMNS, build_report, report_bytes
from training_assets.assets import CODE_VERSION, OWNERS
from training_assets.panel.panel import Panel

REPORT_PATH = "METRICS/routing_report"


@dg.asset(group_name="report", kinds={"html"}, owners=OWNERS, code_version=CODE_VERSION, deps=[routing_plan])
def routing_report(
    panel: Panel, feature_selection: pd.DataFrame, leakage_audit: pd.DataFrame, stability: pd.DataFrame, model_leaderboard: pd.DataFrame, settings: Settings
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What the routes were worth on the holdout: routed against always pooled, always local, both, and the best in hindsight."""
    report = build_report(
        panel,
        read_routing_plan(settings.output / ROUTING_PLAN_PATH, panel.data_hash),
        read_candidates(settings.output / CANDIDATES_PATH),
        feature_selection,
        leakage_audit,
        stability,
        None if model_leaderboard.empty else model_leaderboard,
        settings.load(),
    )
    place, text = settings.output / REPORT_PATH, report_markdown(report)
    write_atomically(place.with_suffix(".parquet"), report_bytes(report))
    write_atomically(place.with_suffix(".md"), text)
    write_atomically(place.with_suffix(".html"), report_html(report))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(content_version(report.table)),
        metadata={
            "dagster/row_count": len(report.table),
            "n_models": len(model_leaderboard),
            "verdicts": dg.MetadataValue.md("\n".join(f"- {verdict}" for verdict in report.verdicts)),
            "report": dg.MetadataValue.md(text),
            "page": dg.MetadataValue.path(str(place.with_suffix(".html").resolve())),
            "peak_memory_bytes": peak_memory_bytes(),
            **column_schema(report.table, REPORT_COLUMNS),
        },
    )
