"""Which features are built or taken from the data (`config/features.yaml`)."""

from pydantic import Field

from config.sections.base import PositiveInt, Section


class FeatureConfig(Section):
    """Built-in features, and what is taken of supplied ones."""

    builtin: bool = Field(True, description="Build the registry's features from the bars.")
    include: tuple[str, ...] | None = Field(None, description="Names of built-in features to build; null means all.")
    exclude: tuple[str, ...] = Field((), description="Names of features, built or supplied, to leave out.")
    auto_select: bool = Field(True, description="Select features for each target by consensus; false uses every allowed feature.")
    top_m: PositiveInt = Field(100, description="At most this many features are selected for a target, and given to its models.")
    n_canaries: PositiveInt = Field(
        60,
        description="Random columns, as persistent as the features, that a feature must beat before it is selected; fewer than about 30 make the bound unsteady.",
    )
    max_lookback_bars: PositiveInt = Field(252, description="Built-in features that look further back than this many bars are left out.")
    supplied_lookback_bars: PositiveInt = Field(20, description="Look-back assumed for supplied features, whose builder is not known, in bars.")
