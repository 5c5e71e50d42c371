"""Every planted leak is caught by the detector made for it, with its consequence, and its honest twin is not."""

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from leak_zoo import SECOND, ZOO, Leak
from leaky_worlds import PANEL_NAMES, RETURN_TARGET, SUPPLIED_TARGET, VOLATILITY_TARGET, World, made_up, packaged, real

from config.load import ConfigError
from config.sections.base import LeakageStatus
from config.sections.leakage import AcceptedFinding
from training_assets.leakage.base import Taxonomy
from training_assets.leakage.lock import leakage_lock
from training_assets.leakage.registry import DETECTORS
from training_assets.leakage.status import feature_status, pair_status, quarantined_features, side_statuses, target_status

N_SEEDS = int(os.environ.get("SWITCHYARD_ZOO_SEEDS", "3"))
WORLDS = [(made_up, seed) for seed in range(N_SEEDS)] + [(packaged, seed) for seed in range(max(1, N_SEEDS // 5))]
# A leak a real panel, in turn; all of them on all panels with SWITCHYARD_ZOO_SEEDS=10.
REAL = [real(name) for name in PANEL_NAMES]


def _real_worlds(place: int) -> list[tuple[Callable[[int], World], int]]:
    return [(make, seed) for make in REAL for seed in range(N_SEEDS)] if N_SEEDS >= 10 else [(REAL[place % len(REAL)], 0)]


CASES = [
    pytest.param(leak, make, seed, id=f"{leak.detector}-{leak.name}-{make.__name__}-{seed}".replace(" ", "_"))
    for place, leak in enumerate(ZOO)
    for make, seed in [*WORLDS, *_real_worlds(place)]
    if (leak.on_packaged or make is made_up) and make.__name__ not in leak.not_on
]


@pytest.mark.parametrize(("leak", "make", "seed"), CASES)
def test_planted_leak_is_caught_and_locked_out(leak: Leak, make, seed: int) -> None:
    world = leak.plant(make(seed), seed)
    audit = world.audit((leak.target,))
    hits = audit[(audit["detector"] == leak.detector) & (audit["status"] == "BLOCKED")]
    assert len(hits), audit[["detector", "status", "feature", "symbol", "statistic", "threshold"]].to_string()
    assert (hits["statistic"] >= hits["threshold"]).all()
    assert hits["message"].str.contains(">").all()
    _assert_consequence(leak, world, audit, hits)


def _assert_consequence(leak: Leak, world: World, audit: pd.DataFrame, hits: pd.DataFrame) -> None:
    symbols = world.bars.symbols
    names = world.panel().feature_names
    if leak.subject == SECOND:
        assert symbols[1] in set(hits["symbol"])
        assert side_statuses(audit, leak.target, symbols, ())[1][1] == "BLOCKED"
        assert not leakage_lock(audit, leak.target, [symbols[1]], ()).is_open
    elif leak.subject is None:
        assert target_status(audit, leak.target) is LeakageStatus.BLOCKED
        assert not leakage_lock(audit, leak.target, [symbols[0]], ()).is_open
    else:
        assert leak.subject in set(hits["feature"])
        assert leak.subject in quarantined_features(audit, leak.target)
        assert feature_status(audit, leak.target, leak.subject) is LeakageStatus.BLOCKED
        assert not leakage_lock(audit, leak.target, symbols, names).is_open
        assert np.isfinite(hits[["score_with", "score_without"]].to_numpy()).all()


@pytest.mark.parametrize(("leak", "make", "seed"), [case for case in CASES if case.values[0].twin is not None and case.values[2] < 2])
def test_honest_twin_passes_the_same_detector(leak: Leak, make, seed: int) -> None:
    audit = leak.twin(make(seed), seed).audit((leak.target,))
    rows = audit[audit["detector"] == leak.detector]
    assert len(rows)
    assert set(rows["status"]) == {"SAFE"}, rows[["feature", "symbol", "statistic", "threshold", "message"]].to_string()


@pytest.mark.parametrize(("make", "seed"), WORLDS)
def test_untouched_world_is_safe_for_every_detector(make, seed: int) -> None:
    audit = make(seed).audit()
    assert set(audit["status"]) == {"SAFE"}, audit[audit["status"] != "SAFE"].to_string()
    assert {one.name for one in DETECTORS} - set(audit["detector"]) <= {"feature_look_ahead"}


def test_every_detector_has_a_leak_in_the_zoo() -> None:
    assert {leak.detector for leak in ZOO} == {detector.name for detector in DETECTORS}
    assert len({detector.name for detector in DETECTORS}) == len(DETECTORS)


def test_every_class_of_the_taxonomy_has_a_detector() -> None:
    assert {detector.taxonomy for detector in DETECTORS} == set(Taxonomy)


@pytest.fixture(scope="module")
def leaky() -> tuple[World, pd.DataFrame]:
    world = next(leak for leak in ZOO if leak.name == "the label under a little noise").plant(made_up(0), 0)
    return world, world.audit()


def test_leak_is_quarantined_for_its_own_targets_and_no_other() -> None:
    world = next(leak for leak in ZOO if leak.name == "the label in one symbol only").plant(made_up(0), 0)
    audit = world.audit()
    assert quarantined_features(audit, RETURN_TARGET) == {"leak"}
    assert quarantined_features(audit, SUPPLIED_TARGET) == {"leak"}
    assert quarantined_features(audit, VOLATILITY_TARGET) == frozenset()
    assert leakage_lock(audit, VOLATILITY_TARGET, world.bars.symbols, world.panel().feature_names).is_open


def test_job_that_does_not_use_the_quarantined_feature_trains(leaky) -> None:
    world, audit = leaky
    kept = [name for name in world.panel().feature_names if name != "leak"]
    assert leakage_lock(audit, RETURN_TARGET, world.bars.symbols, kept).is_open
    assert side_statuses(audit, RETURN_TARGET, world.bars.symbols, kept)[0] is LeakageStatus.SAFE
    assert pair_status(audit, RETURN_TARGET, world.bars.symbols[0], kept) is LeakageStatus.SAFE


def test_audit_keeps_the_score_with_the_leak_and_the_score_without(leaky) -> None:
    _, audit = leaky
    row = audit[(audit["target"] == RETURN_TARGET) & (audit["feature"] == "leak")].iloc[0]
    assert row["score_with"] > 0.8
    assert row["score_without"] < 0.4
    clean = made_up(0)
    assert row["score_without"] == pytest.approx(_alone(clean), abs=0.02)


def _alone(world: World) -> float:
    """Score of the clean world's features beside a second, accepted-for-nothing leak."""
    audit = world.with_column("twin_leak", world.column(SUPPLIED_TARGET)).audit((RETURN_TARGET,))
    return float(audit["score_without"].max())


def test_accepted_finding_opens_the_lock_and_says_why(leaky) -> None:
    world, _ = leaky
    names = {"near_copy", "single_feature_skill", "dominance", "bars_ahead", "lead_lag", "later_bars", "stretch_skill"}
    accept = tuple(AcceptedFinding(target="*", feature="leak", detector=name, reason="made of the survey's own forecast") for name in names)
    config = world.config.model_copy(update={"leakage": world.config.leakage.model_copy(update={"accept": accept})})
    audit = World(world.bars, config).audit((RETURN_TARGET,))
    findings = audit[audit["feature"] == "leak"]
    assert len(findings)
    assert findings["accepted"].all()
    assert findings["message"].str.contains("made of the survey's own forecast").all()
    assert quarantined_features(audit, RETURN_TARGET) == frozenset()
    assert leakage_lock(audit, RETURN_TARGET, world.bars.symbols, world.panel().feature_names).is_open


def test_a_star_accepts_no_finding_that_names_a_feature(leaky) -> None:
    world, _ = leaky
    accept = tuple(AcceptedFinding(target="*", feature="*", detector=detector.name, reason="a star is no feature") for detector in DETECTORS)
    config = world.config.model_copy(update={"leakage": world.config.leakage.model_copy(update={"accept": accept})})
    audit = World(world.bars, config).audit((RETURN_TARGET,))
    findings = audit[(audit["feature"] == "leak") & (audit["status"] == "BLOCKED")]
    assert len(findings)
    assert not findings["accepted"].any()
    assert "leak" in quarantined_features(audit, RETURN_TARGET)


@pytest.mark.parametrize(("name", "hint"), [("near_copi", "did you mean 'near_copy'"), ("qqqqqqqq", "use one of feature_look_ahead")])
def test_an_accepted_detector_that_does_not_exist_is_refused_with_the_nearest(name: str, hint: str) -> None:
    world = made_up(0)
    accept = (AcceptedFinding(target="*", feature="*", detector=name, reason="a slip of the pen"),)
    config = world.config.model_copy(update={"leakage": world.config.leakage.model_copy(update={"accept": accept})})
    with pytest.raises(ConfigError, match=rf"leakage\.accept\[0\]\.detector: '{name}'.*{hint}"):
        World(world.bars, config).audit((RETURN_TARGET,))


def test_a_star_accepts_a_finding_without_a_feature() -> None:
    leak = next(leak for leak in ZOO if leak.subject is None and leak.target == RETURN_TARGET)
    world = leak.plant(made_up(0), 0)
    accept = (AcceptedFinding(target="*", feature="*", detector=leak.detector, reason="looked at, is no leak"),)
    config = world.config.model_copy(update={"leakage": world.config.leakage.model_copy(update={"accept": accept})})
    audit = replace(world, config=config).audit((leak.target,))
    findings = audit[(audit["detector"] == leak.detector) & (audit["status"] == "BLOCKED") & audit["feature"].isna()]
    assert len(findings)
    assert findings["accepted"].all()


def test_target_that_nobody_audited_is_locked(leaky) -> None:
    world, _ = leaky
    audit = world.audit((VOLATILITY_TARGET,))
    verdict = leakage_lock(audit, RETURN_TARGET, world.bars.symbols, ())
    assert not verdict.is_open
    assert "no audit of target" in verdict.reasons[0]
    assert target_status(audit, RETURN_TARGET) is LeakageStatus.UNKNOWN
    assert leakage_lock(audit, RETURN_TARGET, world.bars.symbols, (), allow_unknown=True).is_open


def test_target_with_too_few_labels_is_unknown_and_names_the_detectors_that_could_not_run() -> None:
    world = made_up(0)
    label = np.where(np.arange(world.bars.n_rows) < 20, world.column(SUPPLIED_TARGET), np.nan)
    audit = world.with_column(SUPPLIED_TARGET, label).audit((SUPPLIED_TARGET,))
    unknown = audit[audit["status"] == "UNKNOWN"]
    assert "near_copy" in set(unknown["detector"])
    assert unknown["message"].str.contains("could not run").all()
    assert target_status(audit, SUPPLIED_TARGET) is LeakageStatus.UNKNOWN
