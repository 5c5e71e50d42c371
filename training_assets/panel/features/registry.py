"""The registry of built-in features.

A new feature is a formula and one entry in the file of its theme; a new theme is one file and one line here. Whatever stands here is
held to the truncation test and to its stated look-back by the tests.
"""

from training_assets.panel.features.base import Feature
from training_assets.panel.features.calendar import CALENDAR
from training_assets.panel.features.cross_section import CROSS_SECTION
from training_assets.panel.features.momentum import MOMENTUM
from training_assets.panel.features.oscillators import OSCILLATORS
from training_assets.panel.features.trend import TREND
from training_assets.panel.features.volatility import VOLATILITY
from training_assets.panel.features.volume import VOLUME

FEATURES: tuple[Feature, ...] = (*MOMENTUM, *TREND, *OSCILLATORS, *VOLATILITY, *VOLUME, *CALENDAR, *CROSS_SECTION)
