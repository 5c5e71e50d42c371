"""The routing side of the asset graph: evidence on every target and pair, the decision, and the plan that training follows.

Belongs here: fetching, one call into the domain, and what the UI shows. Does not: scores, gates, plans (their own modules).
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pandas as pd

from config.load import config_hash
from resources.artifact_store import PATH_KEY, content_version, read_value
from resources.frame_types import declared_schema, frame_type
from resources.instance_claim import claim_instance
from resources.metadata import column_schema, picture, shown_table
from resources.process_limits import peak_memory_bytes
from resources.provenance import git_commit
from resources.settings import Settings
from routing_assets.contracts import Candidates, Mode, RoutingPlan
from routing_assets.decisions.plan_documents import PlanError, read_routing_plan, write_routing_plan
from routing_assets.decisions.policy import route_candidates
from routing_assets.decisions.routing_plan import routing_plan as make_routing_plan
from routing_assets.decisions.screen_recall import screen_recall
from routing_assets.evidence.candidate_columns import CANDIDATE_MEANINGS
from routing_assets.evidence.candidates import build_candidates
from routing_assets.evidence.candidates_table import candidates_hash, read_candidates, write_candidates
from routing_assets.evidence.feature_sets import feature_sets
from routing_assets.evidence.ranking import rank_targets, targets_as_given
from routing_assets.evidence.selection import select_features
from routing_assets.evidence.stability import measure_stability
from routing_assets.evidence.table_columns import RANKING, SELECTION, STABILITY
from routing_assets.evidence.told import Told
from routing_assets.plans.comparison import diff
from routing_assets.plans.plan_inputs import state_feature_sets
from routing_assets.plans.training_plan import choose_families, make_training_plan, plan_libraries
from routing_assets.plans.training_plan_files import load_training_plan, write_training_plan
from routing_assets.report.plan_summary import (
    decision_lines,
    job_counts,
    moved_pairs,
    plan_routes,
    reasons_by_route,
    scores_of_side,
    status_by_detector,
    status_counts,
)
from routing_assets.report.plots import forest_plot_svg
from routing_assets.report.route_map import route_map_svg
from training_assets.assets import CODE_VERSION, OWNERS, STORE
from training_assets.content_key import library_versions, training_settings
from training_assets.contracts import TrainingPlan
from training_assets.families.registry import FAMILIES
from training_assets.leakage.audit import audit_leakage
from training_assets.leakage.words import finding_sentences, told_findings
from training_assets.panel.panel import Bars, Panel
from training_assets.partitions import publish_plan
from training_assets.table_columns import AUDIT

RANKING_PATH = "METRICS/target_ranking.parquet"
SELECTION_PATH = "METRICS/feature_selection.parquet"
AUDIT_PATH = "METRICS/leakage_audit.parquet"
STABILITY_PATH = "METRICS/stability.parquet"
CANDIDATES_PATH = "METRICS/routing_candidates.parquet"
ROUTING_PLAN_PATH = "METRICS/routing_plan"
TRAINING_PLAN_PATH = "globals/training_plan"
SECONDS_BETWEEN_TELLING = 2.0
MAX_DIFF_LINES = 200
MAX_FINDINGS_TOLD = 100
Plan = TypeVar("Plan")


def _told() -> Told:
    """A listener that writes progress into the log of the step at work, not more often than anybody would read it."""
    log, last = dg.AssetExecutionContext.get().log, time.monotonic()

    def told(done: int, total: int, what: str) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= SECONDS_BETWEEN_TELLING:
            last = time.monotonic()
            log.info(f"{done}/{total}: {what}")

    return told


def _table_output(frame: pd.DataFrame, **metadata: dg.MetadataValue | int | float | str) -> dg.Output[pd.DataFrame]:
    told = {"dagster/row_count": len(frame), "peak_memory_bytes": peak_memory_bytes(), **metadata}
    return dg.Output(frame, data_version=dg.DataVersion(content_version(frame)), metadata=told)


@dg.asset(
    group_name="evidence",
    kinds={"parquet"},
    owners=OWNERS,
    io_manager_key=STORE,
    metadata={PATH_KEY: RANKING_PATH, **declared_schema(RANKING)},
    dagster_type=frame_type("TargetRanking", "Targets by the lower bound of their out-of-sample skill, one a row.", RANKING),
    code_version=CODE_VERSION,
)
def target_ranking(panel: Panel, settings: Settings) -> dg.Output[pd.DataFrame]:
    """Every target by the lower bound of its out-of-sample skill; the ones marked selected are routed. Given candidates choose them instead."""
    given = _given_candidates(settings, panel)
    ranking = rank_targets(panel, settings.load()) if given is None else targets_as_given(panel, given.targets)
    return _table_output(ranking, n_targets=len(ranking), n_selected=int(ranking["selected"].sum()), ranking=shown_table(ranking))


@dg.asset(
    group_name="evidence",
    kinds={"parquet"},
    owners=OWNERS,
    io_manager_key=STORE,
    metadata={PATH_KEY: SELECTION_PATH, **declared_schema(SELECTION)},
    dagster_type=frame_type("FeatureSelection", "Every feature's evidence for every routed target, one (target, feature) a row.", SELECTION),
    code_version=CODE_VERSION,
)
def feature_selection(panel: Panel, target_ranking: pd.DataFrame, settings: Settings) -> dg.Output[pd.DataFrame]:
    """Every feature's rank by four selectors, held against random canaries, for each target that is routed."""
    targets = target_ranking.loc[target_ranking["selected"], "target"].tolist()
    selection = select_features(panel, targets, settings.load(), _told())
    chosen = selection[selection["selected"]].groupby("target").size()
    return _table_output(
        selection, n_selected=int(selection["selected"].sum()), selected_by_target=dg.MetadataValue.json({str(k): int(v) for k, v in chosen.items()})
    )


