"""The training side as a code location of its own, for whoever deploys the GPU side apart.

Belongs here: what the location holds. The routing side (`routing_assets.definitions`) is the location that holds both; where this one stands alone,
the plan and the audit come from the shared output tree and are shown as assets made elsewhere.
"""

import dagster as dg

from resources.artifact_store import ArtifactStore
from resources.gpu import GpuResource
from resources.settings import Settings, settings_from_environment
from training_assets.assets import STORE, market_bars, model_leaderboard, pair_plan, panel, target_plan
from training_assets.checks import CHECKS
from training_assets.jobs import JOBS
from training_assets.model_assets import make_model_assets
from training_assets.sensors import training_plan_sensor

MADE_ELSEWHERE = (dg.AssetSpec("training_plan", group_name="plan"), dg.AssetSpec("leakage_audit", group_name="evidence"))


def training_assets_of(settings: Settings) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Every asset of the training side under these settings."""
    return [market_bars, panel, target_plan, pair_plan, *make_model_assets(settings.load().resources), model_leaderboard]


def resources_of(settings: Settings) -> dict[str, object]:
    """The resources that both sides' assets ask for."""
    return {"settings": settings, STORE: ArtifactStore(settings=settings), "gpu": GpuResource(mode=settings.load().training.require_device)}


@dg.definitions
def defs() -> dg.Definitions:
    """The training code location, settings from the environment."""
    settings = settings_from_environment()
    return dg.Definitions(
        assets=[*training_assets_of(settings), *MADE_ELSEWHERE],
        asset_checks=list(CHECKS),
        jobs=list(JOBS),
        sensors=[training_plan_sensor],
        executor=dg.in_process_executor,
        resources=resources_of(settings),
    )
