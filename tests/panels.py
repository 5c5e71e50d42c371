"""Small panels with signals that are known because they were planted, built without bars, features or targets of ours."""

from dataclasses import dataclass

import numpy as np

from config.sections.base import TaskType
from routing_assets.plans.training_plan import training_plan_document
from training_assets.contracts import Route, Stage, TrainingJob, TrainingPlan, TrainingType
from training_assets.panel.panel import FeatureInfo, Panel, TargetInfo
from training_assets.plan_reader import content_hash

DAY_NS = 86_400_000_000_000
REGRESSION_TARGET = "value_3b"
BINARY_TARGET = "up_3b"
CLASS_TARGET = "thirds_3b"


@dataclass(frozen=True)
class Planted:
    """How strong each part of the label is: what all symbols share, what each has for itself, and noise."""

    pooled: float = 1.0
    local: float = 0.0
    noise: float = 1.0


def make_panel(
    n_symbols: int = 3,
    n_bars: int = 400,
    n_features: int = 4,
    planted: Planted | None = None,
    horizon_bars: int = 3,
    late_starts: dict[int, int] | None = None,
    early_ends: dict[int, int] | None = None,
    holdout_fraction: float = 0.15,
    seed: int = 0,
) -> Panel:
    """A daily panel with one regression, one binary and one three-class target.

    Parameters
    ----------
    late_starts : first bar of some symbols, by symbol number; the others start at 0.
    early_ends : as many bars of the calendar some symbols have at most; the others have all.
    """
    strength = planted or Planted()
    generator = np.random.default_rng(seed)
    pooled_weights = generator.normal(size=n_features) * strength.pooled
    spans = [np.arange((late_starts or {}).get(number, 0), (early_ends or {}).get(number, n_bars)) for number in range(n_symbols)]
    blocks = [_symbol_block(generator, span, n_features, pooled_weights, strength, horizon_bars) for span in spans]
    times, features, values, ends = (np.concatenate([block[part] for block in blocks], axis=-1) for part in range(4))
    known = np.isfinite(values)
    up = np.where(known, values > 0, np.nan)
    thirds = np.where(known, np.digitize(values, [-0.6, 0.6]), np.nan)
    sizes = [block[0].size for block in blocks]
    return Panel(
        symbols=tuple(f"S{number:03d}" for number in range(n_symbols)),
        times_ns=np.arange(n_bars, dtype=np.int64) * DAY_NS + 1_500_000_000 * 10**9,
        symbol_offsets=np.r_[0, np.cumsum(sizes)].astype(np.int64),
        time_codes=times.astype(np.int32),
        session_codes=np.zeros(n_bars, np.int32),
        interval_minutes=1440,
        feature_infos=tuple(FeatureInfo(f"f{column}", 5, 0, False, "builtin") for column in range(n_features)),
        features=features.astype(np.float32),
        target_infos=(
            TargetInfo(REGRESSION_TARGET, TaskType.REGRESSION, horizon_bars, horizon_bars * 1440, "supplied", "none"),
            TargetInfo(BINARY_TARGET, TaskType.BINARY_CLASSIFICATION, horizon_bars, horizon_bars * 1440, "supplied", "none", (0.0, 1.0)),
            TargetInfo(CLASS_TARGET, TaskType.MULTICLASS_CLASSIFICATION, horizon_bars, horizon_bars * 1440, "supplied", "none", (-1.0, 0.0, 1.0)),
        ),
        labels=np.stack([values, up, thirds]).astype(np.float32),
        label_end_codes=np.tile(ends.astype(np.int32), (3, 1)),
        bar_values=np.ones((5, times.size), np.float32),
        holdout_start_code=round(n_bars * (1.0 - holdout_fraction)),
        data_hash=f"{seed:016x}",
    )


def symbol_job(
    panel: Panel, symbol: str, target: str, families: tuple[str, ...], route: Route = Route.SYMBOL_SPECIFIC, stage: Stage = Stage.CPU
) -> TrainingJob:
    """A job for one symbol with every feature of the panel."""
    return _job(panel, f"{target}|{symbol}", target, symbol, None, families, route, stage)


def pooled_job(panel: Panel, target: str, families: tuple[str, ...], symbols: tuple[str, ...] | None = None, for_blends: bool = False) -> TrainingJob:
    """A job that pools symbols, by default all of the panel."""
    job = _job(panel, f"{target}|pooled", target, None, symbols or panel.symbols, families, Route.CROSS_SECTIONAL, Stage.CPU)
    job.metadata["needs_cs_ensemble"] = for_blends
    return job


def _job(
    panel: Panel, job_id: str, target: str, symbol: str | None, symbols: tuple[str, ...] | None, families: tuple[str, ...], route: Route, stage: Stage
) -> TrainingJob:
    kind = TrainingType.CROSS_SECTIONAL if symbol is None else TrainingType.SYMBOL_SPECIFIC
    return TrainingJob(job_id, target, symbol, symbols, route, kind, {stage: families}, 2, "all", panel.feature_names, None, "planted")


def _symbol_block(
    generator: np.random.Generator, times: np.ndarray, n_features: int, pooled_weights: np.ndarray, planted: Planted, horizon_bars: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    features = generator.normal(size=(n_features, times.size))
    weights = pooled_weights + generator.normal(size=n_features) * planted.local
    values = weights @ features + generator.normal(size=times.size) * planted.noise
    values[-horizon_bars:] = np.nan
    ends = np.full(times.size, -1)
    ends[:-horizon_bars] = times[horizon_bars:]
    return times, features, values, ends


def plan_of(panel: Panel, *jobs: TrainingJob) -> TrainingPlan:
    """A training plan that holds these jobs and its own true id."""
    metadata = {
        "schema_version": "1",
        "data_hash": panel.data_hash,
        "routing_plan_id": "r",
        "dev_mode": False,
        "total_jobs": len(jobs),
        "run_id": "x",
        "model_families": [],
    }
    summary = {"by_route": {}, "by_type": {}, "by_priority": {}, "total_blocked": 0, "total_without_family": 0}
    plan = TrainingPlan(metadata, jobs, summary)
    return TrainingPlan({**metadata, "plan_id": content_hash(training_plan_document(plan))}, jobs, summary)
