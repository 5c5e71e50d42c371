"""Which families are trained and with what hyperparameters (`config/training.yaml`)."""

from typing import Literal

from pydantic import Field, JsonValue

from config.sections.base import Fraction, PositiveInt, Section


class TrainingConfig(Section):
    """Families, their hyperparameters and what a failed fit means."""

    families: tuple[str, ...] = Field(
        ("LightGBM", "XGBoost", "Ridge", "LSTM"), min_length=1, description="Families to train where a job can take them, named as in the registry."
    )
    model_types: Literal["cross-sectional", "sequential", "both"] = Field(
        "both", description="`cross-sectional` trains pooled jobs only; `sequential` and `both` train every job, CPU stage first, GPU stage after."
    )
    hyperparameters: dict[str, dict[str, JsonValue]] = Field(default_factory=dict, description="Hyperparameters by family, over the family's own defaults.")
    oos_fraction: Fraction = Field(
        0.25, gt=0.0, lt=0.9, description="Last share of the time before the holdout that a job's models are scored on, out of sample, before the final fit."
    )
    blend_families: tuple[str, ...] = Field(
        ("LightGBM", "Ridge"),
        description="Families that blends (ROUTE_BOTH) are made of, among those of a job; its first family that fits where it has none of these. "
        "On a pooled net the local part is a ridge.",
    )
    blend_folds: int = Field(
        3, ge=1, le=20, description="Blocks before the out-of-sample part that pooled models are cross-fitted on for blends, each one more pooled fit."
    )
    fit_timeout_seconds: PositiveInt = Field(
        900,
        description="A fit that takes longer is stopped and recorded as failed; one in a library that has not come back after three times as long ends its process.",
    )
    require_device: Literal["auto", "required", "off"] = Field(
        "auto", description="GPU for the GPU stage: `auto` uses one if there is one, `required` refuses without, `off` never looks."
    )
    device_memory_fraction: Fraction = Field(
        0.9, gt=0.0, description="Most of a GPU's memory that the GPU stage takes. Nets that need more train in smaller stacks, and then in smaller batches."
    )
