"""What training and routing meet by: jobs, plans, cards. Plain frozen values, no behaviour beyond their own form."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from config.sections.base import TaskType

NEEDS_CROSS_FIT = "needs_cs_ensemble"
RELATED_TARGETS = "related_targets"
STATE_FEATURES = "state_features"
TRAINED_METADATA = (NEEDS_CROSS_FIT, RELATED_TARGETS, STATE_FEATURES)
"""What of a job's metadata changes its models; the rest says why it was routed."""


class Route(StrEnum):
    """The five outcomes for a (target, symbol) pair."""

    CROSS_SECTIONAL = "ROUTE_CROSS_SECTIONAL"
    SYMBOL_SPECIFIC = "ROUTE_SYMBOL_SPECIFIC"
    BOTH = "ROUTE_BOTH"
    EXPERIMENTAL_ONLY = "ROUTE_EXPERIMENTAL_ONLY"
    BLOCKED = "ROUTE_BLOCKED"


def route_name(name: str) -> str:
    """A route as it is spelled in plans, from `ROUTE_BOTH`, `both` or `BOTH`. Raises ValueError that lists the routes for another name."""
    full = f"ROUTE_{name.upper().removeprefix('ROUTE_')}"
    if full not in set(Route):
        raise ValueError(f"'{name}' is no route; use some of {', '.join(route.removeprefix('ROUTE_') for route in Route)}")
    return full


class TrainingType(StrEnum):
    """Whether a job pools symbols or fits one."""

    CROSS_SECTIONAL = "cross_sectional"
    SYMBOL_SPECIFIC = "symbol_specific"


class Stage(StrEnum):
    """The two stages of training; every CPU family of a run is fitted before any GPU family."""

    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True)
class TrainingJob:
    """One unit of training: a target, its symbol or pooled symbols, and the families to fit."""

    job_id: str
    target: str
    symbol: str | None
    symbols: tuple[str, ...] | None
    route: Route
    training_type: TrainingType
    stage_families: dict[str, tuple[str, ...]]
    priority: int
    feature_set_id: str
    features: tuple[str, ...]
    estimated_samples: int | None
    reason: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def model_families(self) -> tuple[str, ...]:
        return self.stage_families.get(Stage.CPU, ()) + self.stage_families.get(Stage.GPU, ())

    @property
    def experimental(self) -> bool:
        return self.route is Route.EXPERIMENTAL_ONLY

    @property
    def related_targets(self) -> tuple[str, ...]:
        """Other targets of the plan, whose labels some families learn from beside the job's own."""
        return tuple(self.metadata.get(RELATED_TARGETS, ()))

    @property
    def state_features(self) -> tuple[str, ...]:
        """Features beyond the job's own, for families that need one which tells the state of the market."""
        return tuple(self.metadata.get(STATE_FEATURES, ()))


@dataclass(frozen=True)
class TrainingPlan:
    """The jobs of a run and where they come from; `metadata` and `summary` as in the written document."""

    metadata: dict[str, Any]
    jobs: tuple[TrainingJob, ...]
    summary: dict[str, Any]


@dataclass(frozen=True)
class Interval:
    """A score out of sample with its confidence interval; null where it was not computed."""

    metric: str
    score: float | None
    ci_low: float | None
    ci_high: float | None
    n_rows: int
    n_effective: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class ModelCard:
    """What a trained model is, what it was fitted on and how it scored; written as `model_card.json`."""

    model_id: str
    job_id: str
    plan_id: str | None
    target: str
    symbol: str | None
    symbols: tuple[str, ...] | None
    route: Route
    family: str
    features: tuple[str, ...]
    feature_set_id: str
    hyperparameters: dict[str, Any]
    seed: int
    task_type: TaskType
    classes: tuple[float, ...]
    horizon_bars: int
    n_rows: int
    train_start: str
    train_end: str
    purge_bars: int
    data_hash: str
    oos_metrics: tuple[Interval, ...]
    library_versions: dict[str, str]
    device: str
    fit_seconds: float
    experimental: bool = False
    content_key: str = ""
    details: dict[str, Any] = field(default_factory=dict)
