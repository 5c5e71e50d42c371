"""What a run in this process is said to have come to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import RunResult, open_instance, run_job, run_logger


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
