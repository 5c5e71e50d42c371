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
from training_assets.definitions import resources_of, training_assets_of
from training_assets.jobs import JOBS as TRAINING_JOBS
from training_assets.sensors import training_plan_sensor


def make_definitions(settings: Settings, loggers: Mapping[str, dg.LoggerDefinition] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, sensors and resources under these settings; `loggers` beside Dagster's own, for runs in the command's process.

    Steps run in the run's own process: they follow one another, what is parallel is inside them, and a process a step would cost seconds of imports each.
    """
    return dg.Definitions(
        assets=[*training_assets_of(settings), *routing_assets_of(settings), routing_report],
        asset_checks=[*TRAINING_CHECKS, *CHECKS],
        jobs=[*TRAINING_JOBS, *JOBS],
        sensors=[new_market_data_sensor, training_plan_sensor],
        resources=resources_of(settings),
        executor=dg.in_process_executor,
        loggers=loggers,
    )


def routing_assets_of(settings: Settings) -> list[dg.AssetsDefinition]:
    """Every asset of the routing side, the plan with how long it counts as fresh."""
    policy = fresh_for(settings.load().resources.plan_fresh_days)
    return [asset.map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, policy)) if asset is training_plan else asset for asset in ROUTING_ASSETS]


@dg.definitions
def defs() -> dg.Definitions:
    """The code location as Dagster loads it, settings from the environment."""
    return make_definitions(settings_from_environment())
