"""The training side of the asset graph up to the models: bars, panel, the plan's slices; and the leaderboard after them.

Belongs here: fetching, one call into the domain, and what the UI shows. Does not: the models (`model_assets`), or any decision.
"""

import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pandas as pd

from config.schema import Config
from resources.artifact_store import PATH_KEY, content_version
from resources.files import scratch_folder
from resources.frame_types import declared_schema, frame_type
from resources.market_data.digest import whole_digest
from resources.market_data.sources import list_market_files, load_market_data
from resources.metadata import shown_table
from resources.process_limits import peak_memory_bytes
from resources.remote_store import remote_store
from resources.settings import Settings
from training_assets.leaderboard import leaderboard_frame, read_cards
from training_assets.market_changes import files_version
from training_assets.panel.alignment import align_bars
from training_assets.panel.build import build_panel
from training_assets.panel.data_hash import data_hash
from training_assets.panel.panel import Bars, Panel
from training_assets.partitions import TARGET_SYMBOL, TARGETS
from training_assets.plan_reader import read_master_plan
from training_assets.table_columns import LEADERBOARD

Stored = TypeVar("Stored", Bars, Panel)

CODE_VERSION = "1"
OWNERS = ["team:switchyard"]
STORE = "artifact_store"
BARS_PATH = "panel/bars"
PANEL_PATH = "panel/panel"
N_MODELS_SHOWN = 50
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


market_files_spec = dg.AssetSpec(
    "market_files",
    group_name="market",
    kinds={"file"},
    owners=OWNERS,
    description="The files that bars are read from, as others write them. Observing tells what they hold now, by a digest of their content: bars made of "
    "something else are then out of date. new_market_data_sensor observes them, and so does every plan.",
)


def observe_files(settings: Settings) -> Iterator[dg.ObserveResult]:
    data = settings.load().data
    files = list_market_files(data)
    digests = {file.path: digest for file in files if (digest := whole_digest(file, data.max_file_bytes)) is not None}
    yield dg.ObserveResult(
        asset_key=market_files_spec.key,
        data_version=dg.DataVersion(files_version(digests)),
        metadata={"n_files": len(files), "n_not_whole": len(files) - len(digests), "n_bytes": sum(file.size_bytes for file in files)},
    )


def _observed() -> dg.AssetsDefinition:
    with warnings.catch_warnings():  # the decorator is pinned with Dagster; its notice is no user's concern
        warnings.filterwarnings("ignore", message=".*currently in beta")
        observable: Callable[..., dg.AssetsDefinition] = dg.multi_observable_source_asset(name="market_files", specs=[market_files_spec])
        return observable(observe_files)


market_files = _observed()


@dg.asset(
    group_name="market",
    kinds={"numpy"},
    owners=OWNERS,
    io_manager_key=STORE,
    metadata={PATH_KEY: BARS_PATH},
    code_version=CODE_VERSION,
    deps=[market_files_spec],
)
def market_bars(settings: Settings) -> Iterator[dg.Output[Bars]]:
    """Clean bars of every usable symbol on one calendar, read from the configured source; symbols that cannot be used are listed with the reason."""
    with scratch_folder(settings.output / BARS_PATH) as folder:
        bars, metadata = _read_bars(settings.load(), folder)
        yield dg.Output(bars, data_version=dg.DataVersion(data_hash(bars)), metadata=metadata)


def _read_bars(config: Config, folder: Path) -> tuple[Bars, dict[str, Any]]:
    data = load_market_data(config.data)
    alignment = align_bars(data.frames, config.data, config.targets, data.interval_minutes)
    problems = [str(problem) for problem in (*data.problems, *alignment.problems)]
    coverage = [dg.TableRecord({"symbol": item.symbol, "bars": item.n_rows, "first": item.first, "last": item.last}) for item in alignment.report.coverage]
    metadata = {
        "dagster/row_count": alignment.bars.n_rows,
        "n_symbols": len(alignment.bars.symbols),
        "n_problems": len(problems),
        "source": data.describe(),
        "bars": alignment.report.describe(),
        "symbols": dg.MetadataValue.table(coverage),
        "problems": dg.MetadataValue.json(problems),
        "notes": dg.MetadataValue.json(list(alignment.report.notes)),
    }
    return _mapped(alignment.bars, folder), metadata


