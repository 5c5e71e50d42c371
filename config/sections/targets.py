"""Which targets are built or taken from the data (`config/targets.yaml`)."""

from pydantic import Field

from config.sections.base import PositiveInt, Section, TaskType


class TargetSpec(Section):
    """One built-in target: a builder, its horizon and its parameters."""

    builder: str = Field(description="Name of an entry of the target registry, for instance `forward_return`.")
    horizon: str = Field(description="How far ahead the label looks: a number with unit, `5b` bars, `60m` minutes or `5d` days.")
    name: str | None = Field(None, description="Name of the target; null makes one from the builder and horizon.")
    params: dict[str, float | int | str | bool] = Field(default_factory=dict, description="Parameters of the builder, for instance `{k: 0.5}` for barriers.")


class SuppliedTarget(Section):
    """What the name of a supplied target column does not say."""

    horizon: str | None = Field(None, description="Horizon with unit, where the column name has none.")
    task_type: TaskType | None = Field(None, description="Task type; null infers it from the values.")


class TargetConfig(Section):
    """Built-in targets, and how supplied ones are recognised."""

    builtin: tuple[TargetSpec, ...] = Field(
        (
            TargetSpec(builder="forward_return", horizon="5d"),
            TargetSpec(builder="forward_direction", horizon="5d"),
            TargetSpec(builder="cross_sectional_percentile", horizon="5d"),
            TargetSpec(builder="forward_realized_volatility", horizon="10d"),
            TargetSpec(builder="volatility_rise", horizon="10d"),
            TargetSpec(builder="triple_barrier", horizon="10d", params={"k": 1.0}),
        ),
        description="Targets built from bars; an empty list builds none.",
    )
    column_patterns: tuple[str, ...] = Field(
        ("^y_", "^fwd_ret_", "^target_"), description="Regular expressions; a numeric column that matches one is a supplied target."
    )
    supplied: dict[str, SuppliedTarget] = Field(default_factory=dict, description="Horizon and task type of supplied targets, by column name.")
    only: tuple[str, ...] | None = Field(None, description="Names of the targets to route; null means all.")
    auto_rank: bool = Field(True, description="Rank targets by skill and keep the best `top_n`; false routes every target.")
    top_n: PositiveInt = Field(10, description="At most this many targets are kept by ranking.")
    cross_sessions: bool = Field(False, description="Let an intraday label reach into the next session; a horizon in days asks for it by itself.")
    max_window_stretch: float = Field(
        3.0, ge=1.0, description="A label whose window spans more than this many times its horizon on the market's calendar (missing bars) is null."
    )
