"""What training a job came to: models made or found, families that failed. Plain frozen values that travel between processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training_assets.contracts import Interval, ModelCard


@dataclass(frozen=True)
class TrainedModel:
    """One finished model folder.

    `cached` says that it was there already under the same content key; `fit_details` is what its family tells of the fit.
    """

    family: str
    path: str
    model_id: str
    content_key: str
    oos_metrics: tuple[Interval, ...]
    n_rows: int
    fit_seconds: float
    device: str
    cached: bool
    fit_details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FamilyFailure:
    """One family that gave no model for one job, and why."""

    family: str
    target: str
    symbol: str | None
    error: str


@dataclass(frozen=True)
class JobOutcome:
    """What became of one job at one stage.

    `cached` says that every one of its models was there already; `peak_memory_bytes` is the most that the process which trained it had held by then.
    """

    job_id: str
    models: tuple[TrainedModel, ...]
    failures: tuple[FamilyFailure, ...]
    cached: bool
    seconds: float
    peak_memory_bytes: int = 0


def trained_model(card: ModelCard, path: str, cached: bool) -> TrainedModel:
    """What a card tells of its model."""
    numbers = (card.oos_metrics, card.n_rows, card.fit_seconds, card.device)
    return TrainedModel(card.family, path, card.model_id, card.content_key, *numbers, cached, card.details.get("fit", {}))


def joined_outcomes(first: JobOutcome, second: JobOutcome) -> JobOutcome:
    """Two parts of one job as one outcome, families in the order first, second."""
    models = first.models + second.models
    cached = bool(models) and all(model.cached for model in models)
    peak = max(first.peak_memory_bytes, second.peak_memory_bytes)
    return JobOutcome(first.job_id, models, first.failures + second.failures, cached, first.seconds + second.seconds, peak)