@dg.asset(group_name="market", kinds={"numpy"}, owners=OWNERS, io_manager_key=STORE, metadata={PATH_KEY: PANEL_PATH}, code_version=CODE_VERSION)
def panel(market_bars: Bars, settings: Settings) -> Iterator[dg.Output[Panel]]:
    """Features and labels of every bar, float32, held once and mapped into memory by whoever reads it."""
    config = settings.load()
    sections = config.model_dump_json(include={"features", "targets", "splits"})
    with scratch_folder(settings.output / PANEL_PATH) as folder:
        built, notes = _build_panel(market_bars, config, folder)
        yield dg.Output(
            built,
            data_version=dg.DataVersion(content_version(built.data_hash + sections)),
            metadata={
                "dagster/row_count": built.n_rows,
                "n_features": len(built.feature_infos),
                "n_targets": len(built.target_infos),
                "n_bytes": built.features.nbytes + built.labels.nbytes,
                "peak_memory_bytes": peak_memory_bytes(),
                "targets": dg.MetadataValue.json(list(built.target_names)),
                "notes": dg.MetadataValue.json(list(notes)),
            },
        )


def _build_panel(bars: Bars, config: Config, folder: Path) -> tuple[Panel, tuple[str, ...]]:
    built = build_panel(bars, config, data_hash(bars), folder, leave_out_constant=True)
    return _mapped(built.panel, folder), built.notes.lines()


def _mapped(value: Stored, folder: Path) -> Stored:
    """The value as files of a scratch folder: a run in one process keeps every output to its end, and the store links these files, so that bars
    and panel are in memory once, as pages of the files that whoever comes later maps too."""
    place = folder / "mapped"
    place.mkdir()
    value.write(place)
    return value.read(place)


@dg.asset(
    group_name="models",
    kinds={"parquet"},
    owners=OWNERS,
    io_manager_key=STORE,
    metadata={PATH_KEY: LEADERBOARD_PATH, **declared_schema(LEADERBOARD)},
    dagster_type=frame_type("ModelLeaderboard", "Models of the plan with their out-of-sample scores, one a row.", LEADERBOARD),
    code_version=CODE_VERSION,
    deps=[dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in MODEL_ASSETS],
)
def model_leaderboard(settings: Settings) -> dg.Output[pd.DataFrame]:
    """Every model of the plan with its out-of-sample scores and intervals, best first within a target; models of other plans are left out."""
    plan = read_master_plan(settings.plan_folder)
    store = remote_store(settings.load().resources.store, settings.output)
    if store is not None:
        store.pull_models()
    frame = leaderboard_frame(read_cards(settings.models_root, plan))
    counts = frame.groupby("family").size().to_dict() if len(frame) else {}
    return dg.Output(
        frame,
        data_version=dg.DataVersion(content_version(frame)),
        metadata={
            "dagster/row_count": len(frame),
            "n_models": len(frame),
            **_best_scores(frame),
            "models_by_family": dg.MetadataValue.json({str(family): int(count) for family, count in counts.items()}),
            "leaderboard": shown_table(frame.drop(columns=["n_rows", "experimental", "device", "model_id"]), N_MODELS_SHOWN),
            "peak_memory_bytes": peak_memory_bytes(),
        },
    )


def _best_scores(frame: pd.DataFrame) -> dict[str, float]:
    """The best model's score of each metric, for the series that the UI plots."""
    best = frame.dropna(subset=["score"]).groupby("metric")["score"].max()
    return {f"best_{metric}": float(score) for metric, score in best.items()}
