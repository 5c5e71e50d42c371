"""The training side as a code location of its own, for whoever deploys the GPU side apart.

Belongs here: what the location holds. The routing side (`routing_assets.definitions`) is the location that holds both; where this one stands alone,
the plan and the audit come from the shared output tree and are shown as assets made elsewhere.
"""

from collections.abc import Collection, Mapping

import dagster as dg

from config.load import settings_hash
from config.schema import Config
from resources.artifact_store import ArtifactStore
from resources.gpu import GpuResource
from resources.settings import Settings, settings_from_environment
from training_assets.assets import MODEL_ASSETS, STORE, market_bars, market_files, model_leaderboard, pair_plan, panel, target_plan
from training_assets.checks import CHECKS, pair_leakage, target_leakage
from training_assets.jobs import JOBS
from training_assets.model_assets import make_model_assets
from training_assets.sensors import training_plan_sensor

MADE_ELSEWHERE = (dg.AssetSpec("training_plan", group_name="plan"), dg.AssetSpec("leakage_audit", group_name="evidence"))


# The settings that each asset's value follows from, by dotted key: a change to one of them is to its code version what a change of code is.
MODEL_SETTINGS = ("seed", "splits", "scoring", "training.hyperparameters", "training.oos_fraction", "training.blend_families", "training.blend_folds")
SETTINGS_READ: dict[str, tuple[str, ...]] = {
    "market_bars": ("data", "targets.column_patterns", "targets.supplied"),
    "panel": ("features", "targets", "splits"),
    **dict.fromkeys(MODEL_ASSETS, MODEL_SETTINGS),
}


# What the training jobs hold: the models, and the checks that gate them.
TRAINING_STEPS = (*MODEL_ASSETS, target_leakage.op.name, pair_leakage.op.name)


def training_assets_of(settings: Settings) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Every asset of the training side under these settings."""
    config = settings.load()
    made = [market_files, market_bars, panel, *make_model_assets(config.resources), model_leaderboard]
    return [target_plan, pair_plan, *(with_settings_in_version(asset, config, SETTINGS_READ) for asset in made)]


def with_settings_in_version(asset: dg.AssetsDefinition, config: Config, settings_read: Mapping[str, Collection[str]]) -> dg.AssetsDefinition:
    """An asset whose code version holds the settings that its value follows from, so that a changed setting marks it out of date, and no other."""

    def versioned(spec: dg.AssetSpec) -> dg.AssetSpec:
        keys = settings_read.get(spec.key.to_user_string())
        return spec.replace_attributes(code_version=f"{spec.code_version}-{settings_hash(config, keys)}") if keys else spec

    return asset.map_asset_specs(versioned)


def resources_of(settings: Settings) -> dict[str, object]:
    """The resources that both sides' assets ask for."""
    training = settings.load().training
    return {
        "settings": settings,
        STORE: ArtifactStore(settings=settings, training_steps=list(TRAINING_STEPS)),
        "gpu": GpuResource(mode=training.require_device, memory_fraction=training.device_memory_fraction),
    }


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
