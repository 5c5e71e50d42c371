"""What training a job came to: models made or found, families that failed. Plain frozen values that travel between processes."""

from dataclasses import dataclass

from training_assets.contracts import Interval, ModelCard


@dataclass(frozen=True)
class TrainedModel:
    """One finished model folder. `cached` says that it was there already under the same content key."""

    family: str
    path: str
    model_id: str
    content_key: str
    oos_metrics: tuple[Interval, ...]
    n_rows: int
    fit_seconds: float
    device: str
    cached: bool


@dataclass(frozen=True)
class FamilyFailure:
    """One family that gave no model for one job, and why."""

    family: str
    target: str
    symbol: str | None
    error: str


@dataclass(frozen=True)
class JobOutcome:
    """What became of one job at one stage. `cached` says that every one of its models was there already."""

    job_id: str
    models: tuple[TrainedModel, ...]
    failures: tuple[FamilyFailure, ...]
    cached: bool
    seconds: float


def trained_model(card: ModelCard, path: str, cached: bool) -> TrainedModel:
    """What a card tells of its model."""
    return TrainedModel(card.family, path, card.model_id, card.content_key, card.oos_metrics, card.n_rows, card.fit_seconds, card.device, cached)


def joined_outcomes(first: JobOutcome, second: JobOutcome) -> JobOutcome:
    """Two parts of one job as one outcome, families in the order first, second."""
    models = first.models + second.models
    cached = bool(models) and all(model.cached for model in models)
    return JobOutcome(first.job_id, models, first.failures + second.failures, cached, first.seconds + second.seconds)
