"""What the training plan gives jobs beyond their features: only to families that read it, and only what the audit allows."""

import json
from dataclasses import replace

import jsonschema
import pandas as pd

from routing_assets.decisions.plan_documents import json_text, lay_out
from routing_assets.plans.plan_inputs import STATE_FEATURE_NAMES, state_feature_sets
from routing_assets.plans.training_plan import make_training_plan, training_plan_document
from tests.candidate_rows import candidates, local, pooled
from tests.panels import make_panel
from tests.plan_samples import CONFIG, FAMILIES, TRAINING, family, plan_of, schema
from training_assets.contracts import RELATED_TARGETS, STATE_FEATURES, Stage, TrainingJob, TrainingPlan
from training_assets.leakage.status import AUDIT_COLUMNS
from training_assets.plan_reader import slice_version

TASKS = (replace(family("Tasks", Stage.GPU), takes_auxiliary=True), replace(family("Regimes"), reads_state=True))
WITH_READERS = TRAINING.model_copy(update={"families": (*TRAINING.families, "Tasks", "Regimes")})


def plan(features: tuple[str, ...] = ("f1", "f2"), state: tuple[str, ...] = ("volatility_21",), config=WITH_READERS, horizons=(60, 120, 50)) -> TrainingPlan:
    rows = []
    for target, minutes in zip(("one", "far", "near"), horizons, strict=True):
        rows += [pooled(target=target, horizon_minutes=minutes), local("BOTH", target=target, horizon_minutes=minutes)]
    table = candidates(*rows)
    routed = plan_of(table, CONFIG)
    return make_training_plan(routed, table, dict.fromkeys(table.targets, features), (*FAMILIES, *TASKS), config, dict.fromkeys(table.targets, state))


def job_of(made: TrainingPlan, target: str, symbol: str | None = None) -> TrainingJob:
    (found,) = [job for job in made.jobs if (job.target, job.symbol) == (target, symbol)]
    return found


def test_related_targets_are_the_other_targets_of_the_plan_with_the_nearest_horizon_first() -> None:
    made = plan()
    assert job_of(made, "one").related_targets == ("near", "far")
    assert job_of(made, "far").related_targets == ("one", "near")
    assert job_of(made, "one", "BOTH").related_targets == ("near", "far")


def test_a_plan_with_further_inputs_validates_against_its_schema() -> None:
    jsonschema.validate(json.loads(json_text(lay_out(training_plan_document(plan()), {}))), schema("master_training_plan"))


def test_a_job_without_a_family_that_reads_further_inputs_has_none_in_its_metadata() -> None:
    for job in plan(config=TRAINING).jobs:
        assert not {RELATED_TARGETS, STATE_FEATURES} & set(job.metadata)


def test_state_features_are_given_only_where_the_jobs_own_tell_nothing_of_the_market() -> None:
    assert {job.state_features for job in plan().jobs} == {("volatility_21",)}
    assert {job.state_features for job in plan(features=("f1", "log_return_5")).jobs} == {()}
    assert {job.state_features for job in plan(state=()).jobs} == {()}


def test_further_inputs_change_the_version_of_a_slice_and_words_about_the_route_do_not() -> None:
    job = job_of(plan(), "one")
    version = slice_version(job, "data")
    assert slice_version(replace(job, metadata={**job.metadata, RELATED_TARGETS: ["near"]}), "data") != version
    assert slice_version(replace(job, metadata={**job.metadata, STATE_FEATURES: []}), "data") != version
    assert slice_version(replace(job, metadata={**job.metadata, "cs_state": "other words"}), "data") == version


def test_state_features_are_the_panels_standard_ones_less_what_the_audit_blocks() -> None:
    panel = make_panel(1, 50, n_features=5)
    names = (*STATE_FEATURE_NAMES[:2], "f0", "f1", STATE_FEATURE_NAMES[2])
    panel = replace(panel, feature_infos=tuple(replace(info, name=name) for info, name in zip(panel.feature_infos, names, strict=True)))
    blocked = dict.fromkeys(AUDIT_COLUMNS) | {"target": "one", "detector": "any", "feature": STATE_FEATURE_NAMES[0], "status": "BLOCKED", "accepted": False}
    audit = pd.DataFrame([blocked])
    assert state_feature_sets(panel, audit, ("one", "two")) == {"one": STATE_FEATURE_NAMES[1:3], "two": STATE_FEATURE_NAMES[:3]}


def test_a_panel_without_the_standard_state_features_offers_what_looks_like_them() -> None:
    panel = make_panel(1, 50, n_features=4)
    names = ("my_ret_5", "alpha", "sector_rank", "hv_std")
    panel = replace(panel, feature_infos=tuple(replace(info, name=name) for info, name in zip(panel.feature_infos, names, strict=True)))
    assert state_feature_sets(panel, pd.DataFrame(columns=list(AUDIT_COLUMNS)), ("one",)) == {"one": ("my_ret_5", "hv_std")}
