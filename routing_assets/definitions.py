"""The one code location: market data to routed and trained models.

Belongs here: what the location holds. Does not: anything else. One location, because a run cannot span two.
"""

from collections.abc import Mapping

import dagster as dg

from resources.settings import Settings, settings_from_environment
from routing_assets.assets import ROUTING_ASSETS, training_plan
from routing_assets.checks import CHECKS
from routing_assets.jobs import JOBS
from routing_assets.report_assets import routing_report
from routing_assets.sensors import new_market_data_sensor
from training_assets.assets import fresh_for
from training_assets.checks import CHECKS as TRAINING_CHECKS
from training_assets.definitions import resources_of, training_assets_of, with_settings_in_version
from training_assets.jobs import JOBS as TRAINING_JOBS
from training_assets.sensors import training_plan_sensor


def make_definitions(settings: Settings, loggers: Mapping[str, dg.LoggerDefinition] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, sensors and resources under these settings; `loggers` beside Dagster's own, for runs in the command's process.

    Steps run in the run's own process: they follow one another, what is parallel is inside them, and a process a step would cost seconds of imports each.
    """
    return dg.Definitions(
        assets=[*training_assets_of(settings), *routing_assets_of(settings)],
        asset_checks=[*TRAINING_CHECKS, *CHECKS],
        jobs=[*TRAINING_JOBS, *JOBS],
        sensors=[new_market_data_sensor, training_plan_sensor],
        resources=resources_of(settings),
        executor=dg.in_process_executor,
        loggers=loggers,
    )


# As `training_assets.definitions.SETTINGS_READ`.
SETTINGS_READ: dict[str, tuple[str, ...]] = {
    "target_ranking": ("seed", "splits", "scoring", "targets"),
    "feature_selection": ("seed", "splits", "features"),
    "leakage_audit": ("seed", "splits", "scoring", "features", "targets", "leakage"),
    "stability": ("seed", "splits", "scoring", "routing.stability_classification"),
    "routing_candidates": ("seed", "splits", "scoring", "routing.significance", "routing.harmful_confidence"),
    "routing_plan": ("routing",),
    "training_plan": ("training.families", "training.model_types", "routing.dump_plan_as"),
    "routing_report": ("seed", "splits", "scoring", "routing"),
}


def routing_assets_of(settings: Settings) -> list[dg.AssetsDefinition]:
    """Every asset of the routing side, the plan with how long it counts as fresh."""
    config = settings.load()
    policy = fresh_for(config.resources.plan_fresh_days)
    versioned = {asset.key: with_settings_in_version(asset, config, SETTINGS_READ) for asset in (*ROUTING_ASSETS, routing_report)}
    versioned[training_plan.key] = versioned[training_plan.key].map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, policy))
    return list(versioned.values())


@dg.definitions
def defs() -> dg.Definitions:
    """The code location as Dagster loads it, settings from the environment."""
    return make_definitions(settings_from_environment())
