"""What a job of the training plan gives some of its families beyond its features: related targets, and features that tell the market's state.

Belongs here: choosing them, so that the plan says all that is trained on. Does not: what a family makes of them (`training_assets.families`), or
the rows (`training_assets.related_labels`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from routing_assets.contracts import Candidates
from training_assets.contracts import RELATED_TARGETS, STATE_FEATURES, TrainingJob
from training_assets.families.base import Family
from training_assets.families.market_features import tells_state
from training_assets.leakage.status import allowed_features
from training_assets.panel.panel import Panel

MAX_RELATED_TARGETS = 8
STATE_FEATURE_NAMES = ("volatility_21", "volatility_63", "log_return_21", "log_return_5")
"""The built-in features that stand for the state of the market where a target's own selection tells nothing of it."""


def state_feature_sets(panel: Panel, audit: pd.DataFrame, targets: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By target, the state features that the panel has and the audit allows: the standard ones, else whatever names a past return or volatility."""
    standard = tuple(name for name in STATE_FEATURE_NAMES if name in panel.feature_names)
    offered = standard or tuple(name for name in panel.feature_names if tells_state((name,)))[: len(STATE_FEATURE_NAMES)]
    return {target: allowed_features(audit, target, offered) for target in targets}


def horizons_by_target(candidates: Candidates) -> dict[str, float]:
    """Horizon in minutes of each target that states one."""
    horizons = candidates.table.column("horizon_minutes").to_pylist() if "horizon_minutes" in candidates.table.column_names else []
    return {candidates.targets[code]: float(value) for code, value in zip(candidates.target_codes.tolist(), horizons, strict=False) if value is not None}


def with_further_inputs(
    jobs: Sequence[TrainingJob], families: Iterable[Family], horizons: Mapping[str, float], state_features: Mapping[str, tuple[str, ...]]
) -> list[TrainingJob]:
    """The jobs, with their further inputs in the metadata of those that have a family which reads them.

    Parameters
    ----------
    jobs : of a whole plan; the targets of the others are what a job's may be related to.
    horizons : in minutes, by target; unknown ones count as farthest.
    state_features : by target; taken only where a job's own features tell nothing of the market's state.
    """
    known = {family.name: family for family in families}
    targets = sorted({job.target for job in jobs})
    related = {target: _related(target, targets, horizons) for target in targets}
    complete = []
    for job in jobs:
        chosen = [known[name] for name in job.model_families]
        further: dict[str, list[str]] = {}
        if related[job.target] and any(family.takes_auxiliary for family in chosen):
            further[RELATED_TARGETS] = related[job.target]
        state = state_features.get(job.target, ())
        if state and any(family.reads_state for family in chosen) and not tells_state(job.features):
            further[STATE_FEATURES] = list(state)
        complete.append(replace(job, metadata={**job.metadata, **further}) if further else job)
    return complete


def _related(target: str, targets: Sequence[str], horizons: Mapping[str, float]) -> list[str]:
    """Other targets, those with the nearest horizons, at most `MAX_RELATED_TARGETS`."""

    def distance(other: str) -> float:
        both = target in horizons and other in horizons and min(horizons[target], horizons[other]) > 0
        return abs(math.log(horizons[other] / horizons[target])) if both else math.inf

    return sorted((other for other in targets if other != target), key=lambda other: (distance(other), other))[:MAX_RELATED_TARGETS]
