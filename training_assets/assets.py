"""The training side of the asset graph up to the models: bars, panel, the plan's slices; and the leaderboard after them.

Belongs here: fetching, one call into the domain, and what the UI shows. Does not: the models (`model_assets`), or any decision.
"""

from datetime import timedelta

import dagster as dg
import pandas as pd

from resources.artifact_store import PATH_KEY, content_version
from resources.frame_types import column_schema, frame_type
from resources.market_data.sources import load_market_data
from resources.settings import Settings
from training_assets.leaderboard import leaderboard_frame, leaderboard_markdown, read_cards
from training_assets.panel.alignment import align_bars
from training_assets.panel.build import build_panel
from training_assets.panel.data_hash import data_hash
from training_assets.panel.panel import Bars, Panel
from training_assets.partitions import TARGET_SYMBOL, TARGETS
from training_assets.plan_reader import read_master_plan
from training_assets.table_columns import LEADERBOARD

CODE_VERSION = "1"
OWNERS = ["team:switchyard"]
STORE = "artifact_store"
BARS_PATH = "panel/bars"
PANEL_PATH = "panel/panel"
LEADERBOARD_PATH = "METRICS/model_leaderboard.parquet"
MODEL_ASSETS = ("cross_sectional_models", "cross_sectional_sequence_models", "symbol_models", "symbol_sequence_models", "blended_models")


def fresh_for(days: int) -> dg.FreshnessPolicy:
    """Fails once nothing was materialized for this many days, warns after half of them."""
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(days=days), warn_window=timedelta(days=days / 2))


target_plan = dg.AssetSpec(
    "target_plan",
    partitions_def=TARGETS,
    deps=["training_plan"],
    group_name="plan",
    kinds={"json"},
    owners=OWNERS,
    description="A target's pooled job, cut from the training plan, with a data version of its own: a new plan makes only changed targets stale. "
    "Reported by training_plan.",
)
pair_plan = dg.AssetSpec(
    "pair_plan",
    partitions_def=TARGET_SYMBOL,
    deps=["training_plan"],
    group_name="plan",
    kinds={"json"},
    owners=OWNERS,
    description="A (target, symbol) pair's job, cut from the training plan, with a data version of its own: a new plan makes only changed pairs stale. "
    "Reported by training_plan.",
)


@dg.asset(group_name="market", kinds={"numpy"}, owners=OWNERS, io_manager_key=STORE, metadata={PATH_KEY: BARS_PATH}, code_version=CODE_VERSION)
def market_bars(settings: Settings) -> dg.Output[Bars]:
    """Clean bars of every usable symbol on one calendar, read from the configured source; symbols that cannot be used are listed with the reason."""
    config = settings.load()
    data = load_market_data(config.data)
    alignment = align_bars(data.frames, config.data, config.targets, data.interval_minutes)
    problems = [str(problem) for problem in (*data.problems, *alignment.problems)]
    coverage = [dg.TableRecord({"symbol": item.symbol, "bars": item.n_rows, "first": item.first, "last": item.last}) for item in alignment.report.coverage]
    return dg.Output(
        alignment.bars,
        data_version=dg.DataVersion(data_hash(alignment.bars)),
        metadata={
            "dagster/row_count": alignment.bars.n_rows,
            "n_symbols": len(alignment.bars.symbols),
            "n_problems": len(problems),
            "source": data.describe(),
            "bars": alignment.report.describe(),
            "symbols": dg.MetadataValue.table(coverage),
            "problems": dg.MetadataValue.json(problems),
            "notes": dg.MetadataValue.json(list(alignment.report.notes)),
        },
    )


@dg.asset(group_name="market", kinds={"numpy"}, owners=OWNERS, io_manager_key=STORE, metadata={PATH_KEY: PANEL_PATH}, code_version=CODE_VERSION)
def panel(market_bars: Bars, settings: Settings) -> dg.Output[Panel]:
    """Features and labels of every bar, float32, held once and mapped into memory by whoever reads it."""
    config = settings.load()
    built = build_panel(market_bars, config, data_hash(market_bars))
    sections = config.model_dump_json(include={"features", "targets", "splits"})
    return dg.Output(
        built.panel,
        data_version=dg.DataVersion(content_version(built.panel.data_hash + sections)),
        metadata={
            "dagster/row_count": built.panel.n_rows,
            "n_features": len(built.panel.feature_infos),
            "n_targets": len(built.panel.target_infos),
            "n_bytes": built.panel.features.nbytes + built.panel.labels.nbytes,
            "targets": dg.MetadataValue.json(list(built.panel.target_names)),
            "notes": dg.MetadataValue.json(list(built.notes.lines())),
        },
    )


@dg.asset(
    group_name="models",
    kinds={"parquet"},
    owners=OWNERS,
    io_manager_key=STORE,
    metadata={PATH_KEY: LEADERBOARD_PATH, **column_schema(LEADERBOARD)},
    dagster_type=frame_type("ModelLeaderboard", "Models of the plan with their out-of-sample scores, one a row.", LEADERBOARD),
    code_version=CODE_VERSION,
    deps=[dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in MODEL_ASSETS],
)
def model_leaderboard(settings: Settings) -> dg.Output[pd.DataFrame]:
    """Every model of the plan with its out-of-sample scores and intervals, best first within a target; models of other plans are left out."""
    plan = read_master_plan(settings.plan_folder)
    frame = leaderboard_frame(read_cards(settings.models_root, plan))
    counts = frame.groupby("family").size().to_dict() if len(frame) else {}
    return dg.Output(
        frame,
        data_version=dg.DataVersion(content_version(frame)),
        metadata={
            "dagster/row_count": len(frame),
            "n_models": len(frame),
            "models_by_family": dg.MetadataValue.json({str(family): int(count) for family, count in counts.items()}),
            "leaderboard": dg.MetadataValue.md(leaderboard_markdown(frame)),
        },
    )
