"""The parts of the house that an audit puts to the test beside the data.

Belongs here: naming them, so that a test of the audit can hand in a faulty one. Does not: any of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from config.sections.splits import SplitConfig
from training_assets.families.base import Sample
from training_assets.families.preprocessing import Standardiser
from training_assets.panel.features.base import Feature
from training_assets.panel.features.registry import FEATURES
from training_assets.panel.targets.base import Target
from training_assets.panel.targets.registry import TARGETS
from training_assets.splits import Fold, make_folds

FoldMaker = Callable[[int, int, int, SplitConfig], tuple[Fold, ...]]
WindowOfFit = Callable[[Sample], tuple[int, int]]


def standardiser_window(sample: Sample) -> tuple[int, int]:
    """First and last time code that the house's preprocessing says it was fitted on, given a training sample."""
    return Standardiser.fit(sample).fit_window


@dataclass(frozen=True)
class Machinery:
    """Builders by name, the splitter, and the fit windows that preprocessing reports."""

    features: Sequence[Feature] = FEATURES
    targets: Mapping[str, Target] = field(default_factory=lambda: TARGETS)
    folds: FoldMaker = make_folds
    preprocessing_windows: tuple[WindowOfFit, ...] = (standardiser_window,)
