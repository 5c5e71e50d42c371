"""How time is cut into training, test and holdout (`config/training.yaml`)."""

from typing import Literal

from pydantic import Field

from config.sections.base import Count, PositiveInt, Section


class SplitConfig(Section):
    """Purged, embargoed folds over unique timestamps, and the final holdout."""

    scheme: Literal["walk_forward", "kfold"] = Field(
        "walk_forward", description="`walk_forward` trains on the past only; `kfold` also on what follows the test block, purged and embargoed."
    )
    n_folds: int = Field(5, ge=2, le=50, description="Number of test blocks.")
    min_train_fraction: float = Field(0.3, gt=0.0, lt=1.0, description="Share of the time before the holdout that precedes the first walk-forward test block.")
    purge_bars: Count | None = Field(
        None, description="Bars dropped before each test block, at least every target's horizon; null uses each target's own horizon."
    )
    embargo_bars: Count = Field(5, description="Bars dropped after each test block, on top of label and look-back.")
    holdout_fraction: float = Field(0.15, gt=0.0, lt=0.9, description="Last share of time that nothing before the routing report reads.")
    inner_fraction: float = Field(
        0.2, gt=0.0, lt=0.9, description="Last share of a training window held back, purged, for early stopping and for choosing strengths."
    )
    min_train_rows: PositiveInt = Field(50, description="A fit with fewer rows than this is not attempted.")
