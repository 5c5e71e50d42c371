"""Clean panels block nothing and make hardly anything suspect: strong, weak and no signal, persistent, calendar and heavy-tailed columns, real bars."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from leaky_worlds import PANEL_NAMES, World, forward_return, made_up, packaged, real

from config.sections.data import DataConfig
from config.sections.features import FeatureConfig
from config.sections.targets import TargetConfig, TargetSpec
from resources.market_data.sample import load_sample
from training_assets.leakage.machinery import Machinery
from training_assets.panel.alignment import align_bars
from training_assets.panel.targets.registry import TARGETS

# Signal of a supplied feature, as the share of its label's deviation in its own: rank correlations of about 0, .05, .1 and .3.
SIGNALS = {"none": 0.0, "weak": 0.05, "honest": 0.1, "strong": 0.35}


def _column(kind: str, world: World, rng: np.random.Generator) -> np.ndarray:
    bars = world.bars
    if kind in SIGNALS:
        label = np.nan_to_num(forward_return(bars))
        return SIGNALS[kind] * label / label.std() + rng.normal(size=label.size)
    if kind == "persistent":
        return np.cumsum(rng.normal(size=bars.n_rows))
    if kind == "calendar":
        return np.sin(2 * np.pi * (bars.time_codes % 252) / 252)
    if kind == "heavy_tails":
        return rng.standard_cauchy(bars.n_rows)
    if kind == "price_level":
        return bars.values[3]
    if kind == "few_values":
        return rng.integers(0, 3, bars.n_rows).astype(float)
    return np.where(rng.random(bars.n_rows) < 0.7, np.nan, rng.normal(size=bars.n_rows))


KINDS = (*SIGNALS, "persistent", "calendar", "heavy_tails", "price_level", "few_values", "mostly_missing")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_clean_columns_are_safe(kind: str, seed: int) -> None:
    world = packaged(seed) if seed % 3 == 2 else made_up(100 + seed, n_symbols=1 + 2 * (seed % 3))
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    for place in range(4):
        world = world.with_column(f"{kind}_{place}", _column(kind, world, rng))
    audit = world.audit()
    assert set(audit["status"]) == {"SAFE"}, audit[audit["status"] != "SAFE"].to_string()


def _sample(**changes: object) -> World:
    bars = align_bars(load_sample(DataConfig()).frames, DataConfig(), TargetConfig()).bars
    world = World(bars)
    return replace(world, config=world.config.model_copy(update=changes))


@pytest.fixture(scope="module")
def everything() -> pd.DataFrame:
    """The packaged sample with all built-in features and all built-in targets."""
    specs = tuple(TargetSpec(builder=name, horizon="5d") for name in TARGETS)
    return _sample(features=FeatureConfig(), targets=TargetConfig(builtin=specs)).audit()


def test_real_bars_with_all_built_in_features_and_targets_block_nothing(everything: pd.DataFrame) -> None:
    assert not (everything["status"] == "BLOCKED").any(), everything[everything["status"] == "BLOCKED"].to_string()
    assert not (everything["status"] == "UNKNOWN").any()
    assert everything["target"].nunique() == len(TARGETS)


def test_at_most_one_built_in_feature_in_two_hundred_is_suspect_on_real_bars(everything: pd.DataFrame) -> None:
    n_judged = everything["target"].nunique() * 190
    assert (everything["status"] == "SUSPECT").sum() <= n_judged / 200


def test_symbol_that_starts_late_or_has_gaps_is_safe() -> None:
    world = made_up(7, n_symbols=4)
    keep = np.random.default_rng(7).random(world.bars.n_rows) > 0.1
    keep &= (world.bars.symbol_codes != 2) | (world.bars.time_codes > 400)
    bars = world.bars
    counts = np.bincount(bars.symbol_codes[keep], minlength=4)
    thinned = replace(
        bars,
        symbol_offsets=np.r_[0, np.cumsum(counts)],
        time_codes=bars.time_codes[keep],
        values=bars.values[:, keep],
        supplied=bars.supplied[:, keep],
    )
    world = World(thinned)
    label = forward_return(thinned)
    audit = world.with_column("y_5b", label).with_column("y_up_5b", np.where(np.isfinite(label), label >= 0, np.nan)).audit()
    assert set(audit["status"]) == {"SAFE"}, audit[audit["status"] != "SAFE"].to_string()


@pytest.mark.parametrize("name", PANEL_NAMES)
def test_built_in_features_taken_for_supplied_ones_are_safe_on_real_panels_with_all_targets(name: str) -> None:
    """Statistics alone have to let honest features of real bars pass: nothing blocked, and at most one in two hundred suspect."""
    world = real(name)(3)
    specs = tuple(TargetSpec(builder=builder, horizon="5b") for builder in TARGETS)
    leakage = world.config.leakage.model_copy(update={"max_rows": 4_000})
    config = world.config.model_copy(update={"features": FeatureConfig(), "targets": TargetConfig(builtin=specs), "leakage": leakage})
    bars = replace(world.bars, supplied_names=(), supplied=world.bars.supplied[:0])
    audit = World(bars, config, Machinery(features=())).audit()
    blocked = audit[audit["status"] == "BLOCKED"]
    assert blocked.empty, blocked.to_string()
    assert audit["target"].nunique() == len(TARGETS)
    assert (audit["status"] == "SUSPECT").sum() <= 190 * len(TARGETS) / 200
