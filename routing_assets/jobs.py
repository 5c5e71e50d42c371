"""Dagster jobs of the routing side.

Belongs here: selections. Training runs on partitions that a plan makes, and one run cannot make partitions and run them: `training_plan_sensor`
and the command carry a plan on to training.
"""

import dagster as dg

PLANNED = (
    "market_files",
    "market_bars",
    "panel",
    "target_ranking",
    "feature_selection",
    "leakage_audit",
    "stability",
    "routing_candidates",
    "routing_plan",
    "training_plan",
)
plan_only = dg.define_asset_job(
    "plan_only",
    selection=list(PLANNED),
    description="Everything up to the training plan, and the partitions that it trains on.",
)
routing_report_job = dg.define_asset_job(
    "report_routing",
    selection=["model_leaderboard", "routing_report"],
    description="The leaderboard, and the routed models held against pooled, local and both on the holdout.",
)
full_pipeline = dg.define_asset_job(
    "full_pipeline",
    selection=[*PLANNED, "model_leaderboard", "routing_report"],
    description="As far as one run can go: a new plan, and the reports of the models that are there. Models are trained on the plan's partitions by the "
    "training jobs, which training_plan_sensor and `switchyard run` start.",
)
JOBS = (plan_only, routing_report_job, full_pipeline)