@dg.asset(
    group_name="evidence",
    kinds={"parquet"},
    owners=OWNERS,
    io_manager_key=STORE,
    metadata={PATH_KEY: AUDIT_PATH, **declared_schema(AUDIT)},
    dagster_type=frame_type("LeakageAudit", "Findings of the leakage detectors, one a row, and a row a detector that found nothing.", AUDIT),
    code_version=CODE_VERSION,
)
def leakage_audit(market_bars: Bars, panel: Panel, feature_selection: pd.DataFrame, settings: Settings) -> dg.Output[pd.DataFrame]:
    """What the leakage detectors found in features, labels and symbols of every routed target; BLOCKED findings keep models from being fitted."""
    audit = audit_leakage(market_bars, panel, feature_selection, settings.load())
    findings = audit[audit["status"] != "SAFE"]
    counts = {f"n_{status.lower()}": count for status, count in status_counts(audit).items()}
    return _table_output(audit, **counts, detectors=shown_table(status_by_detector(audit)), findings=shown_table(findings))


@dg.asset(
    group_name="evidence",
    kinds={"parquet"},
    owners=OWNERS,
    io_manager_key=STORE,
    metadata={PATH_KEY: STABILITY_PATH, **declared_schema(STABILITY)},
    dagster_type=frame_type("Stability", "Stability of every side, one a row.", STABILITY),
    code_version=CODE_VERSION,
)
def stability(panel: Panel, feature_selection: pd.DataFrame, leakage_audit: pd.DataFrame, settings: Settings) -> dg.Output[pd.DataFrame]:
    """How alike the features are that a signal uses from one stretch of time to the next, corrected for chance, with its interval.

    Nothing is measured where candidates are given: they state it.
    """
    measured = feature_selection if settings.candidates_file is None else feature_selection.head(0)
    table = measure_stability(panel, measured, leakage_audit, settings.load())
    counts = {f"n_{status.lower()}": count for status, count in status_counts(table, "stability").items()}
    return _table_output(table, **counts, least_stable_first=shown_table(table.sort_values("stability_ci_low", kind="stable").drop(columns="mode")))


