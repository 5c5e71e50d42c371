"""What a run in this process is said to have come to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import RunResult, open_instance, run_job, run_logger
from routing_assets.definitions import make_definitions
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import trained_symbols, write_world
from tests.dagster.test_partitions_and_sensors import PANEL, key, plan_of
from tests.panels import REGRESSION_TARGET, symbol_job
from training_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, publish_plan
from training_assets.plan_reader import read_master_plan


@dg.asset
def prices() -> None:
    """Prices that its checks look at."""


@dg.asset_check(asset=prices)
def says_why() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="3 rows of `close` outside (0, inf)", metadata={"rows": [1, 2, 3]})


@dg.asset_check(asset=prices)
def says_nothing() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


@dg.asset_check(asset=prices)
def passes() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, description="all is well")


def test_a_run_tells_of_each_check_that_failed_why_in_words(tmp_path: Path) -> None:
    definitions = dg.Definitions(
        assets=[prices],
        asset_checks=[says_why, says_nothing, passes],
        jobs=[dg.define_asset_job("all", executor_def=dg.in_process_executor)],
        loggers={"switchyard": run_logger(tmp_path / "log", lambda *_: None)},
    )
    with open_instance(tmp_path) as instance:
        result = run_job(definitions, "all", instance)
    assert result.success
    assert result.failed_checks == {"prices:says_why": "3 rows of `close` outside (0, inf)", "prices:says_nothing": "its metadata in the UI says why"}


class Vault(dg.ConfigurableResource[None]):
    """A resource that cannot be made, or not be put away, or be used well enough."""

    fails: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Vault"]:
        if self.fails == "at first":
            raise OSError("the vault does not open")
        yield self
        if self.fails == "at last":
            raise OSError("the vault does not close")


@dg.asset
def gold(vault: Vault) -> None:
    """What lies in the vault."""


def test_a_run_whose_output_could_not_be_captured_to_the_end_is_a_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_COMPUTE_LOG_TAIL_WAIT_AFTER_FINISH", "-1")  # Dagster sleeps that long, and a negative time is an error
    result = run_with_a_vault(tmp_path, "never")
    assert (result.success, result.problems) == (True, ())


@pytest.mark.parametrize(("fails", "said"), [("at first", "the vault does not open"), ("at last", "the vault does not close"), ("never", None)])
def test_a_run_that_fails_outside_of_its_steps_is_no_success_and_says_why(tmp_path: Path, fails: str, said: str | None) -> None:
    result = run_with_a_vault(tmp_path, fails)
    assert result.success == (said is None)
    assert [(problem.step, problem.error_class, problem.message) for problem in result.problems] == ([] if said is None else [("all", "OSError", said)])


def run_with_a_vault(tmp_path: Path, fails: str) -> RunResult:
    definitions = dg.Definitions(
        assets=[gold],
        jobs=[dg.define_asset_job("all", executor_def=dg.in_process_executor)],
        resources={"vault": Vault(fails=fails)},
        loggers={"switchyard": run_logger(tmp_path / "log", lambda *_: None)},
    )
    with open_instance(tmp_path) as instance:
        return run_job(definitions, "all", instance)


@pytest.mark.parametrize(("least", "standing"), [(1, {key("S000"), key("S001")}), (2, {key("S001")})])
def test_a_pair_stands_only_with_the_families_it_needs_and_keeps_the_models_it_has(tmp_path: Path, least: int, standing: set[str]) -> None:
    settings = write_world(str(tmp_path), leaks=False)
    settings = settings.changed(overrides=[*settings.overrides, f"routing.require_min_successful_families={least}"])
    jobs = [symbol_job(PANEL, "S000", REGRESSION_TARGET, ("Ridge", "NoSuchFamily")), symbol_job(PANEL, "S001", REGRESSION_TARGET, ("Ridge",))]
    write_training_plan(plan_of(*jobs), settings.plan_folder, ())
    definitions = make_definitions(settings, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    with dg.DagsterInstance.ephemeral() as instance:
        publish_plan(instance, read_master_plan(settings.plan_folder), PANEL.symbols)
        result = run_job(definitions, "train_pairs_cpu", instance, tags={RANGE_START_TAG: key("S000"), RANGE_END_TAG: key("S001")})
        assert instance.get_materialized_partitions(dg.AssetKey("symbol_models")) == standing
    assert trained_symbols(settings) == {"S000", "S001"}
    assert result.success == (least == 1)
    failed = {name: why for problem in result.problems for name, why in problem.details["failed"].items()}
    assert set(failed) == {key("S000"), key("S001")} - standing
    for why in failed.values():
        assert "1 of 2 families succeeded < 2 (routing.require_min_successful_families)" in why
        assert "NoSuchFamily not trained: no family is called NoSuchFamily" in why
        assert f"Ridge stays at {settings.models_root}" in why
