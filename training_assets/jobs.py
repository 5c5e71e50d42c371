"""Dagster jobs of training: one a partition set and stage, each gated by the leakage check of its slices.

Belongs here: selections. Does not: what a run trains; that is its partitions, and the `only` list of its run config.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from training_assets.assets import pair_plan, target_plan
from training_assets.model_assets import GPU_REQUEST


def _train_job(name: str, asset: str, slices: dg.AssetSpec, description: str, on_gpu: bool = False) -> UnresolvedAssetJobDefinition:
    check = dg.AssetCheckKey(slices.key, "leakage")
    selection = dg.AssetSelection.assets(asset) | dg.AssetSelection.checks(check)
    # A run's own pod or Ray job reads the run's tags; where steps have pods of their own, they read the asset's.
    return dg.define_asset_job(name, selection=selection, description=description, tags=GPU_REQUEST if on_gpu else None)


# In the order in which a pipeline runs them: blends stand on pooled models, and the GPU stage follows the CPU stage.
TRAIN_JOBS = (
    _train_job("train_targets_cpu", "cross_sectional_models", target_plan, "Pooled models of the CPU stage."),
    _train_job("train_pairs_cpu", "symbol_models", pair_plan, "Local models of the CPU stage."),
    _train_job("train_blends_cpu", "blended_models", pair_plan, "Blends of the pairs routed BOTH; after the pooled models."),
    _train_job("train_targets_gpu", "cross_sectional_sequence_models", target_plan, "Pooled models of the GPU stage.", on_gpu=True),
    _train_job("train_pairs_gpu", "symbol_sequence_models", pair_plan, "Local models of the GPU stage.", on_gpu=True),
)
report_models = dg.define_asset_job("report_models", selection=["model_leaderboard"], description="The leaderboard of the models that are there.")
JOBS = (*TRAIN_JOBS, report_models)