@dg.asset(group_name="routing", kinds={"parquet"}, owners=OWNERS, code_version=CODE_VERSION)
def routing_candidates(
    panel: Panel, feature_selection: pd.DataFrame, leakage_audit: pd.DataFrame, stability: pd.DataFrame, settings: Settings
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """One row a target and one a pair: out-of-sample scores with intervals, p and q, stability and leakage; nothing here is decided."""
    given = _given_candidates(settings, panel)
    config = settings.load()
    candidates = build_candidates(panel, feature_selection, leakage_audit, stability, config, _told()) if given is None else given
    recall = screen_recall(route_candidates(candidates, config.routing), config.scoring.confidence)
    path = settings.output / CANDIDATES_PATH
    write_candidates(candidates, path)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(candidates_hash(candidates)),
        metadata={
            "dagster/row_count": candidates.n_rows,
            "n_pairs": int(candidates.local.sum()),
            "n_refused_by_the_screen": recall.n_refused,
            "n_refused_and_audited": recall.n_audited,
            "screen_recall": recall.text(),
            "peak_memory_bytes": peak_memory_bytes(),
            "path": dg.MetadataValue.path(str(path)),
            "pooled_scores": _forest_plots(candidates, Mode.CROSS_SECTIONAL, "Pooled scores, out of sample"),
            "local_scores": _forest_plots(candidates, Mode.SYMBOL_SPECIFIC, "Local scores, out of sample"),
            **column_schema(candidates.table.schema.empty_table().to_pandas(), CANDIDATE_MEANINGS),
        },
    )


@dg.asset(group_name="routing", kinds={"json"}, owners=OWNERS, code_version=CODE_VERSION, deps=[routing_candidates])
def routing_plan(context: dg.AssetExecutionContext, panel: Panel, leakage_audit: pd.DataFrame, settings: Settings) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The route of every (target, symbol) pair, with each number and the bound it met."""
    config = settings.load()
    decisions = route_candidates(read_candidates(settings.output / CANDIDATES_PATH), config.routing)
    plan = make_routing_plan(decisions, config.routing, config_hash=config_hash(config), data_hash=panel.data_hash, git_commit=git_commit())
    folder = settings.output / ROUTING_PLAN_PATH
    before = _earlier(read_routing_plan, folder)
    # The JSON is what later steps read, so it is written whatever else is asked for.
    formats = tuple(dict.fromkeys(("json", *config.routing.dump_plan_as)))
    write_routing_plan(plan, folder, formats, config.routing.yaml_max_pairs, finding_sentences(told_findings(leakage_audit), MAX_FINDINGS_TOLD))
    if config.routing.log_decision_reasons:
        for line in decision_lines(plan):
            context.log.info(line)
    counts = plan.metadata["route_counts"]
    reasons = reasons_by_route(plan)
    rows = [dg.TableRecord({"route": route, "pairs": count, "commonest reasons": reasons.get(route, "")}) for route, count in counts.items()]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(plan.plan_id),
        metadata={
            "plan_id": plan.plan_id,
            "n_pairs": plan.metadata["n_pairs"],
            **{f"n_{route.removeprefix('ROUTE_').lower()}": count for route, count in counts.items()},
            "routes": dg.MetadataValue.table(rows) if rows else "no pairs",
            "picture": picture({"routes by target and symbol": route_map_svg(*plan_routes(plan))}),
            **_moves(before, plan),
            "path": dg.MetadataValue.path(str(folder)),
        },
    )


@dg.asset(group_name="plan", kinds={"json"}, owners=OWNERS, code_version=CODE_VERSION, deps=[routing_plan])
def training_plan(
    context: dg.AssetExecutionContext, panel: Panel, feature_selection: pd.DataFrame, leakage_audit: pd.DataFrame, settings: Settings
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The jobs that training executes, and nothing else; writing it brings the partitions of the models in step."""
    claim_instance(context.instance, settings.output)
    config = settings.load()
    routing = read_routing_plan(settings.output / ROUTING_PLAN_PATH, panel.data_hash)
    candidates = read_candidates(settings.output / CANDIDATES_PATH)
    features = feature_sets(panel, feature_selection, leakage_audit)
    state_features = state_feature_sets(panel, leakage_audit, features)
    libraries = library_versions(plan_libraries(FAMILIES.values(), config.training.families))
    identity = training_settings(config, choose_families(FAMILIES.values(), config.training.families))
    plan = make_training_plan(routing, candidates, features, FAMILIES.values(), config.training, state_features, libraries, identity, panel.symbols)
    folder = settings.output / TRAINING_PLAN_PATH
    before = _earlier(partial(load_training_plan, allow_no_jobs=True), folder)
    write_training_plan(plan, folder, config.routing.dump_plan_as)
    changes = publish_plan(context.instance, plan, panel.symbols)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(plan.metadata["plan_id"])),
        metadata={
            "plan_id": plan.metadata["plan_id"],
            "n_jobs": len(plan.jobs),
            "n_cross_sectional_jobs": plan.summary["total_cs_jobs"],
            "n_symbol_jobs": plan.summary["total_symbol_jobs"],
            "n_blocked_pairs": plan.summary["total_blocked"],
            "jobs": shown_table(job_counts(plan)),
            **_changes(before, plan),
            "partitions": dg.MetadataValue.json(
                {name: {"added": len(c.add), "deleted": len(c.delete), "deferred": len(c.deferred)} for name, c in changes.items()}
            ),
            "path": dg.MetadataValue.path(str(folder)),
        },
    )


