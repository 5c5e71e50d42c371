"""How pairs are screened and scored out of sample, and targets ranked (`config/routing.yaml`)."""

from pydantic import Field

from config.sections.base import Fraction, PositiveInt, Section


class ScoringConfig(Section):
    """The screening cascade and its uncertainty."""

    families: tuple[str, ...] = Field(
        ("Ridge", "LightGBM"), description="Families tried by the screen: `Ridge` in closed form for all, `LightGBM` for what survives or is audited."
    )
    shrinkage_grid: tuple[float, ...] = Field(
        (0.0, 0.1, 0.25, 0.5, 1.0), description="Strengths tried for the local residual on top of the pooled prediction; 0 is pooled."
    )
    screen_max_p: Fraction = Field(0.5, description="A side whose closed-form score has a p-value above this is not scored by the GBM screen.")
    audit_fraction: Fraction = Field(
        0.05, description="Random share of what the screen refused that is scored by the GBM screen all the same, to report the screen's recall."
    )
    gbm_features: PositiveInt = Field(30, description="Features of a GBM screen fit, the strongest in its own training window.")
    gbm_rounds: PositiveInt = Field(40, description="Boosting rounds of the GBM screen.")
    gbm_leaves: PositiveInt = Field(8, description="Leaves a tree of the GBM screen.")
    gbm_max_bins: PositiveInt = Field(63, description="Histogram bins a feature in the GBM screen.")
    gbm_learning_rate: float = Field(0.08, gt=0.0, le=1.0, description="Learning rate of the GBM screen.")
    gbm_max_rows: PositiveInt = Field(200_000, description="The pooled GBM screen is fitted on at most this many rows, every k-th timestamp kept.")
    hac_horizons: float = Field(3.0, gt=0.0, description="Bartlett lag of the score variance, in label horizons.")
    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="Level of every reported interval.")
    min_symbols_per_timestamp: PositiveInt = Field(3, description="Fewest symbols that make a timestamp's cross-sectional rank correlation.")
