"""The plan is read closed, cut into slices with versions of their own, and sorted into what trains."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pandas as pd
import pytest

from config.schema import Config
from routing_assets.plans.training_plan import training_plan_document
from routing_assets.plans.training_plan_files import write_training_plan
from tests import panels
from tests.panels import BINARY_TARGET, REGRESSION_TARGET, make_panel, symbol_job
from training_assets.blend_bases import blend_bases, blend_stage
from training_assets.content_key import training_settings
from training_assets.contracts import Route, Stage, TrainingJob, TrainingPlan, TrainingType
from training_assets.families.registry import FAMILIES
from training_assets.outcomes import FamilyFailure
from training_assets.plan_changes import blend_requests, changed_keys, parse_cursor, slice_versions, training_requests
from training_assets.plan_reader import MASTER_PLAN_FILE, TrainingPlanError, plan_slices, read_master_plan, with_families
from training_assets.stage_work import failure_line, stage_work

READ_COLUMNS = ("target", "symbol", "feature", "detector", "statistic", "threshold", "status", "accepted", "message")  # what the lock reads of an audit
PANEL = make_panel(n_symbols=3, n_bars=60)


def plan_of(*jobs: TrainingJob) -> TrainingPlan:
    return panels.plan_of(PANEL, *jobs)


def pair(symbol: str = "S000", target: str = REGRESSION_TARGET, families: tuple[str, ...] = ("Ridge",), route: Route = Route.SYMBOL_SPECIFIC) -> TrainingJob:
    return symbol_job(PANEL, symbol, target, families, route)


def audit(*rows: tuple[object, ...]) -> pd.DataFrame:
    safe = [(target, None, None, "d", None, None, "SAFE", False, "") for target in (REGRESSION_TARGET, BINARY_TARGET)]
    return pd.DataFrame([*safe, *rows], columns=list(READ_COLUMNS))


def test_a_plan_that_routing_wrote_is_read_by_training(tmp_path: Path) -> None:
    plan = plan_of(pair(), pair("S001", BINARY_TARGET))
    write_training_plan(plan, tmp_path / "plan", ("json",))
    assert training_plan_document(read_master_plan(tmp_path / "plan", PANEL.data_hash)) == training_plan_document(plan)


def test_a_plan_for_other_data_is_refused(tmp_path: Path) -> None:
    write_training_plan(plan_of(pair()), tmp_path / "plan", ())
    with pytest.raises(TrainingPlanError, match="made from data"):
        read_master_plan(tmp_path / "plan", "other")


def test_a_plan_that_was_changed_is_refused(tmp_path: Path) -> None:
    write_training_plan(plan_of(pair()), tmp_path / "plan", ())
    path = tmp_path / "plan" / MASTER_PLAN_FILE
    document = orjson.loads(path.read_bytes())
    document["jobs"][0]["features"].append("leak")
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(TrainingPlanError, match="does not match its content"):
        read_master_plan(tmp_path / "plan")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"metadata": {}}', b'{"metadata": {}, "jobs": [{}]}'])
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MASTER_PLAN_FILE).write_bytes(content)
    with pytest.raises(TrainingPlanError, match="not a training plan"):
        read_master_plan(tmp_path)


def test_a_missing_plan_is_no_licence_to_train(tmp_path: Path) -> None:
    with pytest.raises(TrainingPlanError, match="no training plan at"):
        read_master_plan(tmp_path)


def test_only_what_changes_a_model_changes_a_slice() -> None:
    job = pair()
    before = slice_versions(plan_of(job, pair("S001")))
    reworded = slice_versions(plan_of(replace(job, reason="other words", priority=1), pair("S001")))
    other = slice_versions(plan_of(replace(job, features=job.features[:-1]), pair("S001")))
    assert changed_keys(before, reworded) == ()
    assert changed_keys(before, other) == (f"{REGRESSION_TARGET}|S000",)
    assert changed_keys(parse_cursor("no json").jobs, before) == tuple(before)


def test_requests_are_batches_of_jobs_that_have_a_family_at_the_stage() -> None:
    jobs = [pair(f"S00{number}") for number in range(3)]
    plan = plan_of(*jobs)
    requests = training_requests(plan, list(slice_versions(plan)), Stage.CPU, per_run=2)
    assert [(request.job_name, len(request.keys)) for request in requests] == [("train_pairs_cpu", 2), ("train_pairs_cpu", 1)]
    assert training_requests(plan, list(slice_versions(plan)), Stage.GPU, per_run=2) == ()


def test_a_blend_is_asked_for_once_its_pooled_model_is_there_and_not_twice() -> None:
    both = pair("S000", route=Route.BOTH)
    pooled = replace(both, job_id="pooled", symbol=None, symbols=("S000",), training_type=TrainingType.CROSS_SECTIONAL)
    plan = plan_of(pooled, both)
    version = slice_versions(plan)[REGRESSION_TARGET]
    stage_of = partial(blend_stage, FAMILIES, ())
    waiting, asked = blend_requests(plan, {}, pooled_versions("an older one"), stage_of, per_run=5)
    assert waiting == ()
    ready, asked = blend_requests(plan, asked, pooled_versions(version), stage_of, per_run=5)
    assert [request.keys for request in ready] == [(f"{REGRESSION_TARGET}|S000",)]
    assert blend_requests(plan, asked, pooled_versions(version), stage_of, per_run=5)[0] == ()


def test_a_blend_of_a_net_waits_for_the_net_and_not_for_the_trees() -> None:
    both = replace(pair("S000", route=Route.BOTH), stage_families={Stage.CPU: (), Stage.GPU: ("MLP",)})
    pooled = replace(both, job_id="pooled", symbol=None, symbols=("S000",), training_type=TrainingType.CROSS_SECTIONAL)
    plan = plan_of(pooled, both)
    version, stage_of = slice_versions(plan)[REGRESSION_TARGET], partial(blend_stage, FAMILIES, ("LightGBM",))
    waiting, _ = blend_requests(plan, {}, pooled_versions(version), stage_of, per_run=5)
    ready, _ = blend_requests(plan, {}, pooled_versions("an older one", version), stage_of, per_run=5)
    assert (waiting, len(ready)) == ((), 1)


def test_a_pooled_job_and_its_pairs_agree_on_what_their_blends_are_made_of() -> None:
    assert blend_bases(FAMILIES, ("ridge", "LSTM"), ("LSTM", "Ridge", "MLP")) == ("LSTM", "Ridge")
    assert blend_bases(FAMILIES, ("Ridge",), ("QuantileLightGBM", "XGBoost", "MLP")) == ("XGBoost",)
    assert blend_bases(FAMILIES, ("Ridge",), ("QuantileLightGBM", "NGBoost")) == ("QuantileLightGBM",)
    # MetaLearning takes pooled jobs only, so no pair has it.
    assert blend_bases(FAMILIES, ("Ridge",), ("MetaLearning", "MLP")) == blend_bases(FAMILIES, ("Ridge",), ("MLP",)) == ("MLP",)
    assert blend_bases(FAMILIES, ("Ridge",), ()) == ()


def pooled_versions(of_cpu: str, of_gpu: str = "") -> dict[Stage, dict[str, str]]:
    return {Stage.CPU: {REGRESSION_TARGET: of_cpu}, Stage.GPU: {REGRESSION_TARGET: of_gpu}}


def test_partitions_are_sorted_into_training_idle_and_refused() -> None:
    plan = plan_of(pair("S000"), pair("S001"), pair("S002", families=()))
    slices = plan_slices(plan, TrainingType.SYMBOL_SPECIFIC)
    leak = (REGRESSION_TARGET, "S001", None, "copied_rows", 1.0, 0.0, "BLOCKED", False, "rows of another symbol")
    work = stage_work(slices, [*slices, "unplanned|X"], audit(leak), Config(), Stage.CPU)
    assert list(work.slices) == [f"{REGRESSION_TARGET}|S000"]
    assert work.idle == (f"{REGRESSION_TARGET}|S002",)
    assert work.refused[f"{REGRESSION_TARGET}|S001"] == ("LEAKAGE: copied_rows: rows of another symbol",)
    assert work.refused["unplanned|X"][0].startswith("NOT_PLANNED")


def test_blends_are_made_of_pairs_routed_both_only() -> None:
    slices = plan_slices(plan_of(pair("S000"), pair("S001", route=Route.BOTH)), TrainingType.SYMBOL_SPECIFIC)
    work = stage_work(slices, list(slices), audit(), Config(), Stage.CPU, blends=True)
    assert [job.symbol for job in work.jobs] == ["S001"]


def test_a_job_keeps_the_families_that_are_asked_for_whatever_their_case() -> None:
    job = pair(families=("Ridge", "LightGBM"))
    assert with_families(job, ("lightgbm",)).model_families == ("LightGBM",)
    assert with_families(job, ()) == job


def test_a_failure_names_its_place_once() -> None:
    said = FamilyFailure("Ridge", "t", "S", "t/S Ridge: too few rows")
    assert failure_line(said) == "t/S Ridge not trained: too few rows"
    assert failure_line(replace(said, symbol=None, error="boom")) == "t Ridge not trained: boom"


def test_a_changed_setting_changes_the_slices_whose_models_it_changes_and_no_other() -> None:
    plan = plan_of(pair("S000"), pair("S001", families=("LightGBM",)))

    def versions(**changed: object) -> dict[str, str]:
        settings = training_settings(Config(training={"families": ["Ridge", "LightGBM"], **changed}), FAMILIES.values())
        return slice_versions(replace(plan, metadata={**plan.metadata, "training_settings": settings}))

    before = versions()
    assert versions() == before
    assert changed_keys(before, versions(hyperparameters={"lightgbm": {"num_leaves": 7}})) == (f"{REGRESSION_TARGET}|S001",)
    assert changed_keys(before, versions(oos_fraction=0.11)) == tuple(before)
    assert changed_keys(before, versions(blend_families=["Ridge"])) == ()