def read_table(settings: Settings, path: str) -> pd.DataFrame:
    """One of the tables of the output tree."""
    frame: pd.DataFrame = read_value(settings.output / path, pd.DataFrame)
    return frame


def _given_candidates(settings: Settings, panel: Panel) -> Candidates | None:
    """The table routed in place of our own, None where there is none. Raises CandidatesError, also where it was made from other data."""
    return None if settings.candidates_file is None else read_candidates(settings.candidates_path, panel.data_hash)


def _forest_plots(candidates: Candidates, mode: Mode, title: str) -> dg.MetadataValue | str:
    """The scores of one side with their intervals, a picture a metric."""
    return picture({metric: forest_plot_svg(rows, null, title, metric) for metric, (rows, null) in scores_of_side(candidates.table, mode).items()})


def _earlier(read: Callable[[Path], Plan], folder: Path) -> Plan | None:
    """The plan that a new one takes the place of; None where there is none that can be read."""
    try:
        return read(folder)
    except PlanError:
        return None


def _moves(before: RoutingPlan | None, plan: RoutingPlan) -> dict[str, Any]:
    if before is None:
        return {"moved_since_the_plan_before": "there was none"}
    moved = moved_pairs(before, plan)
    return {"n_moved": len(moved), "moved_since_the_plan_before": shown_table(moved)}


def _changes(before: TrainingPlan | None, plan: TrainingPlan) -> dict[str, Any]:
    if before is None:
        return {"changes_to_the_plan_before": "there was none"}
    found = diff(before, plan)
    counts = {"n_jobs_added": len(found.added), "n_jobs_removed": len(found.removed), "n_jobs_changed": len(found.changed)}
    lines = found.text().splitlines()
    more = [f"... and {len(lines) - MAX_DIFF_LINES:,} more lines; `switchyard diff` shows all"] if len(lines) > MAX_DIFF_LINES else []
    return {**counts, "changes_to_the_plan_before": dg.MetadataValue.md("\n".join(["```", *lines[:MAX_DIFF_LINES], *more, "```"]))}


ROUTING_ASSETS = (target_ranking, feature_selection, leakage_audit, stability, routing_candidates, routing_plan, training_plan)
