"""Blocking checks of the training side: what the UI shows, and what stops a run that holds both the checked and what follows.

Belongs here: the wrapping of a verdict as a check result. Does not: the verdict. A check stops its own run only; the same lock stands inside every model asset.
`partitions_def=` on checks is a preview feature of Dagster, pinned; it is used in this file only.
"""

import dagster as dg
import pandas as pd

from resources.artifact_store import read_value
from resources.settings import Settings
from training_assets.assets import PANEL_PATH, market_bars, pair_plan, panel, target_plan
from training_assets.contracts import TrainingType
from training_assets.data_quality import check_bars, check_panel, long_bars
from training_assets.leakage.lock import other_data
from training_assets.model_assets import AUDIT_PATH
from training_assets.panel.panel import Bars, Panel
from training_assets.plan_reader import plan_slices, read_master_plan
from training_assets.quality_checks import quality_result
from training_assets.stage_work import leakage_lock_of

N_SHOWN = 50


@dg.asset_check(asset=market_bars, blocking=True, description="Schema, ranges, order and coverage of the bars, by Great Expectations.")
def bars_quality(market_bars: Bars, settings: Settings) -> dg.AssetCheckResult:
    return quality_result(check_bars(long_bars(market_bars)), settings)


@dg.asset_check(asset=panel, description="Finite, varying, known columns, classes in range, labels not older than their row, by Great Expectations.")
def panel_quality(panel: Panel, settings: Settings) -> dg.AssetCheckResult:
    return quality_result(check_panel(panel), settings)


def make_leakage_check(slices: dg.AssetSpec, training_type: TrainingType) -> dg.AssetChecksDefinition:
    """The leakage lock's verdict on the partitions of a run, as a blocking check of the plan's slices.

    Over a range, one leaking partition must not stop the others: the check then warns, and the lock inside the model asset refuses that one alone.
    """

    @dg.asset_check(
        asset=slices.key,
        name="leakage",
        blocking=True,
        partitions_def=slices.partitions_def,
        description="No finding of the leakage audit concerns the job's target, symbols or features.",
    )
    def leakage(context: dg.AssetCheckExecutionContext, settings: Settings) -> dg.AssetCheckResult:
        plan = plan_slices(read_master_plan(settings.plan_folder), training_type)
        audit = read_value(settings.output / AUDIT_PATH, pd.DataFrame)
        keys = context.op_execution_context.partition_keys
        config = settings.load()
        stale = other_data(audit, read_value(settings.output / PANEL_PATH, Panel).data_hash) if config.routing.block_on_leakage else None
        verdicts = {key: leakage_lock_of(plan[key].job, audit, config) if stale is None else (False, (stale,)) for key in keys if key in plan}
        shut = {key: list(reasons) for key, (is_open, reasons) in verdicts.items() if not is_open}
        return dg.AssetCheckResult(
            passed=not shut,
            severity=dg.AssetCheckSeverity.WARN if len(shut) < len(keys) else dg.AssetCheckSeverity.ERROR,
            description=f"{len(shut)} of {len(keys)} partitions must not be fitted" if shut else None,
            metadata={"n_partitions": len(keys), "n_shut": len(shut), **_shut_table(shut)},
        )

    return leakage


def _shut_table(shut: dict[str, list[str]]) -> dict[str, dg.MetadataValue]:
    """The first refused partitions with their findings in words, a row each; nothing where none is refused."""
    rows = [dg.TableRecord({"partition": key, "finding": reason}) for key, reasons in list(shut.items())[:N_SHOWN] for reason in reasons]
    return {"findings": dg.MetadataValue.table(rows)} if rows else {}


target_leakage = make_leakage_check(target_plan, TrainingType.CROSS_SECTIONAL)
pair_leakage = make_leakage_check(pair_plan, TrainingType.SYMBOL_SPECIFIC)
CHECKS = (bars_quality, panel_quality, target_leakage, pair_leakage)
