"""Blocking checks of the routing side.

Belongs here: the wrapping of a verdict as a check result. Does not: the verdict (`plan_consistency`).
"""

import dagster as dg

from resources.settings import Settings
from routing_assets.assets import CANDIDATES_PATH, ROUTING_PLAN_PATH, TRAINING_PLAN_PATH, routing_candidates, routing_plan, training_plan
from routing_assets.decisions.plan_documents import read_routing_plan
from routing_assets.evidence.candidates_quality import check_candidates
from routing_assets.evidence.candidates_table import read_candidates
from routing_assets.plans.plan_consistency import plan_against_candidates, plan_against_routes
from routing_assets.plans.plan_quality import check_routing_plan, check_training_plan
from routing_assets.plans.training_plan_files import load_training_plan
from training_assets.quality_checks import quality_result


@dg.asset_check(
    asset=routing_plan, blocking=True, description="Every pair and target of the candidates is in the plan, once, and the plan stands on these candidates."
)
def routes_every_candidate(settings: Settings) -> dg.AssetCheckResult:
    plan = read_routing_plan(settings.output / ROUTING_PLAN_PATH)
    faults = plan_against_candidates(plan, read_candidates(settings.output / CANDIDATES_PATH))
    return dg.AssetCheckResult(passed=not faults, description="; ".join(faults) or None, metadata={"faults": dg.MetadataValue.json(list(faults))})


@dg.asset_check(
    asset=training_plan, blocking=True, description="Every job trains a pair that its route lets train, pools no other symbol, and no routed pair is missing."
)
def trains_what_is_routed(settings: Settings) -> dg.AssetCheckResult:
    plan = load_training_plan(settings.output / TRAINING_PLAN_PATH, allow_no_jobs=True)
    faults = plan_against_routes(plan, read_routing_plan(settings.output / ROUTING_PLAN_PATH))
    return dg.AssetCheckResult(passed=not faults, description="; ".join(faults) or None, metadata={"faults": dg.MetadataValue.json(list(faults))})


@dg.asset_check(asset=routing_candidates, description="Columns, words, ranges, one row a side, scores inside their intervals, by Great Expectations.")
def candidates_quality(settings: Settings) -> dg.AssetCheckResult:
    return quality_result(check_candidates(read_candidates(settings.output / CANDIDATES_PATH)), settings)


@dg.asset_check(asset=routing_plan, description="One known route a pair, every pair a candidate, no leaking pair routed, by Great Expectations.")
def routing_plan_quality(settings: Settings) -> dg.AssetCheckResult:
    plan = read_routing_plan(settings.output / ROUTING_PLAN_PATH)
    return quality_result(check_routing_plan(plan, read_candidates(settings.output / CANDIDATES_PATH)), settings)


@dg.asset_check(asset=training_plan, description="Jobs with features and families, each under its pair's own route, by Great Expectations.")
def training_plan_quality(settings: Settings) -> dg.AssetCheckResult:
    plan = load_training_plan(settings.output / TRAINING_PLAN_PATH, allow_no_jobs=True)
    return quality_result(check_training_plan(plan, read_routing_plan(settings.output / ROUTING_PLAN_PATH)), settings)


CHECKS = (candidates_quality, routing_plan_quality, training_plan_quality, routes_every_candidate, trains_what_is_routed)
